"""Paths in SQLite, made from the links (parent, name) when they are asked for.

A path is the file system's own: bytes, relative to the root, without a leading slash; the root's is `/`.
Records of several MDTs arrive out of order, so for a moment an ancestor can be unknown, a directory can have
two parents, and links can form a cycle: every function here ends then, and gives the paths that lead from the
root.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from lustre_events.errors import QueryError
from lustre_events.fid import FID, ROOT_FID
from lustre_events.index.globs import literal_of, literal_prefix_of

_ROOT = ROOT_FID.pack()
_CHUNK = 500
"""Values of one IN list."""

_STEPS_PER_LINK = 64
_STEPS_AT_LEAST = 10_000
"""In a tree each link is walked once. Directories with several parents can multiply paths without bound, which
only links out of order can make: then the walk ends early, and some of these paths are not given."""

MAX_COMPONENTS = 100
"""Components of a path pattern; each becomes a step of one SQL statement."""

Links = dict[bytes, list[tuple[bytes, bytes]]]


def paths_of(connection: sqlite3.Connection, fids: Iterable[FID]) -> dict[FID, list[bytes]]:
    """Return for each FID all of its current paths, sorted; none if it is gone or an ancestor is unknown."""
    wanted = {fid.pack(): fid for fid in fids}
    found: dict[FID, list[bytes]] = {fid: [] for fid in wanted.values()}
    children = _links_above(connection, wanted)
    if _ROOT in wanted:
        found[ROOT_FID].append(b"/")
    for fid, path in _walk(children):
        if fid in wanted:
            found[wanted[fid]].append(path)
    for paths in found.values():
        paths.sort()
    return found


def fid_of_path(connection: sqlite3.Connection, path: bytes) -> FID | None:
    """Return the object at a path (with or without slashes at its ends), or None."""
    fid = _ROOT
    for name in path.split(b"/"):
        if not name:
            continue
        row = connection.execute("SELECT fid FROM link WHERE parent = ? AND name = ?", (fid, name)).fetchone()
        if row is None or row[0] is None:
            return None
        fid = row[0]
    return FID.unpack(fid)


def _links_above(connection: sqlite3.Connection, fids: Iterable[bytes]) -> Links:
    """Return parent -> [(name, child)] for all links on the way from the root down to `fids`."""
    children: Links = defaultdict(list)
    frontier = {fid for fid in fids if fid != _ROOT}
    known = {_ROOT} | frontier
    while frontier:
        parents = set()
        for fid, parent, name in _links_of(connection, sorted(frontier)):
            children[parent].append((name, fid))
            parents.add(parent)
        frontier = parents - known
        known |= frontier
    return children


def _links_of(connection: sqlite3.Connection, fids: list[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    for start in range(0, len(fids), _CHUNK):
        chunk = fids[start : start + _CHUNK]
        marks = ",".join("?" * len(chunk))
        yield from connection.execute(
            f"SELECT fid, parent, name FROM link WHERE fid IN ({marks})",  # noqa: S608 - only question marks
            chunk,
        )


def _walk(children: Links) -> Iterator[tuple[bytes, bytes]]:
    """Yield (FID, path) for every path from the root that passes no object twice."""
    steps = _STEPS_AT_LEAST + _STEPS_PER_LINK * sum(len(links) for links in children.values())
    above = {_ROOT}
    stack = [(_ROOT, b"", iter(children.get(_ROOT, ())))]
    while stack and steps:
        parent, prefix, links = stack[-1]
        name, fid = next(links, (b"", b""))
        if not fid:
            stack.pop()
            above.discard(parent)
        elif fid not in above:
            steps -= 1
            path = prefix + name
            yield fid, path
            if fid in children:
                above.add(fid)
                stack.append((fid, path + b"/", iter(children[fid])))


def fids_of_pattern(pattern: str) -> tuple[str, list[bytes]]:
    """Return a SELECT of the FIDs of all objects with a path that matches, and its parameters.

    `*` and `?` stay in one component. `**` as a component stands for any number of directories, and as the
    last one for everything below. A pattern without a slash at its start matches at any depth.

    Raises:
        QueryError: the pattern has too many components.
    """
    anywhere = [] if pattern.startswith("/") else ["**"]
    components = anywhere + [part for part in pattern.split("/") if part]
    components = [part for last, part in pairwise(["", *components]) if not last == part == "**"]
    if components and components[-1] == "**":
        components.append("*")
    if len(components) > MAX_COMPONENTS:
        raise QueryError(f"a path in a query may have {MAX_COMPONENTS} components; write ** for some of them")
    steps: list[str] = ["s0 (fid) AS MATERIALIZED (SELECT ?)"]
    parameters = [_ROOT]
    for number, component in enumerate(components, 1):
        before, here = f"s{number - 1}", f"s{number}"
        if component == "**":
            # UNION drops what it has seen: a cycle ends.
            steps.append(
                f"{here} (fid) AS (SELECT fid FROM {before} UNION SELECT link.fid FROM {here}"  # noqa: S608
                f" CROSS JOIN link ON link.parent = {here}.fid WHERE link.fid IS NOT NULL)"
            )
            continue
        condition, values = _name_condition(component)
        parameters += values
        # Not the last one, which may end early. Without the word, SQLite would make one join of all steps.
        kept = "MATERIALIZED" if number < len(components) else ""
        found = f"{before} CROSS JOIN link ON link.parent = {before}.fid"
        if number == 2 and components[0] == "**" and literal_of(component) is not None:
            # One scan for a name and a climb from each place costs less than a walk through everything.
            steps.pop()
            found = "link"
            condition += f" AND ? IN ({ABOVE.format('SELECT link.parent')})"
            parameters.append(_ROOT)
        steps.append(
            f"{here} (fid) AS {kept} (SELECT link.fid FROM {found} WHERE link.fid IS NOT NULL AND {condition})"  # noqa: S608
        )
    return f"WITH RECURSIVE {', '.join(steps)} SELECT fid FROM s{len(components)}", parameters  # noqa: S608


ABOVE = (
    "WITH RECURSIVE above (fid) AS ({} UNION SELECT upper.parent FROM above"
    " CROSS JOIN link AS upper ON upper.fid = above.fid) SELECT fid FROM above"
)
"""A SELECT of some directories (a SELECT of their FIDs, to be filled in) and of all directories above them."""


def _name_condition(glob: str) -> tuple[str, list[bytes]]:
    literal = literal_of(glob)
    if literal is not None:
        return "link.name = ?", [name_bytes(literal)]
    prefix = name_bytes(literal_prefix_of(glob))
    # The range finds names by the primary key where a pattern begins with a literal.
    return (
        "link.name >= ? AND link.name < ? AND CAST(link.name AS TEXT) GLOB CAST(? AS TEXT)",
        [prefix, prefix + b"\xff" * 256, name_bytes(glob)],
    )


def name_bytes(text: str) -> bytes:
    """Return a name as the file system has it; surrogate escapes stand for bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")
