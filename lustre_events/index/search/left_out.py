"""What no search finds: the paths of `[filesystem] exclude`, which the dispatcher has written into the index."""

from __future__ import annotations

from collections.abc import Sequence

from lustre_events.index.query.tree import And, Node, Not, Path

WHY_LEFT_OUT = "[filesystem] exclude or a file .lustre-events-ignore in a directory"


def without(node: Node, globs: Sequence[str]) -> Node:
    """Return a tree that leaves out what one of the globs matches, and all that is below it."""
    if not globs:
        return node
    nodes = node.nodes if isinstance(node, And) else (node,)
    return And((*nodes, *(Not(Path(each)) for glob in globs for each in (glob, f"{glob}/**"))))
