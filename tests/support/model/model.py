"""A small Lustre with two MDTs: operations on names and objects, logged where and how Lustre logs them.

The rules of logging are those seen in the captures (`allowed_log` holds them against each record of tests/data):
a file is made on its parent's MDT, a directory's birth and death are logged by its own, UNLNK by the object's,
RENME by the new parent's or that of the object which it overwrites, MIGRT has its parents the other way round. A
record's time can run backwards within its MDT; of two MDTs' records about the same name or object the later one has
the later time, unless their clocks differ (`skew_ns`).

A directory that is split has a new FID, and its old one lives on as a stripe, as after a migration that stopped
half-way: what is in it has no record, and later records name either FID as the parent. Of a file with several
names in a directory that migrates, some records say that one name is in the new directory, and one that all are a
new FID's.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import ChangelogRecord, RecordType
from tests.support.records import builders as b
from tests.support.records.builders import START_NS

MDTS = ("lustre-MDT0000", "lustre-MDT0001")
NAMES = (b"a", b"b.csv", b"c.csv", b"\xff\n")
STEP_NS = 100_000
Place = tuple[FID, bytes]

Move = tuple[int, int, int, int]
"""An operation, as numbers that choose: its kind, and what it is done to."""


@dataclass
class Inode:
    """What stays the same when a migration gives an object a new FID. `content` counts its contents."""

    number: int
    fid: FID
    type: str
    content: int = 1
    nlink: int = 1

    @property
    def mdt(self) -> int:
        """The MDT that holds the object: its FID says it."""
        return mdt_of(self.fid)


def mdt_of(fid: FID) -> int:
    """Return the number of the MDT whose sequences a FID belongs to."""
    return 0 if fid == ROOT_FID else (fid.seq - 0x200000000) >> 30


def allowed_log(record: ChangelogRecord, mdt: int) -> bool:
    """Whether Lustre logs such a record on this MDT, where the directory has one stripe."""
    if record.type in (RecordType.CREAT, RecordType.SLINK, RecordType.MKDIR, RecordType.RMDIR, RecordType.UNLNK):
        return mdt == mdt_of(record.target)
    if record.type == RecordType.HLINK:
        return mdt == mdt_of(record.parent)
    if record.type == RecordType.RENME:
        return mdt == mdt_of(record.target or record.parent)
    if record.type == RecordType.MIGRT:  # where it comes from or where it goes to: both were seen
        return mdt in (mdt_of(record.target), mdt_of(record.source))
    return True


@dataclass
class Lustre:
    """The file system as it is now, and what its MDTs have logged. `skew_ns`: what each MDS's clock is off."""

    chance: random.Random
    skew_ns: tuple[int, int] = (0, 0)
    links: dict[Place, Inode] = field(default_factory=dict)
    logs: tuple[list[ChangelogRecord], list[ChangelogRecord]] = field(default_factory=lambda: ([], []))
    now_ns: int = START_NS
    born: list[Inode] = field(default_factory=list)
    stripes: dict[FID, list[FID]] = field(default_factory=dict)
    """The old FIDs that a directory has yet, by its present one."""

    def __post_init__(self) -> None:
        self._touched: dict[tuple[int, object], int] = {}
        self._used = [0, 0]
        self.root = Inode(0, ROOT_FID, "d")
        self._numbers = {ROOT_FID: 0}

    # What is there

    def truth(self) -> dict[Place, FID]:
        """Return what each name means now."""
        return {place: inode.fid for place, inode in self.links.items()}

    def living(self) -> dict[FID, Inode]:
        """Return all objects that have a name, but the root."""
        return {inode.fid: inode for inode in self.links.values()}

    def directories(self) -> list[Inode]:
        """Return the root and all directories."""
        return [self.root, *(inode for inode in self.links.values() if inode.type == "d")]

    def numbered(self) -> dict[tuple[int, bytes], Inode]:
        """Return what each name means now, with the directory's number instead of its FID."""
        return {(self._numbers[parent], name): inode for (parent, name), inode in self.links.items()}

    def names(self, inode: Inode) -> list[Place]:
        """Return the names of an object."""
        return [place for place, each in self.links.items() if each is inode]

    def mtime_ns(self, inode: Inode) -> int:
        """Return a number that stands for when an object was changed last: of a directory, what is in it."""
        below = sorted((name, each.number) for (parent, name), each in self.links.items() if parent == inode.fid)
        return inode.content if inode.type != "d" else zlib.crc32(repr(below).encode())

    def paths(self, inode: Inode) -> list[bytes]:
        """Return the paths of an object, as fid2path would."""
        if inode is self.root:
            return [b""]
        above = {each.fid: each for each in self.directories()}
        return [
            (up + b"/" if up else b"") + name
            for parent, name in self.names(inode)
            for up in self.paths(above[parent])
        ]

    # What is done

    def do(self, moves: Iterable[Move]) -> None:
        """Do what can be done of it."""
        for kind, one, two, three in moves:
            OPERATIONS[kind % len(OPERATIONS)](self, one, two, three)

    def create(self, one: int, two: int, three: int) -> None:
        """A new file; a write if the name is taken."""
        parent, name = self._free(one, two)
        if not name:
            return self.write(one, two, three)
        # Created by the parent's MDT, there.
        inode = self._make("f", self._mdt(parent))
        self._log(inode.mdt, b.create(inode.fid, parent.fid, name), parent, (parent.fid, name), inode)
        self.links[parent.fid, name] = inode
        return self._note(b.close(inode.fid, parent=self._any(three).fid), inode)

    def symlink(self, one: int, two: int, three: int) -> None:
        """A new symbolic link."""
        del three
        parent, name = self._free(one, two)
        if name:
            inode = self._make("l", self._mdt(parent))
            self._log(inode.mdt, b.symlink(inode.fid, parent.fid, name), parent, (parent.fid, name), inode)
            self.links[parent.fid, name] = inode

    def mkdir(self, one: int, two: int, three: int) -> None:
        """A new directory, on any MDT."""
        parent, name = self._free(one, two)
        if name:
            inode = self._make("d", three % 2)
            self._log(inode.mdt, b.mkdir(inode.fid, parent.fid, name), parent, (parent.fid, name), inode)
            self.links[parent.fid, name] = inode

    def write(self, one: int, two: int, three: int) -> None:
        """New content; sometimes only new attributes. The parent that the record names is anything."""
        inode = self._some("f", one)
        if inode is not None:
            if two % 3:
                inode.content += 1
                return self._note(b.close(inode.fid, parent=self._any(three).fid), inode)
            return self._note(b.sattr(inode.fid, parent=self._any(three).fid), inode)
        return None

    def link(self, one: int, two: int, three: int) -> None:
        """One more name of a file; logged by the new name's directory."""
        inode = self._some("f", one)
        parent, name = self._free(two, three)
        if inode is not None and name:
            self._log(self._mdt(parent), b.link(inode.fid, parent.fid, name), parent, (parent.fid, name), inode)
            inode.nlink += 1
            self.links[parent.fid, name] = inode

    def unlink(self, one: int, two: int, three: int) -> None:
        """A name removed; logged by the object's MDT."""
        del two, three
        places = [place for place, inode in self.links.items() if inode.type != "d"]
        if places:
            place = places[one % len(places)]
            inode = self.links.pop(place)
            inode.nlink -= 1
            self._log(inode.mdt, b.unlink(inode.fid, *place, last=not inode.nlink), place, inode)

    def rmdir(self, one: int, two: int, three: int) -> None:
        """An empty directory removed; logged by its own MDT."""
        del two, three
        empty = [place for place, inode in self.links.items() if inode.type == "d" and self._is_empty(inode)]
        if empty:
            place = empty[one % len(empty)]
            inode = self.links.pop(place)
            inode.nlink = 0
            self._log(inode.mdt, b.rmdir(inode.fid, *place), place, inode)

    def rename(self, one: int, two: int, three: int) -> None:
        """Anything goes anywhere, over what is there if the kernel would do so."""
        if self.links:
            parents = self.directories()
            old = [*self.links][one % len(self.links)]
            self._rename(old, parents[two % len(parents)], NAMES[three % len(NAMES)])

    def exchange(self, one: int, two: int, three: int) -> None:
        """Two names changed for each other, in three steps, as Lustre has no other way."""
        del three
        places = [*self.links]
        if len(places) < 2:
            return
        first, second = places[one % len(places)], places[two % len(places)]
        above = {inode.fid: inode for inode in self.directories()}
        aside = (first[0], b"aside")
        inner, outer = self.links[first], self.links[second]
        if inner is outer or self._is_below(above[second[0]], inner) or self._is_below(above[first[0]], outer):
            return
        if inner.mdt != above[second[0]].mdt and "l" in (inner.type, outer.type):
            return  # each step would be a migration: `rename` does those
        self._rename(first, above[first[0]], b"aside")
        self._rename(second, above[first[0]], first[1])
        if aside in self.links:
            self._rename(aside, above[second[0]], second[1])

    def migrate(self, one: int, two: int, three: int) -> None:
        """`lfs migrate -m`: a file, or a directory with all that is in it, gets new FIDs on the other MDT."""
        del three
        places = [*self.links]
        if places:
            place = places[one % len(places)]
            if self.links[place].nlink == 1 or two % 2:
                self._migrate(place, place, 1 - self.links[place].mdt)

    def split(self, one: int, two: int, three: int) -> None:
        """`lfs setdirstripe -c`: a directory gets a new FID, what is in it is left alone."""
        del three
        places = [place for place, inode in self.links.items() if inode.type == "d"]
        if places:
            place = places[one % len(places)]
            self._migrate(place, place, two % 2, left=len(self.links))

    def stop(self, one: int, two: int, three: int) -> None:
        """`lfs migrate -m` of a directory that is interrupted somewhere."""
        places = [place for place, inode in self.links.items() if inode.type == "d"]
        if places:
            place = places[one % len(places)]
            self._migrate(place, place, 1 - self.links[place].mdt if two % 3 else three % 2, left=1 + three % 3)

    # How it is done

    def _rename(self, old: Place, parent: Inode, name: bytes) -> None:
        inode, new = self.links[old], (parent.fid, name)
        over = self.links.get(new)
        if over is inode or self._is_below(parent, inode):
            return  # onto another name of itself: nothing happens, nothing is logged
        if over is not None and (over.type == "d") != (inode.type == "d"):
            return
        if over is not None and over.type == "d" and not self._is_empty(over):
            return
        if inode.type == "l" and inode.mdt != parent.mdt and over is None:
            self._migrate(old, new, parent.mdt)
            return
        del self.links[old]
        if over is not None:
            over.nlink -= 1
        self.links[new] = inode
        record = b.rename(
            inode.fid, *old, to_parent=parent.fid, to=name,
            over=over.fid if over else 0, last=over is not None and not over.nlink,
        )  # fmt: skip
        touched = [old, new, parent, inode, *([over] if over else [])]
        self._log(over.mdt if over else self._mdt(parent), record, *touched)

    def _migrate(self, old: Place, new: Place, mdt: int, left: int = 0) -> int:
        """Move an object, and what is in it but for `left` names; return how many are still to be left."""
        inode = self.links.pop(old)
        before = inode.fid
        if inode.nlink == 1 or self.chance.random() < 0.5:
            self._rename_inode(inode, mdt)
        self.links[new] = inode
        logged = self.chance.choice([mdt_of(before), mdt_of(inode.fid)])
        record = b.record(
            RecordType.MIGRT, inode.fid, old[0], new[1], 0x2000,
            source=before, source_parent=new[0], source_name=old[1],
        )  # fmt: skip
        self._log(logged, record, old, new, before, inode)
        if inode.type != "d":
            return left
        below = [place for place in self.links if place[0] == before]
        stays = below[max(0, len(below) - left) :] if left else []
        for place in stays:  # without a record
            self.links[inode.fid, place[1]] = self.links.pop(place)
        if stays:
            self.stripes[inode.fid] = [*self.stripes.pop(before, []), before]
        for place in below[: len(below) - len(stays)]:
            self._migrate(place, (inode.fid, place[1]), mdt)
        return 0

    def _rename_inode(self, inode: Inode, mdt: int) -> None:
        inode.fid = self._new_fid(mdt)
        self._numbers[inode.fid] = inode.number

    def _make(self, type_: str, mdt: int) -> Inode:
        inode = Inode(len(self.born) + 1, self._new_fid(mdt), type_)
        self._numbers[inode.fid] = inode.number
        self.born.append(inode)
        return inode

    def _new_fid(self, mdt: int) -> FID:
        self._used[mdt] += 1
        return FID(0x200000401 + (mdt << 30), self._used[mdt])

    def _is_empty(self, inode: Inode) -> bool:
        return all(parent != inode.fid for parent, _ in self.links)

    def _is_below(self, inode: Inode, top: Inode) -> bool:
        while inode is not top and inode is not self.root:
            above = self.names(inode)[0][0]
            inode = next(each for each in self.directories() if each.fid == above)
        return inode is top

    def _free(self, one: int, two: int) -> tuple[Inode, bytes]:
        """Return a directory and a name that is free in it, or none."""
        parent = self._any(one)
        name = NAMES[two % len(NAMES)]
        return parent, b"" if (parent.fid, name) in self.links else name

    def _any(self, number: int) -> Inode:
        parents = self.directories()
        return parents[number % len(parents)]

    def _some(self, type_: str, number: int) -> Inode | None:
        found = [inode for inode in self.living().values() if inode.type == type_]
        return found[number % len(found)] if found else None

    def _note(self, record: ChangelogRecord, inode: Inode) -> None:
        self._log(inode.mdt, record, inode)

    def _log(self, mdt: int, record: ChangelogRecord, *touched: object) -> None:
        """Log a record whose time is behind all that the other MDT logged about what it touches."""
        keys = [self._key(each) for each in touched]
        self.now_ns += STEP_NS
        earliest = max([START_NS, *(self._touched.get((1 - mdt, key), 0) for key in keys)])
        lag_ns = self.chance.choice([0, 0, STEP_NS // 2, 3 * STEP_NS, 20 * STEP_NS])
        time_ns = max(self.now_ns - lag_ns, earliest + 1)
        log = self.logs[mdt]
        index = (log[-1].index if log else 0) + self.chance.choice([1, 1, 1, 4])  # gaps are legal
        assert allowed_log(record, mdt) or record.parent in self.stripes, record
        record = msgspec.structs.replace(
            record, index=index, time_ns=time_ns + self.skew_ns[mdt],
            parent=self._any_fid(record.parent), source_parent=self._any_fid(record.source_parent),
        )  # fmt: skip
        log.append(record)
        for key in keys:
            self._touched[mdt, key] = self.now_ns

    def _key(self, touched: object) -> object:
        """Return what stays the same, whatever FIDs an object or a directory has."""
        if isinstance(touched, Inode):
            return "inode", touched.number
        if isinstance(touched, tuple):
            parent, name = touched
            return self._numbers[parent], name
        return touched

    def _mdt(self, directory: Inode) -> int:
        """Return the MDT of one of a directory's stripes."""
        return mdt_of(self._any_fid(directory.fid))

    def _any_fid(self, directory: FID) -> FID:
        """Return a FID by which a record may name a directory."""
        return self.chance.choice([directory, *self.stripes.get(directory, [])])


OPERATIONS = (
    Lustre.create,
    Lustre.create,
    Lustre.mkdir,
    Lustre.mkdir,
    Lustre.symlink,
    Lustre.write,
    Lustre.link,
    Lustre.rename,
    Lustre.rename,
    Lustre.rename,
    Lustre.unlink,
    Lustre.rmdir,
    Lustre.exchange,
    Lustre.migrate,
    Lustre.split,
    Lustre.stop,
)


def any_moves(chance: random.Random, count: int) -> list[Move]:
    """Return moves of any kind."""
    return [(chance.randrange(1000), chance.randrange(1000), chance.randrange(1000), chance.randrange(1000))
            for _ in range(count)]  # fmt: skip


def pieces(records: Sequence[ChangelogRecord], chance: random.Random) -> list[list[ChangelogRecord]]:
    """Cut a log into blocks anywhere."""
    blocks, at = [], 0
    while at < len(records):
        size = chance.choice([1, 2, 3, 10])
        blocks.append(list(records[at : at + size]))
        at += size
    return blocks
