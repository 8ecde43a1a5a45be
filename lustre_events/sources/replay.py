"""Recorded changelogs: a file of raw records (gzipped or not) read as if it were an MDT.

A recording has an end: `ended` becomes true there. A file that is torn gives every whole record before the
tear and then RecordDecodeError, which is not retryable: no second attempt makes the file whole.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Generator
from io import BufferedReader
from pathlib import Path

from lustre_events.changelog.record import HEADER_BYTES, MAX_RECORD_BYTES, boundaries, index_of, scan
from lustre_events.errors import (
    ChangelogBroken,
    ChangelogRefused,
    ChangelogUnavailable,
    ChangelogUserUnknown,
    ConfigError,
    RecordDecodeError,
)

_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_RECORDING = re.compile(r"(?P<mdt>.+MDT[0-9a-fA-F]{4})\.raw(\.gz)?\Z")
_INDEX = struct.Struct("<Q")
_INDEX_AT = 8


def discover(folder: Path) -> dict[str, Path]:
    """Return the recordings of a folder, MDT to file: its `<MDT>.raw` and `<MDT>.raw.gz`, sorted by MDT.

    Raises:
        ConfigError: the folder cannot be read or has none, or one MDT has two.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as exc:
        raise ConfigError(f"{folder}: cannot be read ({exc.strerror}); name a folder of recordings") from exc
    found: dict[str, Path] = {}
    for path in paths:
        match = _RECORDING.match(path.name)
        if match is None:
            continue
        mdt = match["mdt"]
        if mdt in found:
            raise ConfigError(f"{folder}: {found[mdt].name} and {path.name} are of one MDT; move one of them away")
        found[mdt] = path
    if not found:
        raise ConfigError(
            f"{folder}: no recordings there; they are named like lustre-MDT0000.raw or lustre-MDT0000.raw.gz"
        )
    return dict(sorted(found.items()))


