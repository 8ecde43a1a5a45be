"""Everything below one directory in the order of the paths, found by a walk that goes only as far as a page needs.

A tree knows no order of ids: in the order of ids a large subtree would have to be listed as a whole, or searched
for among all other objects, before the first hit is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lustre_events.changelog.fid import FID
from lustre_events.index.backend import Entry, Reading, Row
from lustre_events.index.paths import paths_of
from lustre_events.index.query.tree import All, And, Node, Path
from lustre_events.index.query.wildcards import literal_of, name_bytes
from lustre_events.index.search.access import resolve
from lustre_events.index.visibility import DirectoryAccess

_PORTION = 500
"""Objects that are looked at together."""
_FIRST_PORTION = 2
"""At first only this many for each one that is wanted: mostly that is enough."""


@dataclass(frozen=True, slots=True)
class Subtree:
    """What a query asks within one directory: below it (`deep`) or only in it."""

    directory: tuple[bytes, ...]
    deep: bool
    rest: Node

    @classmethod
    def of(cls, node: Node) -> Subtree | None:
        """Return the subtree of a query that has to lie in one (`path:/literal/**`), else None."""
        nodes = node.nodes if isinstance(node, And) else (node,)
        for number, item in enumerate(nodes):
            if isinstance(item, Path) and (found := _literal(item.glob)) is not None:
                others = nodes[:number] + nodes[number + 1 :]
                rest = And(others) if len(others) > 1 else others[0] if others else All()
                return cls(found, item.glob.endswith("/**"), rest)
        return None


def _literal(glob: str) -> tuple[bytes, ...] | None:
    above, _, last = glob.rpartition("/")
    directory = literal_of(above)
    if not glob.startswith("/") or last not in {"*", "**"} or directory is None:
        return None
    return tuple(name_bytes(part) for part in directory.split("/") if part)


def walked(
    reading: Reading, node: Node, access: DirectoryAccess | None, limit: int, *, after: bytes | None = None
) -> list[tuple[bytes, Row]] | None:
    """Return up to `limit` objects of a subtree that match, with the path by which each was found.

    They are in the order of their paths, compared name by name; behind the path `after`. An object with several
    paths in the subtree comes with the first of them only. None: a query is about no subtree, or few objects match.

    Raises:
        IndexUnavailable: the reading's time is over.
    """
    subtree = Subtree.of(node)
    if subtree is None or (after is None and reading.selective(subtree.rest)):
        return None
    found: list[tuple[bytes, Row]] = []
    circling: set[int] = set()
    base = b"/".join(subtree.directory)
    for hits in _hits(reading, subtree, after, limit, access):
        paths = paths_of(reading.links, {row.fid for _, row in hits}, access)
        for path, row in hits:
            first = _first(paths[row.fid], base, deep=subtree.deep)
            # Links out of order can make a directory lie in itself: then it has no path here, and is here.
            if path == first or (first is None and row.id not in circling):
                circling.add(row.id)
                found.append((path, row))
        if len(found) >= limit:
            break
    return found[:limit]


def counted(reading: Reading, node: Node, access: DirectoryAccess | None, limit: int) -> int | None:
    """Return how many objects of a subtree match, up to `limit`; None, and raises, as `walked`."""
    subtree = Subtree.of(node)
    if subtree is None or reading.selective(subtree.rest):
        return None
    ids: set[int] = set()
    for hits in _hits(reading, subtree, None, limit, access):
        ids |= {row.id for _, row in hits}
        if len(ids) >= limit:
            break
    return min(len(ids), limit)


def _hits(
    reading: Reading, subtree: Subtree, after: bytes | None, limit: int, access: DirectoryAccess | None
) -> Iterator[list[tuple[bytes, Row]]]:
    """Yield what matches in a subtree, portion by portion, in the order of the paths and on each of its paths."""
    base = b"/".join(subtree.directory)
    root = resolve(reading, base, None)
    if root is None:
        return
    entries = _below(reading, root, base, _names_behind(base, after), access, deep=subtree.deep)
    size = min(_FIRST_PORTION * limit, _PORTION)
    while portion := _portion(entries, size):
        reading.in_time()
        size = _PORTION
        rows = {row.id: row for row in reading.matching(subtree.rest, {entry.id for _, entry in portion})}
        yield [(path, rows[entry.id]) for path, entry in portion if entry.id in rows]


def _portion(entries: Iterator[tuple[bytes, Entry]], size: int) -> list[tuple[bytes, Entry]]:
    """Return the next entries whose objects are stored."""
    portion: list[tuple[bytes, Entry]] = []
    while len(portion) < size and (item := next(entries, None)) is not None:
        if item[1].id:
            portion.append(item)
    return portion


def _first(paths: list[bytes], base: bytes, *, deep: bool) -> bytes | None:
    prefix = base + b"/" if base else b""
    inside = [path for path in paths if path.startswith(prefix) and (deep or b"/" not in path[len(prefix) :])]
    return min(inside, key=lambda path: path.split(b"/"), default=None)


def _names_behind(base: bytes, after: bytes | None) -> list[bytes]:
    """Return the names below `base` that lead to where the walk goes on."""
    return [] if after is None else after[len(base) + 1 if base else 0 :].split(b"/")


def _below(
    reading: Reading, root: FID, base: bytes, names: list[bytes], access: DirectoryAccess | None, *, deep: bool
) -> Iterator[tuple[bytes, Entry]]:  # fmt: skip
    """Yield (path, entry) of what is below a directory and can be seen, behind the names given."""
    searchable, listed = (access.searchable, access.listed) if access is not None else (_always, _always)
    if not searchable(root):
        return
    stack = [(root, base + b"/" if base else b"", _listing(reading, root, [*names, b""][0]))]
    # A directory is walked once, on the first way to it: links out of order can make many ways, and circles.
    walked = {root}
    if deep:
        _go_back(reading, names, stack, walked, searchable)
    while stack:
        directory, prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        if listed(directory):
            yield prefix + entry.name, entry
        if deep and entry.type in {"d", None} and entry.fid not in walked and searchable(entry.fid):
            walked.add(entry.fid)
            stack.append((entry.fid, prefix + entry.name + b"/", _listing(reading, entry.fid, b"")))


def _always(_: FID) -> bool:
    return True


def _go_back(
    reading: Reading,
    names: Sequence[bytes],
    stack: list[tuple[FID, bytes, Iterator[Entry]]],
    walked: set[FID],
    searchable: Callable[[FID], bool],
) -> None:
    """Put the directories on the stack that lead from its root down to where the last page ended."""
    for name, following in zip(names, [*names[1:], b""], strict=False):
        here = reading.child(stack[-1][0], name)
        if here is None or here in walked or not searchable(here):
            return
        walked.add(here)
        stack.append((here, stack[-1][1] + name + b"/", _listing(reading, here, following)))


def _listing(reading: Reading, directory: FID, after: bytes) -> Iterator[Entry]:
    while entries := reading.entries(directory, after, _PORTION):
        yield from entries
        if len(entries) < _PORTION:
            return
        after = entries[-1].name
