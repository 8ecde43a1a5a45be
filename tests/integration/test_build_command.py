"""`lustre-events extractor build` with the real Apptainer: from a definition file on a local image to an image."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lustre_events.errors import ContainerFailed
from tests.support.need import need
from tests.support.service.command import lustre_events

pytestmark = pytest.mark.apptainer

DEFINITION = """\
Bootstrap: localimage
From: {{ IMAGES }}/tiny.sif

%files
    words.py /words.py

%post
    id > /who
    cat /words.py > /copied

%environment
    export COLOUR=green
"""


@pytest.fixture
def folder(open_folder: Path, tiny_image: Path) -> Path:
    """An extractor with an image of its own, which begins with the tiny one."""
    (open_folder / "images").mkdir()
    shutil.copy(tiny_image, open_folder / "images" / "tiny.sif")
    made = lustre_events("extractor", "init", open_folder / "words")
    assert made.returncode == 0
    manifest = open_folder / "words" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('image = "base"', 'image = "mine"'))
    (open_folder / "words" / "words.def").write_text(DEFINITION)
    return open_folder


def build(folder: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {"LUSTRE_EVENTS_WORKER_IMAGES": str(folder / "images")}
    return lustre_events("extractor", "build", folder / "words", environment=environment)


def test_an_image_is_built_without_a_registry(folder: Path) -> None:
    """%files, %post and %environment all are in the image, in whichever way it could be built here."""
    done = build(folder)

    image = folder / "images" / "mine.sif"
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith(f"{image}: built, ")
    script = 'cat /who; echo "$COLOUR"; test -s /copied && echo copied'
    said = subprocess.run(
        [need("apptainer"), "-q", "exec", image, "sh", "-c", script], capture_output=True, check=True, timeout=60
    ).stdout.decode()
    assert said.startswith("uid=0")
    assert said.endswith("green\ncopied\n")


def test_a_failing_post_is_said_and_no_image_is_left(folder: Path) -> None:
    """The message has what the script said; the folder of images is as it was."""
    definition = folder / "words" / "words.def"
    definition.write_text(definition.read_text().replace("id > /who", "echo no luck; false"))

    done = build(folder)

    assert done.returncode == ContainerFailed.exit_code
    assert b"no luck" in done.stderr
    assert [path.name for path in (folder / "images").iterdir()] == ["tiny.sif"]
