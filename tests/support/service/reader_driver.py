"""A reader in a process of its own, for tests that kill it.

`python -m tests.support.service.reader_driver` with JSON on argv.

Its source is a file of raw records, read in small pieces; clears go as lines into another file, as an MDT would
keep them. `die` names the moment at which it kills itself, `die_at` the how-manieth such moment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lustre_events.changelog.record import boundaries, scan
from lustre_events.config.settings import ReaderSettings
from lustre_events.reader import Reader
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Block, Tail
from lustre_events.streams.reader_stream import RedisReaderStream

ROOT = Path(__file__).parents[3]
READ_BYTES = 4096


class FileSource:
    """The raw records of a file as one MDT's changelog; a recording: it ends."""

    def __init__(self, mdt: str, raw: bytes, clears: Path | None = None, pace_ms: int = 0) -> None:
        """`clears`: what was cleared before is not given again; `pace_ms`: how long each read takes."""
        self.mdt = mdt
        self._raw = raw
        self._clears = clears
        self._pace_seconds = pace_ms / 1000
        self._starts = [(offset, scan(raw[offset : offset + size]).first_index) for offset, size in boundaries(raw)]
        self._at = 0

    handle = 0
    lag_seconds = 0.0

    def open(self, start_index: int) -> None:
        """Find the record."""
        self.handle += 1
        start_index = max(start_index, self._cleared() + 1)
        self._at = next((n for n, (_, index) in enumerate(self._starts) if index >= start_index), len(self._starts))

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:
        """Return some records; the end comes at once."""
        time.sleep(self._pace_seconds)
        begin, size = self._at, min(limit_bytes, READ_BYTES)
        while self._at < len(self._starts) and self._offset(self._at + 1) - self._offset(begin) <= size:
            self._at += 1
        if self._at == begin and begin < len(self._starts):
            self._at += 1
        return self._raw[self._offset(begin) : self._offset(self._at)]

    def peek(self, start_index: int) -> bytes:
        """Return the header of a record."""
        start_index = max(start_index, self._cleared() + 1)
        return next(
            (self._raw[offset : offset + 64] for offset, index in self._starts if index >= start_index), b""
        )

    def knows(self, user: str) -> bool:
        """Return True."""
        return True

    def clear(self, user: str, index: int) -> None:
        """Note it."""
        if self._clears is not None:
            with self._clears.open("a") as file:
                file.write(f"{index}\n")

    def _cleared(self) -> int:
        return (
            int(self._clears.read_text().split()[-1]) if self._clears is not None and self._clears.exists() else 0
        )

    def close(self) -> None:
        """Nothing is open."""

    def wake(self) -> None:
        """Nothing waits."""

    @property
    def ended(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._starts)

    def _offset(self, record: int) -> int:
        return self._starts[record][0] if record < len(self._starts) else len(self._raw)


class MortalStream(RedisReaderStream):
    """A stream in whose calls the process kills itself."""

    moments: dict[str, int]

    def moment(self, name: str) -> None:
        """Die here, if it is the time."""
        if name in self.moments:
            self.moments[name] -= 1
            if self.moments[name] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def append(self, block: Block, expected: Tail, digest: str = "") -> Tail:
        """Store a block between two moments."""
        self.moment("before append")
        tail = super().append(block, expected, digest)
        self.moment("after append")
        return tail

    def set_mark(self, index: int) -> None:
        """Keep the mark between two moments."""
        self.moment("before mark")
        super().set_mark(index)
        self.moment("after mark")


def start(url: str, mdt: str, raw: Path, clears: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start a driver; options: die, die_at, and settings of the reader."""
    arguments = {"url": url, "mdt": mdt, "raw": str(raw), "clears": str(clears), **options}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.support.service.reader_driver", json.dumps(arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def main() -> None:
    """Run one reader until its recording has ended or it is told to stop."""
    arguments = json.loads(sys.argv[1])
    url, mdt = arguments.pop("url"), arguments.pop("mdt")
    raw, clears = Path(arguments.pop("raw")).read_bytes(), Path(arguments.pop("clears"))
    source = FileSource(mdt, raw, clears, arguments.pop("pace_ms", 0))
    stream = MortalStream(connect(url, 5.0), mdt)
    stream.moments = {arguments.pop("die", ""): arguments.pop("die_at", 1)}
    reader = Reader(source, stream, ReaderSettings(linger_ms=0, **arguments))
    signal.signal(signal.SIGTERM, lambda *_: reader.stop())
    reader.run()


if __name__ == "__main__":
    main()
