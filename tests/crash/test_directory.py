"""kill -9 of the process that watches a directory, at any moment: nothing is lost and nothing told wrongly."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lustre_events.changelog.record import boundaries, scan
from lustre_events.errors import RecordDecodeError
from lustre_events.sources.directory import DirectorySource
from tests.support.model.tree import Chaos, KnownTree, check, drain, hurry

WATCHER = """
import sys
from lustre_events.changelog.record import scan
from lustre_events.sources.directory import DirectorySource
top, state, start, output = sys.argv[1:]
source = DirectorySource(top, state_dir=state)
source.open(int(start))
with open(output, "ab", buffering=0) as file:
    while True:
        data = source.read(4096, 1)
        if data:
            file.write(data)
            if scan(data).last_index % 3 == 0:
                source.clear("cl1", scan(data).last_index)
"""


def whole_records(output: Path) -> bytes:
    """Return what a killed process wrote, without a record that it wrote half, which is cut off."""
    data = output.read_bytes() if output.exists() else b""
    end = 0
    try:
        for offset, size in boundaries(data):
            end = offset + size
    except RecordDecodeError:
        output.write_bytes(data[:end])
    return data[:end]


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_watcher_loses_nothing(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of changes and clears, again and again: its records, continued, end in the real tree."""
    hurry(monkeypatch)
    top, outside, state, output = (tmp_path / name for name in ("top", "outside", "state", "output"))
    top.mkdir()
    outside.mkdir()
    chaos = Chaos(top, outside, seed)
    delays = random.Random(seed)
    for _ in range(12):
        start = scan(whole_records(output)).last_index + 1
        size = len(whole_records(output))
        watcher = subprocess.Popen([sys.executable, "-P", "-c", WATCHER, top, state, str(start), output])
        try:
            deadline = time.monotonic() + 30
            while (not output.exists() or output.stat().st_size == size) and time.monotonic() < deadline:
                chaos.run(5)
            until = time.monotonic() + delays.uniform(0, 0.15)
            while time.monotonic() < until:
                chaos.run(1)
        finally:
            watcher.send_signal(signal.SIGKILL)
            watcher.wait(timeout=60)
        chaos.run(10)
    known = KnownTree()
    known.apply(whole_records(output))
    source = DirectorySource(top, state_dir=state)
    source.open(known.last_index + 1)
    drain(source, known)
    source.close()

    assert known.last_index > 100
    check(known, top)
