"""`lustre-events extractor build` with the real Apptainer: from a definition file on a local image to an image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


AS_NOBODY = """
import os, sys
from pathlib import Path
from lustre_events.catalog import build
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(build.build(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def test_an_ordinary_user_builds_upon_an_image(folder: Path) -> None:
    """Who is not root, and has no subordinate ids, gets an image with %files and a %post that ran as root in it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    image = folder / "images" / "mine.sif"
    done = subprocess.run(
        [sys.executable, "-P", "-c", AS_NOBODY, folder / "words" / "words.def", image],
        capture_output=True, check=False, timeout=120,
        env=os.environ | {"HOME": str(folder), "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    said = subprocess.run(
        [need("apptainer"), "-q", "exec", image, "cat", "/who", "/copied"],
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    assert said.startswith(b"uid=0")
    assert b"def extract" in said
    if os.geteuid() == 0:
        assert image.stat().st_uid != 0
