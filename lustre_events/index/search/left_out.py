"""What no search finds: the paths of `[filesystem] exclude`, which the dispatcher has written into the index."""

from __future__ import annotations

from collections.abc import Sequence

from lustre_events.index.backend import LeftOut
from lustre_events.index.query.tree import And, Inside, Node, Not, Path
from lustre_events.index.query.wildcards import literal_of

WHY_LEFT_OUT = "[filesystem] exclude or a file .lustre-events-ignore in a directory"


def without(node: Node, found: Sequence[LeftOut]) -> Node:
    """Return a tree that leaves out what no search finds.

    Directories, and paths without wildcards, cost one climb from each object together, however many they are.
    """
    nodes = _nodes(found)
    if not nodes:
        return node
    before = node.nodes if isinstance(node, And) else (node,)
    return And((*before, *map(_not, nodes)))


def _nodes(found: Sequence[LeftOut]) -> list[Node]:
    fids = tuple(each.fid for each in found if each.fid is not None)
    globs = [each.glob for each in found if each.fid is None]
    paths = tuple(glob for glob in globs if literal_of(glob) is not None)
    wild = (Path(each) for glob in globs if glob not in paths for each in (glob, f"{glob}/**"))
    return [*([Inside(paths, fids)] if paths or fids else []), *wild]


def _not(node: Node) -> Node:
    return Not(node)
