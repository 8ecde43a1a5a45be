"""Paths from links, whatever database the links came from.

A path is the file system's own: bytes, relative to the root, without a leading slash; the root's is `/`.
Records of several MDTs arrive out of order, so for a moment an ancestor can be unknown, a directory can have
two parents, and links can form a cycle: every function here ends then, and gives the paths that lead from the
root.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import count, pairwise

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import QueryError
from lustre_events.index.visibility import DirectoryAccess

LONGEST = 16 << 10
MOST_LINKS = 4_000
NEAR_LEVELS = 64
"""What bounds a look for paths: their bytes, and the links beyond this number of directories above each object.

Anybody can make thousands of directories inside each other, with names of 255 bytes. These bounds keep that from
costing the index's writer time or memory.
"""

_STEPS_PER_LINK = 64
_STEPS_AT_LEAST = 10_000
"""In a tree each link is walked once. Directories with several parents can multiply paths without bound, which
only links out of order can make: then the walk ends early, and some of these paths are not given."""

MAX_COMPONENTS = 100
"""Components of a path pattern; each becomes a step of one SQL statement."""

Links = Callable[[Collection[FID]], Iterable[tuple[FID, FID, bytes]]]
"""Gives (FID, parent, name) of every current name of these objects."""

_Test = Callable[[FID], bool]
_Children = dict[FID, list[tuple[bytes, FID]]]


def paths_of(
    links: Links, fids: Iterable[FID], access: DirectoryAccess | None = None, *, bounded: bool = False
) -> dict[FID, list[bytes]]:
    """Return for each FID all of its current paths, sorted; none if it is gone or an ancestor is unknown.

    With `access` those that the viewer sees; `bounded`: those within the bounds above.
    """
    wanted = [*fids]
    children = _links_above(links, wanted, MOST_LINKS if bounded else None)
    return _paths_in(children, wanted, access, LONGEST if bounded else None)


def ways_to(
    links: Links, directories: Iterable[FID], access: DirectoryAccess | None
) -> tuple[dict[FID, list[bytes]], Collection[FID]]:
    """Return the paths of directories that can be listed, and all directories on the way; the root's is empty.

    With `access` the ways on which each directory can be searched.
    """
    wanted: dict[FID, list[bytes]] = {fid: [] for fid in directories}
    children = _links_above(links, wanted, None)
    searchable = access.searchable if access is not None else _always
    if ROOT_FID in wanted and searchable(ROOT_FID):
        wanted[ROOT_FID].append(b"")
    for fid, path in _walk(children, searchable, _always, wanted, None):
        wanted[fid].append(path)
    return wanted, children.keys()


def places_of(links: Links, fids: Iterable[FID]) -> tuple[dict[FID, list[bytes]], dict[FID, list[bytes]]]:
    """Return all paths of each FID, and the last parts of them, also where an ancestor is unknown."""
    wanted = [*fids]
    names: dict[FID, list[bytes]] = {fid: [] for fid in wanted}
    children = _links_above(links, wanted, None)
    for below in children.values():
        for name, fid in below:
            if fid in names:
                names[fid].append(name)
    return _paths_in(children, wanted, None, None), {fid: found for fid, found in names.items() if found}


def _paths_in(
    children: _Children, fids: Iterable[FID], access: DirectoryAccess | None, longest: int | None
) -> dict[FID, list[bytes]]:
    """Return the paths that links give."""
    found: dict[FID, list[bytes]] = {fid: [] for fid in fids}
    if ROOT_FID in found:
        found[ROOT_FID].append(b"/")
    searchable, listed = (access.searchable, access.listed) if access is not None else (_always, _always)
    for fid, path in _walk(children, searchable, listed, found, longest):
        found[fid].append(path)
    for paths in found.values():
        paths.sort()
    return found


def components_of(pattern: str) -> list[str]:
    """Return the components of a path pattern from the root on; the last one is never `**`.

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
    return components


def rises(components: Sequence[str]) -> bool:
    """Whether a pattern gives the last components of a path only, so that a look from below decides."""
    return components[:1] == ["**"] and "**" not in components[1:]


def _links_above(links: Links, fids: Iterable[FID], most: int | None) -> _Children:
    """Return parent -> [(name, child)] for all links on the way from the root down to `fids`."""
    children: _Children = defaultdict(list)
    frontier = {fid for fid in fids if fid != ROOT_FID}
    known = {ROOT_FID} | frontier
    looked_at = 0
    for level in count():
        if not frontier or (most is not None and level >= NEAR_LEVELS and looked_at > most):
            return children
        parents = set()
        for fid, parent, name in links(frontier):
            children[parent].append((name, fid))
            parents.add(parent)
            looked_at += 1
        frontier = parents - known
        known |= frontier
    return children


def _always(_: FID) -> bool:
    return True


# Branches: a walk through very many links, whose steps share a stack, a way and its size.
def _walk(
    children: _Children, searchable: _Test, listed: _Test, wanted: Collection[FID], longest: int | None
) -> Iterator[tuple[FID, bytes]]:
    """Yield (FID, path) for every path to `wanted` that passes no object twice and only what can be searched.

    The last step is from a directory that is `listed`.

    The names on the way are kept apart: deep directories would make long paths at each step.
    """
    steps = _STEPS_AT_LEAST + _STEPS_PER_LINK * sum(len(links) for links in children.values())
    above = {ROOT_FID}
    stack = [(ROOT_FID, iter(children.get(ROOT_FID, ())))] if searchable(ROOT_FID) else []
    way: list[bytes] = []
    size = 0
    while stack and steps:
        parent, links = stack[-1]
        name, fid = next(links, (b"", None))
        if fid is None:
            stack.pop()
            above.discard(parent)
            size -= len(way.pop()) + 1 if way else 0
        elif fid not in above and (longest is None or size + len(name) <= longest):
            steps -= 1
            if fid in wanted and listed(parent):
                yield fid, b"/".join((*way, name))
            if fid in children and searchable(fid):
                above.add(fid)
                way.append(name)
                size += len(name) + 1
                stack.append((fid, iter(children[fid])))
