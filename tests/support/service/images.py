"""The images, built once, and files where the account that runs containers may read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.catalog import manifest
from lustre_events.catalog.manifest import Manifest
from lustre_events.jobs.messages import JobItem
from lustre_events.node import demo_thumbnails
from lustre_events.node.sandbox import default_images
from lustre_events.sources.local_fid import fid_of_path
from tests.support.need import missing, need

REPOSITORY = Path(__file__).resolve().parents[3]
EXTRACTORS = REPOSITORY / "extractors"
BUILD_SECONDS = 600


@pytest.fixture(scope="session")
def base_image() -> Path:
    """The folder with base.sif, built if it is not up to date."""
    return built_images("base")


@pytest.fixture(scope="session")
def demo_images() -> Path:
    """The folder with the images that the demo needs, built if they are not up to date."""
    return built_images("base", demo_thumbnails.IMAGE)


@pytest.fixture(scope="session")
def all_images() -> Path:
    """The folder with the images of all extractors of this repository, built if they are not up to date."""
    return built_images(*sorted({one.image for one in extractors().values()}))


def built_images(*names: str) -> Path:
    """Build images that are not up to date, and return their folder."""
    need("apptainer")
    folder = default_images()
    built = subprocess.run(
        [EXTRACTORS / "build-images.sh", folder, *names], capture_output=True, text=True, timeout=BUILD_SECONDS,
        check=False, env=os.environ | {"VENV": sys.prefix},
    )  # fmt: skip
    if built.returncode:
        missing(f"the images {', '.join(names)} cannot be built: {built.stderr}")
    return folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp(prefix="lustre-events-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def extractors() -> dict[str, Manifest]:
    """Return the extractors of this repository."""
    return manifest.load_all((EXTRACTORS,))


def write_extractor(folder: Path, name: str, program: str, /, **keys: str) -> Manifest:
    """Make an extractor whose program is `program` (Python), and return its manifest. `keys` are TOML."""
    place = folder / name
    place.mkdir(parents=True)
    lines = {
        "name": f'"{name}"', "version": '"1"', "description": '"a test"', "image": '"base"',
        "command": '["python3", "/extractor/program.py"]', "contract": '"batch"', "trusted": "true",
    } | keys  # fmt: skip
    limits = lines.pop("limits", "")
    text = "\n".join(f"{key} = {value}" for key, value in lines.items())
    (place / "manifest.toml").write_text(f"{text}\n[limits]\n{limits}\n")
    (place / "program.py").write_text(program)
    return manifest.load(place)


def write_file(folder: Path, name: bytes, content: bytes, generation: int = 1) -> JobItem:
    """Write a file that everybody may read, and return it as an item of a job."""
    path = folder / os.fsdecode(name)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_bytes(content)
    return JobItem(fid_of_path(os.fsencode(path)), generation, name)
