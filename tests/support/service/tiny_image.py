"""A SIF of a few megabytes with a shell and what a run needs: quick to build, to sign and to unpack."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.need import need

PROGRAMS = ("sh", "timeout", "prlimit", "getopt", "cut", "id", "cat")
BUILD_SECONDS = 120


@pytest.fixture(scope="session")
def tiny_image() -> Iterator[Path]:
    """The SIF; in it are a set-user-ID program and a folder that everybody may write to."""
    apptainer, place = need("apptainer"), Path(tempfile.mkdtemp(prefix="lustre-events-tiny-"))
    place.chmod(0o755)  # pytest's own folders are private
    root = place / "root"
    (root / "usr/bin").mkdir(parents=True)
    for folder in ("bin", "lib", "lib64"):
        (root / folder).symlink_to(f"usr/{folder}")
    for program in PROGRAMS:
        found = Path(str(shutil.which(program)))
        shutil.copy(found, root / "usr/bin" / program)
        listed = subprocess.run(["ldd", found], capture_output=True, text=True, check=True, timeout=10).stdout
        for library in re.findall(r"(/\S+)", listed):
            copy = root / ("usr" + library.removeprefix("/usr"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, copy)
    for folder in ("etc", "proc", "sys", "dev", "tmp", "var/tmp", "root", "home", "in", "extractor"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/id").chmod(0o4755)
    (root / "open").mkdir()
    (root / "open").chmod(0o777)
    image = place / "tiny.sif"
    subprocess.run(
        [apptainer, "--quiet", "build", image, root], check=True, capture_output=True, timeout=BUILD_SECONDS
    )
    image.chmod(0o644)
    yield image
    shutil.rmtree(place)
