"""A directory tree and what records say about it: helpers of the tests of the `directory` source."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from lustre_events.fid import FID, NO_FID, ROOT_FID
from lustre_events.record import CLOSE_WRITE, RENME_LAST, UNLNK_LAST, ChangelogRecord, RecordType, iter_records
from lustre_events.sources.directory import DirectorySource
from lustre_events.sources.local_fid import fid_of_path

LIMIT = 1 << 20
RENAME_EXCHANGE = 2
CREATIONS = {RecordType.CREAT, RecordType.MKDIR, RecordType.SLINK, RecordType.MKNOD}


class KnownTree:
    """What somebody knows who reads every record: names keyed by (parent, name), and when files were written.

    Every record must be a legal operation on what is known before it.
    """

    def __init__(self) -> None:
        self.names: dict[tuple[FID, bytes], FID] = {}
        self.written_ns: dict[FID, int] = {}
        self.attributes_ns: dict[FID, int] = {}
        self.last_index = 0
        self.records: list[ChangelogRecord] = []

    def apply(self, raw: bytes) -> list[ChangelogRecord]:
        """Take records in, and return them."""
        records = list(iter_records(raw))
        for record in records:
            assert record.index > self.last_index
            self.last_index = record.index
            self._apply(record)
        self.records += records
        return records

    def _apply(self, record: ChangelogRecord) -> None:
        place = (record.parent, record.name)
        if record.type in CREATIONS:
            assert place not in self.names
            assert record.target not in self.names.values()
            self.names[place] = record.target
        elif record.type == RecordType.HLINK:
            assert place not in self.names
            assert record.target in self.names.values()
            self.names[place] = record.target
        elif record.type in {RecordType.UNLNK, RecordType.RMDIR}:
            assert self.names.pop(place) == record.target
            assert not any(parent == record.target for parent, _ in self.names)
            if record.type == RecordType.UNLNK:
                assert bool(record.flags & UNLNK_LAST) == (record.target not in self.names.values())
        elif record.type == RecordType.RENME:
            assert self.names.pop((record.source_parent, record.source_name)) == record.source
            assert (self.names.get(place) or NO_FID) == record.target
            self.names[place] = record.source
            assert not any(parent == record.target for parent, _ in self.names)
            if record.target:
                assert bool(record.flags & RENME_LAST) == (record.target not in self.names.values())
        elif record.type == RecordType.CLOSE:
            assert record.flags & CLOSE_WRITE
            self.written_ns[record.target] = record.time_ns
        else:
            assert record.type == RecordType.SATTR
            self.attributes_ns[record.target] = record.time_ns

    def paths(self) -> dict[bytes, FID]:
        """Return the path of each known name, relative to the top."""
        found: dict[bytes, FID] = {}
        for (parent, name), fid in self.names.items():
            parts = [name]
            at = parent
            while at != ROOT_FID:
                ((at, name),) = [place for place, child in self.names.items() if child == at]
                parts.append(name)
            found[b"/".join(reversed(parts))] = fid
        return found


def real_paths(top: Path) -> dict[bytes, FID]:
    """Return the path of everything in a tree, relative to its top."""
    root = os.fsencode(top)
    found = {}
    for folder, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = fid_of_path(path)
    return found


def drain(source: DirectorySource, known: KnownTree, limit_bytes: int = LIMIT) -> list[ChangelogRecord]:
    """Read until nothing comes for longer than a removal is held."""
    found: list[ChangelogRecord] = []
    while data := source.read(limit_bytes, 0.25):
        found += known.apply(data)
    return found


def check(known: KnownTree, top: Path) -> None:
    """The records told the truth: every name, every write and every change of attributes."""
    assert known.paths() == real_paths(top)
    for path, fid in known.paths().items():
        facts = os.lstat(os.path.join(os.fsencode(top), path))
        if stat.S_ISREG(facts.st_mode):
            assert known.written_ns[fid] >= facts.st_mtime_ns


def types(records: Iterable[ChangelogRecord]) -> list[str]:
    """Return the names of the records' types."""
    return [RecordType(record.type).name for record in records]


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names at once; False where the file system cannot."""
    function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    at_fdcwd = -100
    return function(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), RENAME_EXCHANGE) == 0
