"""What many records together change: the dispatcher's unit of work, made in memory before anything is written.

A file that is created, written, closed and removed within one batch costs one tombstone. Records of several
MDTs may be added in any order: links are decided by their keys (namespace.py), and what happened to an object is
a set of facts without an order.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord, RecordType, iter_records
from lustre_events.domain.namespace import (
    LATEST_TIME_NS,
    Link,
    Move,
    OrderKey,
    Place,
    eff_time_of,
    effective_time,
    followed,
    merge,
    rivals,
)
from lustre_events.domain.record_meaning import (
    CREATES,
    GIVES_NAME,
    LINK_EFFECTS,
    MAY_CHANGE_RIGHTS,
    MAY_REMOVE,
    NAMES_TWO,
    ORIGINS,
    TYPE_OF,
    Effect,
    Kind,
    change_of,
    changes_rights,
    lacks_old_name,
    new_fid_of,
    object_of,
    overwritten,
)
from lustre_events.domain.spans import Span, floor_of
from lustre_events.domain.triggers import REMOVED, USUAL, noted_by_type, triggers_of
from lustre_events.errors import RecordDecodeError

log = logging.getLogger(__name__)


NOTHING = Span()


class ObjectChange:
    """What happened to one object in this batch. Times are those of the records, none behind `now_ns`."""

    __slots__ = (
        "_events",
        "attributes",
        "cause",
        "content",
        "created",
        "first_ns",
        "found",
        "gone",
        "jobid",
        "last_ns",
        "named",
        "noted",
        "noted_at",
        "rights",
        "since",
        "type",
    )

    def __init__(self, time_ns: int) -> None:
        self.content = False
        self.attributes = False
        self.rights = False
        """Its owner, mode or access list may be another one; what `stat` saw before grants nothing any more."""
        self.named = False
        """It has a new name, so the rules may answer differently."""
        self.created = False
        self.found = False
        """No record says it: somebody has looked."""
        self.gone = False
        """A record says that its last name is removed; other MDTs' records may know better."""
        self.type: str | None = None
        self.jobid: bytes | None = None
        self.first_ns = self.last_ns = time_ns
        self.since = b""
        """The packed key of the first record."""
        self.cause = b""
        """The packed key of the last record."""
        self.noted: tuple[str, ...] = ()
        """What the usual records say, with the key of the last one; most is never asked for (`events`)."""
        self.noted_at = b""
        self._events: dict[str, bytes] | None = None

    @property
    def events(self) -> dict[str, bytes]:
        """What happened by the words of rules (triggers.py), as far as one asks, with the last record's key."""
        if self._events is None:
            self._events = {}
        for trigger in self.noted:
            self._events[trigger] = max(self.noted_at, self._events.get(trigger, b""))
        self.noted, self.noted_at = (), b""
        return self._events

    @events.setter
    def events(self, events: dict[str, bytes]) -> None:
        self.noted, self.noted_at, self._events = (), b"", events

    def absorb(self, other: ObjectChange) -> None:
        """Take over what happened to the same object under its old FID; that the old FID is gone is no news."""
        self.content |= other.content
        self.attributes |= other.attributes
        self.rights |= other.rights
        self.named |= other.named
        self.created |= other.created
        self.type = self.type or other.type
        self.jobid = self.jobid or other.jobid
        self.first_ns = min(self.first_ns, other.first_ns)
        self.last_ns = max(self.last_ns, other.last_ns)
        self.cause = max(self.cause, other.cause)
        for trigger, stamp in other.events.items():
            if trigger != REMOVED:
                self.events[trigger] = max(stamp, self.events.get(trigger, b""))


