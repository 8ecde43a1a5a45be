"""What no search finds: the paths of `[filesystem] exclude`, which the dispatcher has written into the index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lustre_events.domain.rules.conditions import File, excluding
from lustre_events.index.backend import LeftOut
from lustre_events.index.query.tree import And, Inside, Node, Not

WHY_LEFT_OUT = "[filesystem] exclude or a file .lustre-events-ignore in a directory"


def without(node: Node, found: Sequence[LeftOut]) -> Node:
    """Return a tree that leaves out what no search finds: by one climb from each object, however much that is."""
    if not found:
        return node
    fids = tuple(each.fid for each in found if each.fid is not None)
    globs = tuple(each.glob for each in found if each.fid is None)
    nodes = node.nodes if isinstance(node, And) else (node,)
    return And((*nodes, Not(Inside(globs, fids))))


def globs_over(path: bytes, globs: Iterable[str]) -> tuple[str, ...]:
    """Return which globs leave out a path."""
    return tuple(glob for glob in globs if not excluding((glob,), written=False).holds(File(path)))


def globs_over_any(paths: Sequence[bytes], found: Sequence[LeftOut]) -> tuple[str, ...]:
    """Return which globs leave out one of some paths."""
    globs = tuple(each.glob for each in found)
    if not globs or all(map(excluding(globs, written=False).holds, map(File, paths))):
        return ()
    return tuple(sorted({glob for path in paths for glob in globs_over(path, globs)}))
