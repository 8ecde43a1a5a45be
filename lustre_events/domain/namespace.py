"""The namespace as records tell it: which name means which object, whatever order the records come in.

A link is `(parent FID, name) → FID`, or → None once the name is removed (a tombstone). Every link carries
the order key of the record that made it, and the highest key wins. So links can be merged one by one, in
batches, twice, and in any order of the MDTs, and the result is the same.

The key begins with the effective time, not with the index: indexes of two MDTs cannot be compared, and the
time alone can run backwards within one MDT (seen 7 times in real captures). The effective time is the
record's time, pushed behind the record before it in its MDT's log.

A migration or a split (`lfs setdirstripe`) gives an object a new FID, and both FIDs are one object from then on:
all names of the old one mean the new one, hard links without a record of their own too, and a directory's old FID
lives on as a stripe, so that later records name either one as the parent. As no FID is used twice, it does not
matter when the migration is heard of: each link is read as one of the present FIDs (`followed`).

What each type of record does to names: record_meaning.py.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, MutableMapping
from typing import NamedTuple

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.domain.record_meaning import Effect
from lustre_events.errors import ConfigError

_KEY = struct.Struct(">QHQQ")
_MDT_NAME = re.compile(r"[A-Za-z0-9_.-]*MDT([0-9a-fA-F]{4})\Z")

LATEST_TIME_NS = 1 << 62
"""In the year 2116. A record's time behind it is a fault, and one such time would make its MDT win for ever."""


class OrderKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a record stands among the records of all MDTs. Keys compare by their fields, in this order."""

    eff_time: int
    mdt_number: int
    epoch: int
    index: int

    def pack(self) -> bytes:
        """Return 26 bytes, big-endian, so that their order is the keys' order (the `stamp` of a link)."""
        return _KEY.pack(self.eff_time, self.mdt_number, self.epoch, self.index)

    @classmethod
    def unpack(cls, packed: bytes) -> OrderKey:
        """Return the key of 26 bytes that `pack` made."""
        return cls(*_KEY.unpack(packed))


def base_stamp(time_ns: int) -> bytes:
    """Return the stamp of what the file system itself said then: any record of that time or later wins."""
    return OrderKey(max(0, time_ns), 0, 0, 0).pack()


def refuted(stamp: bytes) -> bytes:
    """Return the stamp of the statement that a record is no longer true: right behind it, before any other one."""
    return (int.from_bytes(stamp) + 1).to_bytes(_KEY.size)


def eff_time_of(stamp: bytes) -> int:
    """Return the effective time in a packed key, in ns."""
    return int.from_bytes(stamp[:8])


def rivals(known: bytes, stamp: bytes, skew_ns: int) -> bool:
    """Whether two records may be in the wrong order because the clocks of their MDTs differ by up to `skew_ns`."""
    return (
        known[8:10] != stamp[8:10]
        and abs(eff_time_of(known) - eff_time_of(stamp)) <= skew_ns
        and known[10:] != _NO_RECORD
        and stamp[10:] != _NO_RECORD
    )


_NO_RECORD = bytes(16)


class Link(msgspec.Struct, frozen=True, gc=False):
    """One place of the namespace with the packed key of the record that wrote it last."""

    parent: FID
    name: bytes
    fid: FID | None
    stamp: bytes


class Move(msgspec.Struct, frozen=True, gc=False):
    """A migration or a split: an object's FID and its new one, with the packed key of the record."""

    fid: FID
    target: FID
    stamp: bytes


Place = tuple[FID, bytes]


def is_mdt(name: str) -> bool:
    """Whether a name can be an MDT's: else its records have no place among those of others."""
    return _MDT_NAME.match(name) is not None


def mdt_number(mdt: str) -> int:
    """Return the number of an MDT: `lustre-MDT000a` is 10.

    Raises:
        ConfigError: that is not a name of an MDT.
    """
    match = _MDT_NAME.match(mdt)
    if match is None:
        raise ConfigError(f"{mdt!r} is not an MDT's name; write it as FSNAME-MDT and four hexadecimal digits, "
                          "as `lctl dl` shows it: lustre-MDT0000")  # fmt: skip
    return int(match[1], 16)


def effective_time(time_ns: int, previous: int) -> int:
    """Return the effective time of a record behind one whose effective time is `previous` (0: none), in ns.

    Within one (MDT, epoch) it grows strictly. A time that cannot be (LATEST_TIME_NS) counts as none.
    """
    return time_ns if previous < time_ns <= LATEST_TIME_NS else previous + 1


def merge(links: MutableMapping[Place, Link], stamp: bytes, found: Iterable[Effect]) -> list[tuple[Link, Effect]]:
    """Bring the effects of the record with the packed key `stamp` into `links`: the highest key wins.

    Returns the links that stood at the same places, each with the effect that met it.
    """
    met = []
    for effect in found:
        place = (effect.parent, effect.name)
        present = links.get(place)
        if present is not None:
            met.append((present, effect))
        if present is None or stamp >= present.stamp:
            links[place] = Link(effect.parent, effect.name, effect.fid, stamp)
    return met


def present_of(steps: Mapping[FID, Move], fid: FID) -> FID:
    """Return the FID that an object has after all its migrations; `steps` are the last ones of each FID.

    A directory that is split and merged again has its first FID back: of a circle the latest step counts.
    """
    seen: dict[FID, int] = {}
    path: list[Move] = []
    while (step := steps.get(fid)) is not None:
        if fid in seen:
            return max(path[seen[fid] :], key=lambda each: each.stamp).target
        seen[fid] = len(path)
        path.append(step)
        fid = step.target
    return fid


class Aliases(NamedTuple):
    """Old FIDs by what they stand for: their memory stays, waits, or goes."""

    directories: list[FID]
    unknown: list[FID]
    others: list[FID]


def sorted_by_type(old: Iterable[FID], present: Mapping[FID, FID], types: Mapping[FID, str | None]) -> Aliases:
    """Sort old FIDs by the types of the objects that they stand for; one that is gone is among the others.

    `types` has the objects that are there; None: nobody has seen yet what it is, so it may be a directory.
    """
    found = Aliases([], [], [])
    for fid in old:
        now = present.get(fid, fid)
        kind = types.get(now, "gone")
        (found.unknown if kind is None else found.directories if kind == "d" else found.others).append(fid)
    return found


def followed(links: Iterable[Link], present: Mapping[FID, FID]) -> dict[Place, Link]:
    """Return links with the FIDs that their directories and objects have now: the highest key wins.

    Where one record has freed a place and set it, it is set.
    """
    found: dict[Place, Link] = {}
    for link in links:
        parent = present.get(link.parent, link.parent)
        fid = None if link.fid is None else present.get(link.fid, link.fid)
        if parent != link.parent or fid != link.fid:
            link = Link(parent, link.name, fid, link.stamp)  # noqa: PLW2901 - the same link
        known = found.get((parent, link.name))
        if known is None or (link.stamp, fid is not None) >= (known.stamp, known.fid is not None):
            found[parent, link.name] = link
    return found
