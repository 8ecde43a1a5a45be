"""Values and words with case and accents, as they are written: `title.exact:Müller`, `exact:"Dr. Müller"`.

The index holds them without, so what matches so far is looked at. That is bounded, and who asks for more is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lustre_events.errors import QueryError
from lustre_events.index.backend import Order, Reading
from lustre_events.index.query.tree import Among, And, Exact, KeyExists, KeyGlob, Node, Not, Or, Readable
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.typed_values import composed
from lustre_events.index.values import MAX_DEPTH, clean, searched

MOST = 10_000
"""Most files that are looked at for one condition."""
_PORTION = 500


def settled(reading: Reading, node: Node, *, limited: bool, most: int = MOST, also: tuple[Node, ...] = ()) -> Node:
    """Return a tree in which the files that match exactly stand for each such condition.

    `limited`: only what the viewer of the reading can read is looked at. `also`: what must match as well.

    Raises:
        QueryError: more than `most` files match without case and accents.
    """
    match node:
        case And(nodes):
            also += tuple(each for each in nodes if not _has_exact(each))
            return And(tuple(settled(reading, each, limited=limited, most=most, also=also) for each in nodes))
        case Or(nodes):
            return Or(tuple(settled(reading, each, limited=limited, most=most, also=also) for each in nodes))
        case Not(item):
            return Not(settled(reading, item, limited=limited, most=most, also=also))
        case Exact():
            near = And((node.near, *also, *([Readable()] if limited else [])))
            return Among(tuple(_ids(reading, node, near, most)))
    return node


def _has_exact(node: Node) -> bool:
    match node:
        case And(nodes) | Or(nodes):
            return any(map(_has_exact, nodes))
        case Not(item):
            return _has_exact(item)
    return isinstance(node, Exact)


def _ids(reading: Reading, exact: Exact, near: Node, most: int) -> Iterator[int]:
    found = [row.id for row in reading.find(near, Order(), None, most + 1)]
    if len(found) > most:
        raise QueryError(
            f"more than {most:,} files match {clean(exact.text)} without case and accents, too many to look at;"
            " write more of it, or add a condition"
        )
    for start in range(0, len(found), _PORTION):
        before = 0
        for id_, extractor, body in reading.bodies(found[start : start + _PORTION]):
            if id_ != before and _matches(exact, extractor, body):
                before = id_
                yield id_


def _matches(exact: Exact, extractor: str, body: str) -> bool:
    return any(is_exact(exact, (extractor, *each)) for each in _texts("", searched(json.loads(body)), 0))


def is_exact(exact: Exact, value: tuple[str, str, Any]) -> bool:
    """Return whether a value (extractor, dotted key, value) is written so."""
    extractor, key, text = value
    if not isinstance(text, str):
        return False
    if exact.key:
        names = (key, f"{extractor}.{key}")
        if not (any(map(matcher(exact.key), names)) if exact.wild else exact.key in names):
            return False
    written, wanted = composed(clean(text)), composed(exact.text)
    if isinstance(exact.near, KeyGlob):
        return matcher(wanted)(written) or any(map(matcher(wanted), written.split()))
    if isinstance(exact.near, KeyExists):
        return True
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", written) is not None


def _texts(key: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, str):
        yield clean(key), value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(f"{key}.{name}" if key else name, item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(key, item, depth + 1)
