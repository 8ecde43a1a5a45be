"""Portions of directories: what a worker listed, against what the index knows. Values, no I/O.

A portion has all names behind `after` up to `last` (None: to the end of the directory) in the order of their bytes,
each with the object's FID (None: this worker cannot tell it, the name stays as it is) and facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.fs_answers import name_of
from lustre_events.dispatcher.tags import SeenFacts
from lustre_events.domain.bounds import converted
from lustre_events.domain.namespace import Link, base_stamp, eff_time_of
from lustre_events.domain.pending import PendingRow
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import Result


class Listing(msgspec.Struct, frozen=True, gc=False):
    """One portion of a directory, as it travels. `error`: it cannot be read. `more`: the rest was not listed."""

    entries: list[tuple[str, str | None, SeenFacts | None]] = []
    after: str = ""
    last: str | None = None
    more: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Portion:
    """One portion of a directory, decoded, with the stamp of what it says."""

    parent: FID
    scan: int
    stamp: bytes
    after: bytes
    last: bytes | None
    names: Mapping[bytes, tuple[FID | None, SeenFacts | None]]

    def followed(self, present: Mapping[FID, FID]) -> Portion:
        """Return the portion with the FIDs that objects have now."""
        names = {name: (present.get(fid, fid) if fid else None, facts) for name, (fid, facts) in self.names.items()}
        return replace(self, names=names)


def portion_of(result: Result, asked: PendingRow, skew_ns: int) -> tuple[Portion, Listing]:
    """Return what a worker has listed for a row, decoded and as it came. Raises ConfigError: it is no listing."""
    try:
        said = converted(result.document, Listing)
        names = {
            name_of(name): (None if fid is None else FID.parse(fid), facts) for name, fid, facts in said.entries
        }
    except msgspec.ValidationError as exc:
        raise ConfigError(f"this is not a listing of a directory: {exc}") from exc
    after = name_of(said.after) if said.after else b""
    last = None if said.last is None else name_of(said.last)
    stamp = base_stamp(asked.handed_out_ns - skew_ns)
    return Portion(result.fid, asked.scan, stamp, after, last, names), said


@dataclass(slots=True)
class Merged:
    """What portions say against what is known."""

    links: list[Link] = field(default_factory=list)
    objects: dict[FID, SeenFacts] = field(default_factory=dict)
    named: set[FID] = field(default_factory=set)
    """Objects that have a name unknown to the index."""
    lost: set[FID] = field(default_factory=set)
    """Objects that have lost a name."""
    disputed: dict[FID, int] = field(default_factory=dict)
    """Objects of which a record says something else that may be true, and the latest time (ns) of such a record."""
    below: dict[int, set[FID]] = field(default_factory=dict)
    """Directories by the scan that goes on with them."""
    healed: int = 0

    def add(self, portion: Portion, known: Mapping[bytes, Link]) -> None:
        """Take what a portion says; `known` are the links of its range, by name."""
        for name, (fid, facts) in portion.names.items():
            if fid is not None and facts is not None:
                self._listed(portion, name, fid, facts, known.get(name))
        for name, link in known.items():
            if link.fid is not None and name not in portion.names:
                self._absent(portion, name, link.fid, link)

    def _listed(self, portion: Portion, name: bytes, fid: FID, facts: SeenFacts, link: Link | None) -> None:
        """Take a name that is there."""
        if link is None or link.fid != fid:
            if link is not None and link.stamp >= portion.stamp:
                # The record may be the newer one, or have won by a wrong clock.
                self._dispute((fid, link.fid), link)
                return
            self.links.append(Link(portion.parent, name, fid, portion.stamp))
            self.named.add(fid)
            if link is not None and link.fid is not None:
                self.lost.add(link.fid)
                self.healed += 1
        self.objects[fid] = facts
        if portion.scan and facts.type == "d":
            self.below.setdefault(portion.scan, set()).add(fid)

    def _absent(self, portion: Portion, name: bytes, fid: FID, link: Link) -> None:
        """Take a name that is not there any more."""
        if link.stamp >= portion.stamp:
            self._dispute((fid,), link)
            return
        self.links.append(Link(portion.parent, name, None, portion.stamp))
        self.lost.add(fid)
        self.healed += 1

    def _dispute(self, fids: Iterable[FID | None], link: Link) -> None:
        for fid in fids:
            if fid is not None:
                self.disputed[fid] = max(self.disputed.get(fid, 0), eff_time_of(link.stamp))
