"""The tutorial in extractors/README.md: every command is run, every output compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service.command import clean_environment
from tests.support.service.images import EXTRACTORS, REPOSITORY

pytestmark = pytest.mark.apptainer

SECONDS = 60
BLOCK = re.compile(r"(?:^`([\w./]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WRONG_CODE = 7


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield (file, content) of what is to be written, and ("$ command", output) of what is to be run."""
    tutorial = text[text.index("## Your own in ten minutes") : text.index("## Manifest")]
    for name, kind, block in BLOCK.findall(tutorial):
        if name:
            yield name, block
        elif kind == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield f"$ {command}", output


def test_tutorial_is_true(open_folder: Path, base_image: Path) -> None:
    """Followed step by step, the tutorial prints what it says, for both contracts, and fails nowhere else."""
    commands = open_folder / "bin"
    commands.mkdir()
    program = commands / "lustre-events"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m lustre_events "$@"\n')
    program.chmod(0o755)
    environment = clean_environment(
        {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "LUSTRE_EVENTS_WORKER_IMAGES": str(base_image),
        }
    )
    place = open_folder / "work"
    place.mkdir()
    ran = 0

    for what, text in steps((EXTRACTORS / "README.md").read_text()):
        if not what.startswith("$ "):
            (place / what).write_text(text)
            continue
        if what.startswith("$ export "):
            name, _, value = what.removeprefix("$ export ").partition("=")
            environment[name] = value.replace("$PWD", str(place))
            continue
        done = subprocess.run(
            [shutil.which("bash") or "sh", "-c", what[2:]], cwd=place, env=environment, capture_output=True,
            text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert (what, done.stdout, done.stderr) == (what, text, "")
        assert done.returncode == (WRONG_CODE if "failed: " in text else 0)
        ran += 1
    assert ran > 10
