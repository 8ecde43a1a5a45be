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
    fids = tuple(each.fid for each in found if each.fid is not None)
    globs = [each.glob for each in found if each.fid is None]
    paths = tuple(glob for glob in globs if literal_of(glob) is not None)
    wild = [each for glob in globs if literal_of(glob) is None for each in (glob, f"{glob}/**")]
    left_out: list[Node] = [*([Inside(paths, fids)] if paths or fids else []), *map(Path, wild)]
    if not left_out:
        return node
    nodes = node.nodes if isinstance(node, And) else (node,)
    return And((*nodes, *(Not(each) for each in left_out)))
