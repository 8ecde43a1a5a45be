"""The order of relevance: how well objects match the words of a query, among the first MOST that match."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from lustre_events.errors import QueryError
from lustre_events.index.backend import Ranked, Reading
from lustre_events.index.query.tree import Among, And, NameWords, Node, Text
from lustre_events.index.search.matched import asked
from lustre_events.index.typed_values import segmented
from lustre_events.index.words import words_of

NAME = "relevance"
"""As `--sort` takes it."""
MOST = 10_000
"""Most objects that are sorted."""

_NAME_WEIGHT = 2.0
"""What a word in a name counts, where any number of them in documents counts less than one."""


def by_relevance(reading: Reading, node: Node, found: Sequence[Ranked], most: int) -> list[int]:
    """Return up to `most` ids, the best first: words in names, then their number in documents; then the newest.

    What the viewer may not read or list does not count.

    Raises:
        QueryError: the query has no words.
    """
    words = _words(node)
    if not words:
        raise QueryError("the order of relevance is about words; write some, or sort by another field")
    readable = [each.id for each in found if each.readable]
    scores = {id_: often / (1 + often) for id_, often in reading.frequencies(words, readable).items()}
    for id_ in _named(reading, node, found):
        scores[id_] = scores.get(id_, 0.0) + _NAME_WEIGHT
    order = ((-scores.get(each.id, 0.0), -(each.mtime_ns or 0), each.id) for each in found)
    return [id_ for _, _, id_ in heapq.nsmallest(most, order)]


def _words(node: Node) -> set[str]:
    leaves = [each for each in asked(node) if isinstance(each, Text)]
    return {word for each in leaves for word in words_of(segmented(each.words))}


def _named(reading: Reading, node: Node, found: Sequence[Ranked]) -> Iterator[int]:
    """Yield the ids of objects with words in a name, once for each time that such words are asked for."""
    among = Among(tuple(each.id for each in found))
    names = {each for each in asked(node) if isinstance(each, NameWords)} if found else set()
    for each in names:
        yield from (row.id for row in reading.first(And((among, each)), len(found)))


def note(most: int) -> str:
    """Return what is said where more than `most` match."""
    return f"more than {most:,} files match; the order is that of the first {most:,}"
