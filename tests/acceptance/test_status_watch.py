"""`lustre-events status --watch` goes on whatever is away, until Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lustre_events.index.sqlite.writer import SqliteWriter
from tests.support.service.command import REPOSITORY, clean_environment

LINES_SECONDS = 20.0


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings of a service of which nothing is there."""
    path = tmp_path / "settings.toml"
    path.write_text(
        f'[redis]\nurl = "unix://{tmp_path}/none.sock"\ntimeout_seconds = 1\n[index]\nurl = "sqlite:///{tmp_path}/index.db"\n'
    )
    return path


def watch(settings: Path, *words: str, **streams: Any) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-P", "-m", "lustre_events", "status", "--watch", "--config", str(settings), *words]
    return subprocess.Popen(argv, env=clean_environment({"TERM": "xterm"}), cwd=REPOSITORY, **streams)


def test_watching_waits_for_index_and_redis(settings: Path) -> None:
    """Both are away at first, and said to be; the index is shown once it is there; Ctrl-C ends it well."""
    process = watch(settings, "--json", stdout=subprocess.PIPE)
    first = json.loads(process.stdout.readline())
    SqliteWriter(settings.parent / "index.db").close()
    later = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=LINES_SECONDS)

    assert "index" not in first
    assert len(first["problems"]) == 2
    assert later["index"]["objects"] == 0
    assert len(later["problems"]) == 1
    assert process.returncode == 0, rest


def test_a_terminal_is_drawn_again(settings: Path) -> None:
    """On a terminal it takes the screen, and gives it back."""
    ours, theirs = pty.openpty()
    process = watch(settings, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    said = b""
    ends = time.monotonic() + LINES_SECONDS
    while b"problem: " not in said and time.monotonic() < ends:
        if select.select([ours], [], [], 0.2)[0]:
            said += os.read(ours, 1 << 16)
    process.send_signal(signal.SIGINT)
    while select.select([ours], [], [], 5)[0]:
        try:
            said += os.read(ours, 1 << 16)
        except OSError:  # it has closed the terminal
            break
    process.wait(LINES_SECONDS)
    os.close(ours)

    assert b"\x1b[?1049h" in said
    assert b"problem: " in said
    assert said.rstrip().endswith(b"\x1b[?25h") or b"\x1b[?1049l" in said
    assert process.returncode == 0
