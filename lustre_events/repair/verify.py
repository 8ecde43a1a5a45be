"""Is the index right? Compared with the file system, directory by directory, as both are seen from this node.

What changes meanwhile is no difference: one counts only if it is found again, the same, when its directory is
looked at anew after the index had time to follow.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lustre_events.changelog.fid import FID
from lustre_events.index.backend import Backend, Entry, Reading, Row
from lustre_events.index.interface import Facts
from lustre_events.index.search.hits import printable
from lustre_events.repair.listing import Listed, Looker, Unreadable

MISSING, ONLY, OTHER, FACTS, STALE = (
    "missing in the index",
    "only in the index",
    "another object",
    "facts differ",
    "stale",
)

LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 10.0
"""How long the index has to follow a change that is under way."""

_COMPARED = ("type", "size", "mtime_ns", "uid", "gid", "mode", "nlink")
_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """Index and file system disagree about `path` (relative to the mount), a name in the directory `parent`."""

    kind: str
    path: bytes
    parent: FID
    fid: FID
    detail: str = ""
    directory: bool = False

    def line(self) -> str:
        """Return it as one line."""
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.kind}: {printable(self.path) or '.'}{more}"


@dataclass(slots=True)
class Outcome:
    """What a verification has seen; `unreadable` are paths and reasons."""

    directories: int = 0
    names: int = 0
    differences: list[Difference] = field(default_factory=list)
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)


def verify(  # noqa: PLR0917 - adapters
    looker: Looker,
    backend: Backend,
    top: tuple[bytes, FID],
    share: float,
    say: Callable[[Outcome], None],
    chance: random.Random,
    patience_seconds: float = PATIENCE_SECONDS,
    look_seconds: float = LOOK_SECONDS,
) -> Outcome:
    """Compare what is below a directory, or a random share of its directories.

    Args:
        looker: sees the file system.
        backend: sees the index.
        top: path relative to the mount, and FID, of the directory.
        share: how many of the directories are compared, 0 to 1; at least the first one.
        say: called after each directory.
        chance: chooses them.
        patience_seconds: how long the index has to follow.
        look_seconds: how long between two looks at the same directory.

    Raises:
        IndexUnavailable, ConfigError: the index, or the file system, does not answer.
    """
    outcome = Outcome()
    doubtful: dict[tuple[bytes, FID], set[Difference]] = {}
    left = [top]
    while left:
        path, fid = left.pop()
        try:
            listed = looker.entries(path)
        except Unreadable as exc:
            outcome.unreadable.append((path, str(exc)))
            continue
        if listed is None:
            continue  # gone meanwhile; the index will hear of it
        left += [(_join(path, name), each) for name, each in _directories(listed)]
        if (path, fid) == top or chance.random() < share:
            found = _compare(backend, path, fid, listed)
            outcome.directories += 1
            outcome.names += len(listed)
            if found:
                doubtful[path, fid] = found
        say(outcome)
    outcome.differences = sorted(
        _lasting(looker, backend, doubtful, patience_seconds, look_seconds), key=lambda each: (each.path, each.kind)
    )
    return outcome


def _lasting(
    looker: Looker,
    backend: Backend,
    doubtful: dict[tuple[bytes, FID], set[Difference]],
    patience_seconds: float,
    look_seconds: float,
) -> Iterable[Difference]:
    """Return the differences that are still there, unchanged, when the index has had its time."""
    deadline = time.monotonic() + patience_seconds
    while doubtful and time.monotonic() < deadline:
        time.sleep(look_seconds)
        for (path, fid), before in list(doubtful.items()):
            try:
                listed = looker.entries(path)
            except Unreadable:
                listed = None
            # One that looks otherwise now is changing: it is new, and must last from now on.
            found = set() if listed is None else _compare(backend, path, fid, listed)
            if found:
                doubtful[path, fid] = found
                if found - before:
                    deadline = max(deadline, min(time.monotonic() + 2 * look_seconds, deadline + patience_seconds))
            else:
                del doubtful[path, fid]
    return [each for found in doubtful.values() for each in found]


def _compare(backend: Backend, path: bytes, fid: FID, listed: Mapping[bytes, Listed]) -> set[Difference]:
    with backend.reading(None) as reading:
        entries = {entry.name: entry for entry in _entries(reading, fid)}
        rows = reading.objects({entry.fid for entry in entries.values()}) if entries else {}
        stale = _stale(reading, rows)
    found = set()
    for name in listed.keys() | entries.keys():
        seen, entry = listed.get(name), entries.get(name)
        difference = _difference(_join(path, name), fid, seen, entry, rows)
        if difference is not None:
            found.add(difference)
        elif seen is not None and entry is not None and entry.fid in stale:
            found.add(Difference(STALE, _join(path, name), fid, entry.fid, stale[entry.fid]))
    return found


def _difference(
    path: bytes, parent: FID, seen: Listed | None, entry: Entry | None, rows: Mapping[FID, Row]
) -> Difference | None:
    if seen is None:
        return None if entry is None else Difference(ONLY, path, parent, entry.fid, str(entry.fid))
    fid, facts = seen
    if fid is None or facts is None:
        return None  # it cannot be told here
    if entry is None:
        return Difference(MISSING, path, parent, fid, str(fid), facts.type == "d")
    if entry.fid != fid:
        return Difference(OTHER, path, parent, fid, f"{fid}, in the index {entry.fid}", facts.type == "d")
    said = _differing_facts(facts, rows.get(fid))
    return Difference(FACTS, path, parent, fid, said, facts.type == "d") if said else None


def _differing_facts(facts: Facts, row: Row | None) -> str:
    """Return which facts are others in the index, and what it says; empty: all are the same."""
    pairs = {name: (getattr(facts, name), getattr(row, name, None)) for name in _COMPARED}
    return ", ".join(
        f"{name} {seen}, in the index {known}" for name, (seen, known) in pairs.items() if seen != known
    )


def _stale(reading: Reading, rows: Mapping[FID, Row]) -> dict[FID, str]:
    """Return objects with a document of older content than is known, for which nothing is pending."""
    fids = {row.id: fid for fid, row in rows.items()}
    old = {
        (fids[each.object], each.extractor)
        for each in reading.documents(fids)
        if each.body is not None and each.failure is None and each.generation < rows[fids[each.object]].content
    }
    if old:
        old -= {(each.fid, each.extractor) for each in reading.pending({fid for fid, _ in old})}
    return {fid: f"its {name} document is older than its content" for fid, name in sorted(old)}


def _entries(reading: Reading, fid: FID) -> Iterator[Entry]:
    after = b""
    while found := reading.entries(fid, after, _ENTRIES):
        yield from found
        after = found[-1].name


def _directories(listed: Mapping[bytes, Listed]) -> Iterator[tuple[bytes, FID]]:
    for name, (fid, facts) in sorted(listed.items()):
        if fid is not None and facts is not None and facts.type == "d":
            yield name, fid


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name
