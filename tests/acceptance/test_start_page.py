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
from tests.support.servers.receivers import free_port
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.waiting import wait_for

PAGE = (REPOSITORY / "docs" / "start.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`([\w./]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TRY = "/tmp/try"
KEPT = ("export ", "cd ")
STAYS = ("lustre-events run", "lustre-events web", ".venv/bin/python -m aiosmtpd")
"""Commands that keep their terminal busy; the page says so."""
READY = "worker of queue default"
assert f"`{READY}`" in PAGE


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
        python = program.with_name("python")
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "$@"\n')
        python.chmod(0o755)
        self._ports = {"127.0.0.1:8080": f"127.0.0.1:{free_port()}", "localhost:2525": f"localhost:{free_port()}"}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def type(self, command: str, printed: str) -> None:
        """Type a command of the page; wait until it prints what the page shows."""
        command = self.here(command)
        if command.startswith(STAYS):
            self._stay(command, printed)
        elif command.startswith(KEPT):
            self._lines.append(command)
        elif "pip install" not in command:  # what it installs is there where tests run
            said: list[list[str]] = []
            wait_for(lambda: self._says(command, printed, said), 60, lambda: f"{command}: {said[-1]}\n{self.log}")

    def here(self, text: str) -> str:
        """Return what the page says with the folder and the ports of this test."""
        text = text.replace(TRY, f"{self.folder}/try")
        for port, free in self._ports.items():
            text = text.replace(port, free)
        return text

    def there(self, text: str) -> str:
        """Return what is printed as the page has it."""
        text = text.replace(f"{self.folder}/try", TRY)
        for port, free in self._ports.items():
            text = text.replace(free, port)
        return text

    def _stay(self, command: str, printed: str) -> None:
        name = command.split()[1] if command.startswith("lustre-events") else "mail"
        self.log = self.folder / f"{name}.log"
        if name in self._running:  # the page says: stop it first
            self._end(self._running.pop(name))
        lines, self._lines = self._lines, [] if name == "run" else self._lines
        with self.log.open("wb") as log:
            self._running[name] = self._start(f"exec {command}", log.fileno(), [] if name == "mail" else lines)
        ready = READY if name == "run" else printed.strip()
        wait_for(lambda: ready in self.there(self.log.read_text()), 90, self.log.read_text)

    def _says(self, command: str, printed: str, said: list[list[str]]) -> bool:
        child = self._start(command, subprocess.PIPE, self._lines)
        text = self.there(child.communicate(timeout=60)[0].decode())
        said.append(text.splitlines())
        return child.returncode == 0 and shows(printed.splitlines(), said[-1])

    def _start(self, command: str, output: int, lines: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", "\n".join([*lines, command])], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True,
            env=clean_environment({
                "PYTHONPATH": str(REPOSITORY), "LUSTRE_EVENTS_WORKER_IMAGES": str(self._images),
                "LUSTRE_EVENTS_WEB_LISTEN": self._ports["127.0.0.1:8080"],
            }),
        )  # fmt: skip

    def interrupt(self) -> dict[str, int]:
        """Press Ctrl-C where something runs; return how each ended."""
        return {name: self._end(child) for name, child in self._running.items()}

    def _end(self, child: subprocess.Popen[bytes]) -> int:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)
        return child.wait(30)

    def mails(self) -> str:
        """Return what the program printed that takes the place of a mail server."""
        return (self.folder / "mail.log").read_text()


@pytest.fixture
def terminal(open_folder: Path, base_image: Path) -> Iterator[Terminal]:
    made = Terminal(open_folder, base_image)
    yield made
    made.interrupt()


@pytest.mark.apptainer
@pytest.mark.timeout(400)
def test_the_page_start_is_true(terminal: Terminal) -> None:
    """Whoever types the page from its first line to its last sees what it shows, and Ctrl-C ends it."""
    typed = 0

    for what, text in steps():
        if what.startswith("$ "):
            terminal.type(what[2:], text)
            typed += 1
        else:
            (terminal.folder / "try" / what).write_text(terminal.here(text))

    assert typed > 10
    wait_for(lambda: "Subject: new: today.csv" in terminal.mails(), 60, terminal.mails)
    assert terminal.interrupt()["run"] == 0