class Batch:
    """The changes of any number of blocks.

    `counters` add up: records = named + changed + ignored + unknown + damaged; `repeated` ones are none of them.
    `contested` are the objects whose names may be wrong because the clocks of two MDTs differ by up to `skew_ns`
    (0: there is one MDT only), or because a record came late, with the latest time of the records that say so
    (dispatcher/heal.py). `watched` are the triggers that rules ask for.
    """

    def __init__(self, now_ns: int, skew_ns: int = 0, watched: Collection[str] = ()) -> None:
        self.contested: dict[FID, int] = {}
        self.late: set[Place] = set()
        """Where records came late: who is there is in doubt, too."""
        self._skew_ns = skew_ns
        self.links: dict[Place, Link] = {}
        self.changes: dict[FID, ObjectChange] = {}
        self.counters: Counter[str] = Counter()
        self._now_ns = now_ns
        self._noted = noted_by_type(watched) if watched else {}
        self._matter = self._noted.keys() | _MAY_MATTER if self._noted else frozenset[int]()
        self._usual = {number: triggers for number, triggers in self._noted.items() if number in USUAL}
        self.unusual: set[str] = set()
        """What happened to any object, as far as rules ask, but what the usual records say."""
        self._moves: dict[bytes, Move] = {}
        self.came_from: dict[FID, tuple[FID, bytes]] = {}
        """The directory from which an object was renamed last, and the packed key of the record; if rules ask."""
        self.made_directories: dict[FID, bytes] = {}
        """Directories that were made, with their names; if rules ask."""

    # Branches: as in `_add`.
    def add_block(
        self,
        data: bytes,
        *,
        count: int,
        last_index: int,
        where: tuple[int, int],
        taken: Span = NOTHING,
        others: Sequence[Span] = (),
    ) -> Span:
        """Add the records of a block that lie behind what was `taken` of its epoch; return what is taken then.

        `where` is (MDT number, epoch). `others` are what was taken under other epochs of this MDT: a record among
        that is not applied again, and one that should have come before it is late: its names may be gone since
        then, or be somebody else's, so the objects are asked for (`contested`).
        Damage in the block ends it: what lies behind the damage is counted, and said in the log.
        """
        seen, position, eff_time = 0, taken.last_index, taken.last_ns
        first_index, first_ns = (0, 0) if taken.empty else (taken.first_index, taken.first_ns)
        try:
            for record in iter_records(data):
                if record.index > last_index:
                    raise RecordDecodeError(f"index {record.index} in a block that ends at {last_index}", 0)
                seen += 1
                if record.index <= position:
                    continue
                position = record.index
                if not first_index:
                    first_index = position
                    first_ns = record.time_ns if record.time_ns <= LATEST_TIME_NS else eff_time
                elif record.time_ns < first_ns:
                    first_ns = record.time_ns
                floor, late = 0, False
                if others:
                    if any(span.holds(position, record.time_ns) for span in others):
                        self.counters["repeated"] += 1
                        continue
                    floor, late = floor_of(others, position, record.time_ns)
                eff_time = effective_time(record.time_ns, max(eff_time, floor))
                self._add(record, OrderKey(eff_time, *where, record.index).pack(), late=late)
        except RecordDecodeError as exc:
            lost = max(1, count - seen)
            log.error(  # noqa: TRY400 - one sentence; there is nothing to see in a traceback
                "MDT%04x: %d records of a stored block behind index %d cannot be read and are skipped (%s); "
                "what they changed is unknown until a scan",
                where[0], lost, position, exc, extra={"action": "skip", "last_index": last_index},
            )  # fmt: skip
            self.counters["records"] += lost
            self.counters["damaged"] += lost
        if not first_index:
            first_index, first_ns = last_index + 1, 0
        return Span(first_index, last_index, first_ns, eff_time)

    @property
    def doubts_names(self) -> bool:
        """Whether names may change without a record: there are several MDTs, or records came late."""
        return bool(self._skew_ns or self.contested)

    def moves(self) -> list[Move]:
        """Return the migrations, in order."""
        return [move for _, move in sorted(self._moves.items())]

    def fids(self) -> set[FID]:
        """Return all objects and directories that the batch is about."""
        found = {fid for link in self.links.values() for fid in (link.parent, link.fid) if fid is not None}
        found.update(self.changes)
        found.update(self.contested)
        found.update(fid for move in self._moves.values() for fid in (move.fid, move.target))
        return found

    def follow(self, present: Mapping[FID, FID]) -> None:
        """Make what happened to objects under old FIDs happen to the present ones. When all blocks are added."""
        if not present:
            return
        self.links = followed(self.links.values(), present)
        self.late = {(present.get(parent, parent), name) for parent, name in self.late}
        for fid, target in present.items():
            old = self.changes.pop(fid, None)
            if old is not None:
                self.changes.setdefault(target, ObjectChange(old.first_ns)).absorb(old)

    def _compare(self, met: Iterable[tuple[Link, Effect]], stamp: bytes) -> None:
        """Doubt the names of objects that a record met at its places, if their records are another MDT's."""
        for link, effect in met:
            if rivals(link.stamp, stamp, self._skew_ns):
                self.contest((link.fid, effect.fid), max(link.stamp, stamp))

    def contest(self, fids: Iterable[FID | None], stamp: bytes) -> None:
        """Doubt the names of objects because of records up to the one with this packed key."""
        for fid in fids:
            if fid is not None:
                self.contested[fid] = max(self.contested.get(fid, 0), eff_time_of(stamp))

    # Branches: for every record: calls would cost more than they explain.
    def _add(self, record: ChangelogRecord, stamp: bytes, *, late: bool) -> None:
        counters = self.counters
        counters["records"] += 1
        kind = change_of(record)
        if kind is None:
            counters["unknown"] += 1
            return
        if kind is Kind.NONE:
            counters["ignored"] += 1
            return
        make = LINK_EFFECTS.get(record.type)
        found = make(record) if make is not None else ()
        met = merge(self.links, stamp, found)
        if met and self._skew_ns:
            self._compare(met, stamp)
        counters["named" if found else "changed"] += 1
        if late:
            counters["late"] += 1
            self.late |= {(effect.parent, effect.name) for effect in found}
            named = {fid for link, effect in met for fid in (link.fid, effect.fid)}
            self.contest({object_of(record) or None, *named, *(effect.fid for effect in found)}, stamp)
        change = self._change(object_of(record), kind, record, stamp)
        if change is not None:
            change.type = TYPE_OF.get(record.type, change.type)
            change.rights |= record.type in MAY_CHANGE_RIGHTS and changes_rights(record)
            change.named |= record.type in GIVES_NAME
            change.created |= record.type in CREATES
        if record.type in NAMES_TWO:
            self._note_other(record, stamp)

    def _note_other(self, record: ChangelogRecord, stamp: bytes) -> None:
        """Take note of the second object that a record names (NAMES_TWO)."""
        lost, fids = overwritten(record), new_fid_of(record)
        if lost is not None:
            self._change(lost[0], lost[1], record, stamp)
        if fids is not None:
            self._moves[stamp] = Move(*fids, stamp)
        if lacks_old_name(record):
            self.counters["renames_without_old_name"] += 1

    def _change(self, fid: FID, kind: Kind, record: ChangelogRecord, stamp: bytes) -> ObjectChange | None:
        if not fid:
            return None
        time_ns = min(record.time_ns, self._now_ns)
        change = self.changes.get(fid)
        if change is None:
            change = self.changes[fid] = ObjectChange(time_ns)
            change.since = stamp
        elif time_ns > change.last_ns:
            change.last_ns = time_ns
        elif time_ns < change.first_ns:
            change.first_ns = time_ns
        cause = change.cause
        if cause and self._skew_ns and cause[8:10] != stamp[8:10]:
            self.contest((fid,), max(cause, stamp))
        change.cause = max(cause, stamp)
        if kind is Kind.CONTENT:
            change.content = True
        elif kind is Kind.ATTRIBUTES:
            change.attributes = True
        elif kind is Kind.GONE:
            change.gone = True
        if record.jobid:
            change.jobid = record.jobid
        self._note(change, kind, record, stamp)
        return change

    def _note_origin(self, record: ChangelogRecord, stamp: bytes) -> None:
        """Take note of where something comes from, or of what a new directory is called."""
        if record.type == RecordType.MKDIR:
            self.made_directories[record.target] = record.name
        elif stamp > self.came_from.get(record.source, (None, b""))[1] and record.source_parent != record.parent:
            self.came_from[record.source] = (record.source_parent, stamp)

    def _note(self, change: ObjectChange, kind: Kind, record: ChangelogRecord, stamp: bytes) -> None:
        """Take note of what rules ask for."""
        type_ = record.type
        if type_ not in self._matter:
            return
        triggers = self._usual.get(type_)
        if triggers is None:
            if type_ in ORIGINS:
                self._note_origin(record, stamp)
            triggers = triggers_of(type_, kind, self._noted)
            self.unusual.update(triggers)
        elif not change.noted:
            change.noted, change.noted_at = triggers, stamp
            return
        elif change.noted is triggers:
            if stamp > change.noted_at:  # noqa: PLR1730 - a call would cost more than all else here
                change.noted_at = stamp
            return
        events = change.events
        for trigger in triggers:
            if stamp > events.get(trigger, b""):
                events[trigger] = stamp


_MAY_MATTER = ORIGINS | MAY_REMOVE
"""Beside what rules ask for: where something comes from, and what may remove the last name."""
