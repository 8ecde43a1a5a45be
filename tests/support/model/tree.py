"""A directory tree and what records say about it: helpers of the tests of the `directory` source."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID
from lustre_events.changelog.record import (
    CLOSE_WRITE,
    RENME_LAST,
    UNLNK_LAST,
    ChangelogRecord,
    RecordType,
    iter_records,
)
from lustre_events.sources import directory_scan
from lustre_events.sources.directory import DirectorySource
from lustre_events.sources.local_fid import fid_of_path

LIMIT = 1 << 20
GRACE_SECONDS = 0.03
DRAIN_SECONDS = 0.08
MOST_SECONDS = 120.0
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
        place_of = {fid: place for place, fid in self.names.items()}  # of directories: they have one
        found: dict[bytes, FID] = {}
        for place, fid in self.names.items():
            at, parts = place[0], [place[1]]
            while at != ROOT_FID:
                at, part = place_of[at]
                parts.append(part)
            found[b"/".join(reversed(parts))] = fid
        return found


def real_paths(top: Path) -> dict[bytes, FID]:
    """Return the path of everything in a tree, relative to its top."""
    found = {}
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = Path(folder, name)
            found[os.fsencode(path.relative_to(top))] = fid_of_path(os.fsencode(path))
    return found


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a source decide soon, so that tests are quick."""
    monkeypatch.setattr(directory_scan, "GRACE_SECONDS", GRACE_SECONDS)
    monkeypatch.setattr(directory_scan, "LOST_SECONDS", GRACE_SECONDS)


def drain(source: DirectorySource, known: KnownTree, limit_bytes: int = LIMIT) -> list[ChangelogRecord]:
    """Read until the source has decided everything that it has seen, and then for a moment nothing comes."""
    found: list[ChangelogRecord] = []
    ends = time.monotonic() + MOST_SECONDS
    while (data := source.read(limit_bytes, DRAIN_SECONDS)) or is_undecided(source):
        assert time.monotonic() < ends, "the source never decides"
        found += known.apply(data)
    return found


def is_undecided(source: DirectorySource) -> bool:
    """Whether a directory waits to be listed or a name is held, which on a slow machine lasts longer than a read.

    Files that no event has called written are waited for as well, where a test lets them count as written soon.
    """
    at = source._reconciler
    if at is None:
        return False
    soon = directory_scan.QUIET_SECONDS < DRAIN_SECONDS
    return bool(at._waiting or at._listing or at._held or at._lost or (soon and source._opened().unannounced()))


def check(known: KnownTree, top: Path, *, writes: bool = True) -> None:
    """The records told the truth: every name, and every write."""
    paths, real = known.paths(), real_paths(top)
    assert paths == real, "\n".join(["the records and the tree differ:", *differences(paths, real)])
    for path, fid in paths.items() if writes else ():
        facts = (top / os.fsdecode(path)).lstat()
        if stat.S_ISREG(facts.st_mode):
            assert known.written_ns[fid] >= facts.st_mtime_ns, f"no record tells of the last write of {path!r}"


def differences(told: dict[bytes, FID], real: dict[bytes, FID]) -> list[str]:
    """Return a line for each path at which there is another object than the records say."""
    return [
        f"{path!r}: told {told.get(path, 'nothing')}, there is {real.get(path, 'nothing')}"
        for path in sorted(told.keys() | real.keys())
        if told.get(path) != real.get(path)
    ]


def types(records: Iterable[ChangelogRecord]) -> list[str]:
    """Return the names of the records' types."""
    return [RecordType(record.type).name for record in records]


class Chaos:
    """Random operations on a tree, from a seed."""

    def __init__(self, top: Path, outside: Path, seed: int, *, links: bool = True) -> None:
        """`links`: make hard links, too; a write through one is not always seen before the next start."""
        self.links = links
        self.top = top
        self.outside = outside
        self.random = random.Random(seed)
        self.operations = [getattr(self, name) for name in dir(self) if name.startswith("do_")]

    def run(self, operations: int) -> None:
        """Do that many; one that cannot be done (a directory into itself, ...) does nothing."""
        for _ in range(operations):
            with contextlib.suppress(OSError):
                self.random.choice(self.operations)()

    def folder(self) -> Path:
        """Return a directory of the tree."""
        return Path(self.random.choice([folder for folder, _, _ in os.walk(self.top)]))

    def some(self, folder: Path | None = None) -> Path:
        """Return anything of the tree; a new name where its directory is empty."""
        return self.random.choice(sorted((folder or self.folder()).iterdir()) or [self.new()])

    def new(self) -> Path:
        """Return a name: of a few, so that names are often used again."""
        return self.folder() / f"{self.random.randrange(8)}"

    def do_write(self) -> None:
        """Create or overwrite a file."""
        put(self.new(), b"x" * self.random.randrange(100))

    def do_rename(self) -> None:
        """Rename anything, to a new name or over something."""
        self.some().rename(self.new())

    def do_rename_over(self) -> None:
        """Rename over something that is there."""
        self.some().rename(self.some())

    def do_save(self) -> None:
        """Write a temporary file and rename it, as editors do."""
        target = self.new()
        put(target.with_name("tmp"), b"y")
        target.with_name("tmp").rename(target)

    def do_exchange(self) -> None:
        """Exchange two names."""
        exchange(self.some(), self.some())

    def do_make(self) -> None:
        """Make directories, and a file inside at once."""
        folder = self.new() / "a" / "b"
        folder.mkdir(parents=True)
        put(folder / "f", b"x")

    def do_replace(self) -> None:
        """Move a directory away, and make a new one under its name."""
        folder = self.folder()
        if folder != self.top:
            folder.rename(self.new())
            folder.mkdir()
            put(folder / "f", b"x")

    def do_move_into_new(self) -> None:
        """Make a directory and move something into it at once."""
        folder, moved = self.new(), self.some()
        folder.mkdir()
        moved.rename(folder / "m")

    def do_link(self) -> None:
        """Link a file."""
        if self.links:
            os.link(self.some(), self.new(), follow_symlinks=False)

    def do_special(self) -> None:
        """Make a symbolic link or a fifo."""
        if self.random.random() < 0.5:
            self.new().symlink_to("somewhere")
        else:
            os.mkfifo(self.new())

    def do_change(self) -> None:
        """Change a mode."""
        self.some().chmod(self.random.choice([0o700, 0o750]))

    def do_remove(self) -> None:
        """Remove a file, or a tree."""
        target = self.some()
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()

    def do_move_out(self) -> None:
        """Move something out of the tree."""
        self.some().rename(self.outside / f"{self.random.getrandbits(32)}")

    def do_move_in(self) -> None:
        """Move something into the tree that was moved out."""
        self.some(self.outside).rename(self.new())


def put(path: Path, data: bytes) -> None:
    """Write a file; a fifo without a reader is an OSError instead of waiting for ever."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o644)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names at once (renameat2); False where that cannot be."""
    function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    at_fdcwd = -100
    return function(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), RENAME_EXCHANGE) == 0
