"""Facets: the most frequent values of a field among the objects that a query finds."""

from __future__ import annotations

from collections.abc import Iterable

from lustre_events.index.backend import Reading, ValueCount
from lustre_events.index.fields import DOCUMENTS, FIELDS, FieldType, Visibility
from lustre_events.index.query.tree import And, Node, Readable
from lustre_events.index.search.hits import Facet
from lustre_events.index.visibility import Viewer, group_name, user_name

_TALLIES = {
    field.name: field.source if field.type in {FieldType.USER, FieldType.GROUP} else field.name
    for field in FIELDS.values()
    if field.countable
}
"""What `Reading.tally` calls a field."""
_ABOUT_CONTENT = {
    field.name for field in FIELDS.values() if field.visibility is Visibility.CONTENT and field.source != DOCUMENTS
}
"""Fields of an object that are counted only where its content can be read; tally looks at documents so itself."""


def _by(field: str) -> str:
    return _TALLIES.get(field, f".{field}")


def tallied(
    reading: Reading, node: Node, field: str, viewer: Viewer | None, limit: int | None
) -> tuple[Facet, ...]:  # fmt: skip
    """Return the most frequent values of a field among what a node finds, `limit` at most; None: all of them."""
    seen = And((node, Readable())) if field in _ABOUT_CONTENT and viewer is not None else node
    return _facets(field, reading.tally(seen, _by(field), limit))


def _facets(field: str, tallies: Iterable[ValueCount]) -> tuple[Facet, ...]:
    name = {"uid": user_name, "gid": group_name}.get(_by(field))
    return tuple(
        Facet(name(each.value) if name and isinstance(each.value, int) else each.value, each.files, each.bytes)
        for each in tallies
    )
