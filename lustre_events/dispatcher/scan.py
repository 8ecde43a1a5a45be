"""Directories as they are: listed by workers (`scan`), merged into names, objects and facts (see questions.py).

A scan begins with one directory and goes on with those that it finds; what is left are pending rows, so it survives
every crash. The same rows without a scan list one directory alone: for `heal` and for `verify --repair`.

An answer is a portion of a directory: all names behind `after` up to `last` (None: to the end of the directory) in
the order of their bytes, each with the object's FID (None: this worker cannot tell it, the name stays as it is) and
facts. Names of the index in that range which were not listed become tombstones.

A file that is new to the index gets its facts from the listing, and the rules are asked (reason `scan`). One whose
facts differ has changed without a record that was seen: it counts as written (another size or mtime) or changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher import questions as asking
from lustre_events.dispatcher.directory_walks import Walks
from lustre_events.dispatcher.heal import Healing
from lustre_events.dispatcher.work_planner import Question, Wishes
from lustre_events.domain.batch import ObjectChange
from lustre_events.domain.bounds import converted
from lustre_events.domain.namespace import Link, base_stamp, eff_time_of
from lustre_events.domain.pending import Kind, PendingRow
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Facts, ObjectRow, Transaction
from lustre_events.jobs.messages import SCAN, Result

_NEW = frozenset({Kind.CONTENT, Kind.NAME})
_NAME = frozenset({Kind.NAME})


class Listing(msgspec.Struct, frozen=True, gc=False):
    """One portion of a directory, as it travels. `error`: it cannot be read. `more`: the rest was not listed."""

    entries: list[tuple[str, str | None, Facts | None]] = []
    after: str = ""
    last: str | None = None
    more: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Portion:
    parent: FID
    scan: int
    stamp: bytes
    after: bytes
    last: bytes | None
    names: dict[bytes, tuple[FID | None, Facts | None]]


@dataclass(slots=True)
class _Merged:
    """What portions say against what is known."""

    links: list[Link] = field(default_factory=list)
    objects: dict[FID, Facts] = field(default_factory=dict)
    named: set[FID] = field(default_factory=set)
    lost: set[FID] = field(default_factory=set)
    disputed: dict[FID, int] = field(default_factory=dict)
    below: dict[int, set[FID]] = field(default_factory=dict)
    healed: int = 0


class Scanning:
    """Takes portions of directories; `accept` each result, then `write` them all, in the caller's transaction."""

    def __init__(self, wishes: Wishes, walks: Walks, healing: Healing) -> None:
        self._wishes = wishes
        self._walks = walks
        self._healing = healing
        self._portions: list[_Portion] = []
        self._done: list[tuple[int, FID, str]] = []

    def begin(self) -> None:
        """Forget what a step that failed has left."""
        self._portions, self._done = [], []

    def accept(self, result: Result, before: PendingRow, now_ns: int) -> PendingRow | None:
        """Keep a portion for `write` and return what is left of the directory's row.

        Raises:
            ConfigError: it is no listing.
        """
        try:
            said = converted(result.document, Listing)
            names = {
                asking.name_of(name): (None if fid is None else FID.parse(fid), facts)
                for name, fid, facts in said.entries
            }
        except msgspec.ValidationError as exc:
            raise ConfigError(f"this is no listing of a directory: {exc}") from exc
        scan = before.scan
        if said.error:
            self._done.append((scan, result.fid, said.error))
            return None
        after, reached = asking.name_of(said.after) if said.after else b"", before.after
        if after < reached:
            return before  # it came twice
        if after > reached:
            return asking.again(before, now_ns)  # a portion between was lost
        last = None if said.last is None else asking.name_of(said.last)
        stamp = base_stamp(before.handed_out_ns - self._healing.skew_ns)
        self._portions.append(_Portion(result.fid, scan, stamp, after, last, names))
        if last is not None:
            row = msgspec.structs.replace(before, after=last)
            return asking.again(row, now_ns) if said.more else row
        self._done.append((scan, result.fid, ""))
        return None

    def gave_up(self, before: PendingRow, error: str) -> None:
        """Take a directory whose tries are used up as one that cannot be read."""
        self._done.append((before.scan, before.fid, error))

    def write(self, transaction: Transaction, now_ns: int, counters: Counter[str]) -> None:
        """Write what was accepted, and the work that it asks for."""
        merged = _Merged()
        for portion in self._portions:
            known = {
                link.name: link for link in transaction.links_between(portion.parent, portion.after, portion.last)
            }
            _merge(portion, known, merged)
        if self._portions:
            self._write(transaction, merged, now_ns, counters)
        for scan, directories in merged.below.items():
            asking.listings(transaction, self._wishes.facts_lane, sorted(directories), now_ns, scan)
        self._count(transaction)
        self.begin()

    def _write(self, transaction: Transaction, merged: _Merged, now_ns: int, counters: Counter[str]) -> None:
        fids = merged.objects.keys()
        stored = transaction.objects(fids)
        named = {
            fid: _change(now_ns, facts)
            for fid, facts in merged.objects.items()
            if fid in merged.named & stored.keys()
        }
        before = self._walks.before(transaction, named)
        transaction.set_links(merged.links)
        self._walks.begin(transaction, before)
        new = [(_new_row(fid, facts), facts) for fid, facts in merged.objects.items() if fid not in stored]
        transaction.add_objects(new)
        changed = self._changed(transaction, merged, stored, now_ns)
        self._wishes.take(transaction, changed)
        questions = [_question(row, _NEW, now_ns) for row, _ in new]
        questions += [
            _question(stored[fid], _NAME, now_ns) for fid in merged.named & (stored.keys() - changed.keys())
        ]
        self._wishes.ask(transaction, questions)
        # Who has lost a name and has none left: is it still there?
        self._wishes.look_at(transaction, merged.lost - transaction.linked(merged.lost), now_ns)
        self._healing.want(transaction, merged.disputed, now_ns)
        counters.update({"scanned": sum(len(portion.names) for portion in self._portions), "healed": merged.healed})

    def _changed(
        self, transaction: Transaction, merged: _Merged, stored: dict[FID, ObjectRow], now_ns: int
    ) -> dict[FID, ObjectChange]:
        """Return what has changed of objects whose facts are known; let `stat` look at the others."""
        facts = transaction.facts(stored)
        self._wishes.look_at(transaction, stored.keys() - facts.keys(), now_ns)
        changed: dict[FID, ObjectChange] = {}
        for fid, (_, known) in facts.items():
            seen = merged.objects[fid]
            if _outside(seen) == _outside(known):
                continue
            change = changed[fid] = _change(now_ns, seen)
            change.attributes, change.named = True, fid in merged.named
            change.content = seen.type == "f" and (seen.size, seen.mtime_ns) != (known.size, known.mtime_ns)
        return changed

    def _count(self, transaction: Transaction) -> None:
        files: Counter[int] = Counter()
        directories: Counter[int] = Counter()
        for portion in self._portions:
            files[portion.scan] += sum(facts is None or facts.type != "d" for _, facts in portion.names.values())
        for scan, fid, error in self._done:
            directories[scan] += 1
            if scan and error:
                transaction.put_unreadable(scan, fid, error)
        for scan in (files.keys() | directories.keys()) - {0}:
            transaction.count_scan(scan, directories[scan], files[scan])
        transaction.remove_failures([(fid, SCAN) for _, fid, error in self._done if not error])


