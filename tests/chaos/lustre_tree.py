"""A Lustre for processes: the model of tests/support as a real tree, with the records of its two MDTs in files.

The stand-in for liblustreapi serves the records and finds paths of FIDs in the tree; what is preloaded into workers
tells the FID of an open file. The tree changes and its record is written while nobody asks (flock of the mount).
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import RecordType
from lustre_events.streams.interface import Loss
from tests.support.model.model import MDTS, OPERATIONS, Inode, Lustre, Move
from tests.support.records.builders import raw

MOST = 60
"""Objects that live at the same time; above it things are only removed."""
MOST_SKEW_NS = 1_400_000_000
"""How far the clock of an MDS may step; two of them, and this node's, may differ by twice that (SKEW_SECONDS)."""
_FID = struct.Struct("<QII")
_REMOVALS = [OPERATIONS.index(Lustre.unlink), OPERATIONS.index(Lustre.rmdir)]
Key = tuple[int, bytes]


class LustreTree:
    """The tree below `mount`, which is below `folder`; records are appended to `records` (by MDT)."""

    def __init__(self, mount: Path, records: dict[str, Path], chance: random.Random) -> None:
        self.system = Lustre(chance)
        self._mount, self._records, self._chance = mount, records, chance
        self._stage = mount.with_name(f"{mount.name}.stage")
        self._stage.mkdir()
        self._places: dict[int, Key | None] = {0: None}  # of directories; None: the top
        self._staged: dict[int, list[Path]] = {}
        self._fids: dict[int, tuple[FID, list[FID]]] = {}
        self._contents: dict[int, int] = {}
        self._written = [0, 0]
        for path in records.values():
            path.touch()
        self._mark(self.system.root, mount)

    def step(self) -> None:
        """Do one operation, and sometimes let a clock jump."""
        if self._chance.random() < 0.01:
            self.system.skew_ns = tuple(self._chance.randint(-MOST_SKEW_NS, MOST_SKEW_NS) for _ in MDTS)  # type: ignore[assignment]
        many = len(self.system.links) > MOST
        kind = self._chance.choice(_REMOVALS) if many else self._chance.randrange(len(OPERATIONS))
        one, two, three = (self._chance.randrange(1000) for _ in range(3))
        with self._alone():
            self._do((kind, one, two, three))

    @property
    def logged(self) -> int:
        """How many records there are."""
        return sum(self._written)

    def logged_between(self, loss: Loss) -> int:
        """Return how many records there are in the range of a loss."""
        log = self.system.logs[MDTS.index(loss.mdt)]
        return sum(loss.first_index <= record.index <= (loss.last_index or record.index) for record in log)

    def fid_of(self, path: Path) -> FID:
        """Return the FID of what is there."""
        return FID(*_FID.unpack(os.getxattr(path, "trusted.lma", follow_symlinks=False)[8:]))

    def _do(self, move: Move) -> None:
        before = self.system.numbered()
        self.system.now_ns = max(self.system.now_ns, time.time_ns())
        self.system.do([move])
        after = self.system.numbered()
        self._take_away({key: inode for key, inode in before.items() if after.get(key) is not inode})
        self._put({key: inode for key, inode in after.items() if before.get(key) is not inode})
        for left in self._staged.values():
            for path in left:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self._staged.clear()
        for key, inode in after.items():
            self._follow(inode, self._path(key))
        self._log()

    def _take_away(self, names: dict[Key, Inode]) -> None:
        for number, (key, inode) in enumerate(names.items()):
            path = self._stage / str(number)
            self._path(key).rename(path)
            self._staged.setdefault(inode.number, []).append(path)

    def _put(self, names: dict[Key, Inode]) -> None:
        for key, inode in names.items():
            path = self._path(key)
            staged = self._staged.get(inode.number)
            if staged:
                staged.pop().rename(path)
                if not staged:
                    del self._staged[inode.number]
            elif inode.number in self._fids:
                others = [each for each, known in self.system.numbered().items() if known is inode and each != key]
                os.link(next(p for p in map(self._path, others) if os.path.lexists(p)), path, follow_symlinks=False)
            elif inode.type == "d":
                path.mkdir()
            elif inode.type == "l":
                path.symlink_to("somewhere")
            else:
                path.touch()
            if inode.type == "d":
                self._places[inode.number] = key

    def _follow(self, inode: Inode, path: Path) -> None:
        """Let a real object have the FID and the content of the model's."""
        stripes = self.system.stripes.get(inode.fid, [])
        if self._fids.get(inode.number) != (inode.fid, stripes):
            self._mark(inode, path)
        if inode.type == "f" and self._contents.get(inode.number) != inode.content:
            self._contents[inode.number] = inode.content
            path.write_text("n\n" + "1\n" * inode.content)

    def _mark(self, inode: Inode, path: Path) -> None:
        stripes = self.system.stripes.get(inode.fid, [])
        os.setxattr(path, "trusted.lma", bytes(8) + packed(inode.fid), follow_symlinks=False)
        if stripes:
            os.setxattr(path, "trusted.stripes", b"".join(map(packed, stripes)), follow_symlinks=False)
        self._fids[inode.number] = (inode.fid, list(stripes))

    def _log(self) -> None:
        for number, mdt in enumerate(MDTS):
            log = self.system.logs[number]
            for record in log[self._written[number] :]:
                if record.type == RecordType.SATTR:
                    self._change_mode(record.target)
            with self._records[mdt].open("ab") as file:
                file.write(raw(*log[self._written[number] :]))
            self._written[number] = len(log)

    def _change_mode(self, fid: FID) -> None:
        for key, inode in self.system.numbered().items():
            if inode.fid == fid:
                self._path(key).chmod(self._chance.choice([0o444, 0o644, 0o664]))

    def _path(self, key: Key) -> Path:
        parent, name = key
        return self._folder(parent) / os.fsdecode(name)

    def _folder(self, number: int) -> Path:
        staged = self._staged.get(number)
        if staged:
            return staged[0]
        key = self._places[number]
        return self._mount if key is None else self._path(key)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        held = os.open(self._mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
        finally:
            os.close(held)


def packed(fid: FID) -> bytes:
    """Return a FID as an MDT keeps it."""
    return _FID.pack(fid.seq, fid.oid, fid.ver)