class ReplaySource:
    """The changelog of one MDT from a file; see `sources.interface.Source`.

    `read` never waits. Clears are checked as an MDT checks them, and this object does not give cleared records
    again; the file is not changed. Who clears is not checked, for a recording has no users.
    """

    lag_seconds = 0.0

    def __init__(self, mdt: str, path: Path) -> None:
        """`mdt`: the name that the records get; it need not be the file's."""
        self.mdt = mdt
        self.handle = 0
        self._path = path
        self._cleared = 0
        self._last_index: int | None = None
        self._blocks: Generator[bytes, None, None] | None = None
        self._rest = memoryview(b"")
        self._start_index = 0
        self._skipping = False
        self._ended = False
        self._failure: RecordDecodeError | None = None

    def open(self, start_index: int) -> None:
        """Begin at the first record whose index is not below `start_index`.

        Raises ChangelogRefused (a negative index), ChangelogUnavailable (the file cannot be read).
        """
        self.close()
        if start_index < 0:
            raise ChangelogRefused(
                f"{self.mdt}: a changelog cannot begin at index {start_index}; begin at 0 or above"
            )
        self.handle += 1
        self._start_index = max(start_index, self._cleared + 1)
        self._skipping = True
        self._blocks = _whole_records(self._path, self._stream())

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:  # noqa: ARG002 - a file is never waited for
        """Return whole raw records, about `limit_bytes` at most; b"" at the end.

        Raises ChangelogBroken (it is not open), RecordDecodeError (behind the last whole record of a torn file).
        """
        while not self._rest:
            if self._blocks is None:
                raise ChangelogBroken(f"{self.mdt}: the recording is not open; open it first")
            if self._failure is not None:
                raise self._failure
            try:
                self._rest = self._from_start(next(self._blocks))
            except StopIteration:
                self._ended = True
                return b""
            except RecordDecodeError as exc:
                self._failure = exc
        size = _fitting(self._rest, limit_bytes)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def peek(self, start_index: int) -> bytes:
        """Return the header of the first record whose index is not below `start_index`, b"" for none.

        Raises ChangelogUnavailable (the file cannot be read).
        """
        start_index = max(start_index, self._cleared + 1)
        try:
            for block in _whole_records(self._path, self._stream()):
                for offset, _ in boundaries(block):
                    if index_of(header := block[offset : offset + HEADER_BYTES]) >= start_index:
                        return header
        except RecordDecodeError:
            pass  # `read` reports it
        return b""

    def knows(self, user: str) -> bool:  # noqa: ARG002
        """Return True: a recording has no users."""
        return True

    def clear(self, user: str, index: int) -> None:
        """Remember that everything up to `index` was cleared.

        Raises ChangelogRefused (0, or past the end), ChangelogUserUnknown (below the last clear: an MDT gives
        the same answer to both).
        """
        if not 0 < index <= self._end():
            raise ChangelogRefused(
                f"{self.mdt}: index {index} cannot be cleared; the recording holds records up to {self._end()}"
            )
        if index < self._cleared:
            raise ChangelogUserUnknown(
                f"{self.mdt}: {user} cleared up to {self._cleared} already; clear that index again or a later one"
            )
        self._cleared = index

    @property
    def cleared(self) -> int:
        """The greatest index that was cleared; 0: none."""
        return self._cleared

    def close(self) -> None:
        """Close; closing twice is fine."""
        if self._blocks is not None:
            self._blocks.close()
        self._blocks = None
        self._rest = memoryview(b"")
        self._ended = False
        self._failure = None

    def wake(self) -> None:
        """Do nothing: `read` never waits."""

    @property
    def ended(self) -> bool:
        """Whether the last record of the file has been returned."""
        return self._ended

    def _stream(self) -> BufferedReader | gzip.GzipFile:
        try:
            with self._path.open("rb") as file:
                packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            return gzip.open(self._path) if packed else self._path.open("rb")
        except OSError as exc:
            raise ChangelogUnavailable(
                f"{self.mdt}: the recording {self._path} cannot be read ({exc.strerror}); check name and rights",
                exc.errno or 0,
            ) from exc

    def _from_start(self, block: bytes) -> memoryview:
        """Return `block` without the records before the start index; those can only be at the beginning."""
        if self._skipping:
            for offset, _ in boundaries(block):
                (index,) = _INDEX.unpack_from(block, offset + _INDEX_AT)
                if index >= self._start_index:
                    self._skipping = False
                    return memoryview(block)[offset:]
            return memoryview(b"")
        return memoryview(block)

    def _end(self) -> int:
        """Return the index of the file's last whole record; found once, by reading the file."""
        if self._last_index is None:
            self._last_index = 0
            try:
                for block in _whole_records(self._path, self._stream()):
                    self._last_index = scan(block).last_index
            except RecordDecodeError:
                pass  # `read` reports it, behind the record whose index was just found
        return self._last_index


def _whole_records(path: Path, stream: BufferedReader | gzip.GzipFile) -> Generator[bytes, None, None]:
    """Yield the file's records in blocks; raises RecordDecodeError where they stop being whole records."""
    rest, position = b"", 0
    with stream:
        while True:
            try:
                chunk = stream.read1(_CHUNK_BYTES)
            except (EOFError, OSError, zlib.error) as exc:
                raise RecordDecodeError(
                    f"{path}: cannot be read any further ({exc}); the records before are good, copy the file again",
                    position,
                ) from exc
            buffer = rest + chunk
            if not buffer:
                return
            failure: RecordDecodeError | None = None
            whole = len(buffer)
            try:
                scan(buffer)
            except RecordDecodeError as exc:
                whole, failure = exc.offset, exc
            if whole:
                yield buffer[:whole]
            rest, position = buffer[whole:], position + whole
            if failure is not None and (not chunk or len(rest) >= MAX_RECORD_BYTES):
                raise RecordDecodeError(
                    f"{path}: {failure.message}; the records before it are good, record or copy the file again",
                    position,
                ) from failure


def _fitting(records: memoryview, limit_bytes: int) -> int:
    """Return the size of the first records that are `limit_bytes` at most, or of the first one."""
    if len(records) <= limit_bytes:
        return len(records)
    fitting = 0
    for offset, size in boundaries(records):
        if fitting and offset + size > limit_bytes:
            break
        fitting = offset + size
    return fitting
