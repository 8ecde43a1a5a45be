"""Paths from links, whatever database the links came from.

A path is the file system's own: bytes, relative to the root, without a leading slash; the root's is `/`.
Records of several MDTs arrive out of order, so for a moment an ancestor can be unknown, a directory can have
two parents, and links can form a cycle: every function here ends then, and gives the paths that lead from the
root.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import QueryError
from lustre_events.index.visibility import DirectoryAccess

_STEPS_PER_LINK = 64
_STEPS_AT_LEAST = 10_000
"""In a tree each link is walked once. Directories with several parents can multiply paths without bound, which
only links out of order can make: then the walk ends early, and some of these paths are not given."""

MAX_COMPONENTS = 100
"""Components of a path pattern; each becomes a step of one SQL statement."""

Links = Callable[[Collection[FID]], Iterable[tuple[FID, FID, bytes]]]
"""Gives (FID, parent, name) of every current name of these objects."""

_Children = dict[FID, list[tuple[bytes, FID]]]


def paths_of(links: Links, fids: Iterable[FID], access: DirectoryAccess | None = None) -> dict[FID, list[bytes]]:
    """Return for each FID all of its current paths, sorted; none if it is gone or an ancestor is unknown.

    With `access` those that the viewer sees.
    """
    found: dict[FID, list[bytes]] = {fid: [] for fid in fids}
    children = _links_above(links, found)
    if ROOT_FID in found:
        found[ROOT_FID].append(b"/")
    for fid, path in _walk(children, access):
        if fid in found:
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


def _links_above(links: Links, fids: Iterable[FID]) -> _Children:
    """Return parent -> [(name, child)] for all links on the way from the root down to `fids`."""
    children: _Children = defaultdict(list)
    frontier = {fid for fid in fids if fid != ROOT_FID}
    known = {ROOT_FID} | frontier
    while frontier:
        parents = set()
        for fid, parent, name in links(frontier):
            children[parent].append((name, fid))
            parents.add(parent)
        frontier = parents - known
        known |= frontier
    return children


def _walk(children: _Children, access: DirectoryAccess | None) -> Iterator[tuple[FID, bytes]]:
    """Yield (FID, path) for every path from the root that passes no object twice and only what can be searched."""
    steps = _STEPS_AT_LEAST + _STEPS_PER_LINK * sum(len(links) for links in children.values())
    above = {ROOT_FID}
    stack = (
        [(ROOT_FID, b"", iter(children.get(ROOT_FID, ())))] if access is None or access.searchable(ROOT_FID) else []
    )
    while stack and steps:
        parent, prefix, links = stack[-1]
        name, fid = next(links, (b"", None))
        if fid is None:
            stack.pop()
            above.discard(parent)
        elif fid not in above:
            steps -= 1
            path = prefix + name
            if access is None or access.listed(parent):
                yield fid, path
            if fid in children and (access is None or access.searchable(fid)):
                above.add(fid)
                stack.append((fid, path + b"/", iter(children[fid])))
