"""docs/start.md, typed from its first line to its last: each command prints what the page shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import shows
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.waiting import wait_for

PAGE = (REPOSITORY / "docs" / "start.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TRY = "/tmp/try"
KEPT = ("export ", "cd ")


def steps() -> Iterator[tuple[str, str]]:
    """Yield (file, content) of what is to be written, and ("$ command", output) of what is to be typed."""
    for name, kind, block in BLOCK.findall(PAGE):
        if name:
            yield name, block
        elif kind == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                yield f"$ {command}", printed


class Terminal:
    """A project's folder with its commands, and a shell there that remembers `export` and `cd`."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.folder, self.log, self._images = folder, folder / "run.log", images
        self._lines: list[str] = []
        program = folder / ".venv" / "bin" / "lustre-events"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m lustre_events "$@"\n')
        program.chmod(0o755)
        self._running: list[subprocess.Popen[bytes]] = []

    def type(self, command: str, printed: str) -> None:
        """Type a command of the page; wait until it prints what the page shows."""
        command = command.replace(TRY, f"{self.folder}/try")
        if command == "lustre-events run":
            with self.log.open("wb") as log:
                self._running.append(self._start(f"exec {command}", log.fileno()))
            self._lines = []  # the second terminal
        elif command.startswith(KEPT):
            self._lines.append(command)
        else:
            said: list[list[str]] = []
            wait_for(lambda: self._says(command, printed, said), 60, lambda: f"{command}: {said[-1]}\n{self.log}")

    def _says(self, command: str, printed: str, said: list[list[str]]) -> bool:
        child = self._start(command, subprocess.PIPE)
        text = child.communicate(timeout=60)[0].decode().replace(f"{self.folder}/try", TRY)
        said.append(text.splitlines())
        return child.returncode == 0 and shows(printed.splitlines(), said[-1])

    def _start(self, command: str, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", "\n".join([*self._lines, command])], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True,
            env=clean_environment(
                {"PYTHONPATH": str(REPOSITORY), "LUSTRE_EVENTS_WORKER_IMAGES": str(self._images)}
            ),
        )  # fmt: skip

    def interrupt(self) -> list[int]:
        """Press Ctrl-C where the service runs; return how it ended."""
        for child in self._running:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGINT)
        return [child.wait(30) for child in self._running]


@pytest.fixture
def terminal(open_folder: Path, base_image: Path) -> Iterator[Terminal]:
    made = Terminal(open_folder, base_image)
    yield made
    made.interrupt()


@pytest.mark.apptainer
@pytest.mark.timeout(180)
def test_the_page_start_is_true(terminal: Terminal) -> None:
    """Whoever types the page from its first line to its last sees what it shows, and Ctrl-C ends it."""
    typed = 0

    for what, text in steps():
        if what.startswith("$ "):
            terminal.type(what[2:], text)
            typed += 1
        else:
            (terminal.folder / "try" / what).write_text(text.replace(TRY, f"{terminal.folder}/try"))

    assert typed > 10
    assert terminal.interrupt() == [0]