def _merge(portion: _Portion, known: dict[bytes, Link], merged: _Merged) -> None:
    for name, (fid, facts) in portion.names.items():
        link = known.get(name)
        if fid is None or facts is None:
            continue
        if link is None or link.fid != fid:
            if link is not None and link.stamp >= portion.stamp:
                # The record may be the newer one, or have won by a wrong clock.
                _dispute(merged, (fid, link.fid), link)
                continue
            merged.links.append(Link(portion.parent, name, fid, portion.stamp))
            merged.named.add(fid)
            if link is not None and link.fid is not None:
                merged.lost.add(link.fid)
                merged.healed += 1
        merged.objects[fid] = facts
        if portion.scan and facts.type == "d":
            merged.below.setdefault(portion.scan, set()).add(fid)
    for name, link in known.items():
        if link.fid is None or name in portion.names:
            continue
        if link.stamp >= portion.stamp:
            _dispute(merged, (link.fid,), link)
            continue
        merged.links.append(Link(portion.parent, name, None, portion.stamp))
        merged.lost.add(link.fid)
        merged.healed += 1


def _dispute(merged: _Merged, fids: Iterable[FID | None], link: Link) -> None:
    for fid in fids:
        if fid is not None:
            merged.disputed[fid] = max(merged.disputed.get(fid, 0), eff_time_of(link.stamp))


def _new_row(fid: FID, facts: Facts) -> ObjectRow:
    content = 1 if facts.type == "f" else 0
    return ObjectRow(fid=fid, generation=1, content=content, type=facts.type, uid=facts.uid, known=1)


def _question(row: ObjectRow, chances: frozenset[Kind], now_ns: int) -> Question:
    return Question(row, frozenset(), chances, now_ns, now_ns, SCAN)


def _change(now_ns: int, facts: Facts) -> ObjectChange:
    change = ObjectChange(now_ns)
    change.type, change.named = facts.type, True
    return change


def _outside(facts: Facts) -> Sequence[object]:
    """Return what tells that an object has changed; the time of access does not, nor what reading it tells."""
    return (
        facts.type, facts.size, facts.mtime_ns, facts.ctime_ns, facts.uid, facts.gid, facts.mode, facts.nlink,
        facts.released, facts.acl,
    )  # fmt: skip
