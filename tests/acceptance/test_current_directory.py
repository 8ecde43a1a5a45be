"""A file in the current directory, which may be anybody's, never runs in place of a module of the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service.command import clean_environment
from tests.support.service.service import all_processes, catches_sigterm
from tests.support.waiting import wait_for

PROGRAM = Path(sys.executable).with_name("lustre-events")
PYTHON = Path(sys.executable)
SECONDS = 120.0
CHILDREN = {"reader", "dispatcher", "workers"}
"""What `run` starts."""
NAMES = (
    "rq",
    "redis",
    "click",
    "flask",
    "msgspec",
    "lustre_events",
    "workers",
    "spython",
    "encodings",
    "subprocess",
)
COMMANDS = {
    "worker": [PROGRAM, "worker"],
    "dispatcher": [PROGRAM, "dispatcher"],
    "reader": [PROGRAM, "reader", "--mdt", "local-MDT0000"],
    "readers": [PROGRAM, "reader", "--all"],
    "run": [PROGRAM, "run"],
    "web": [PROGRAM, "web", "--listen", "192.0.2.1:1"],
    "metrics": [PROGRAM, "metrics", "--listen", "192.0.2.1:1"],
    "extractor": [PROGRAM, "extractor", "validate", "tabular"],
    "doctor": [PROGRAM, "doctor"],
    "bench": [PROGRAM, "bench", "--help"],
}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A current directory whose modules leave a mark when they are imported."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + ' ')\nraise SystemExit(3)\n"
        )
    return folder


def run(folder: Path, *argv: str | Path) -> str:
    """Run a command there until it ends, or its children are at work, and return which modules ran."""
    settings = folder.parent / "settings.toml"
    (folder.parent / "files").mkdir(exist_ok=True)
    settings.write_text(
        f'[filesystem]\nsource = "directory"\nmount = "{folder.parent}/files"\nstate = "{folder.parent}/state"\n'
        f'[index]\nurl = "sqlite:///{folder.parent}/index.db"\n'
        f'[worker]\nruntime = "process"\n'
    )
    process = subprocess.Popen(
        argv, cwd=folder, env=clean_environment({"LUSTRE_EVENTS_CONFIG": str(settings)}), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: process.poll() is not None or children_of(process.pid) >= CHILDREN, SECONDS)
    finally:
        process.terminate()
        process.wait(20)
    marks = folder.parent / "ran"
    return marks.read_text() if marks.exists() else ""


def children_of(pid: int) -> set[str]:
    """Return the words of the children that have come so far that they handle SIGTERM."""
    children = [each for each in all_processes() if each.parent == pid]
    return {word for each in children if catches_sigterm(each.pid) for word in each.words}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_runs_what_lies_in_the_current_directory(hostile: Path, command: list[str | Path]) -> None:
    """Neither a command nor a child of it imports a module from the directory that it was started in."""
    assert run(hostile, *command) == ""


def test_the_modules_do_not_either(hostile: Path) -> None:
    """With -P nothing is imported from there; without it only what Python itself looks for before we run."""
    assert run(hostile, PYTHON, "-P", "-m", "workers") == ""
    assert run(hostile, PYTHON, "-P", "-m", "lustre_events", "worker") == ""
    for name in ("lustre_events", "workers", "encodings", "subprocess"):
        (hostile / f"{name}.py").unlink()
    assert run(hostile, PYTHON, "-m", "workers", "look") == ""
    assert run(hostile, PYTHON, "-m", "lustre_events", "search", "x") == ""
