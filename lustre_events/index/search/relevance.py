"""The order of relevance: how well objects match the words of a query, among the first MOST that match."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

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
    """Return up to `most` ids, the best first.

    Words in names count most, then how often words and phrases stand in documents, then what is newer. What the
    viewer may not read or list does not count.

    Raises:
        QueryError: the query has no words.
    """
    texts = _texts(node)
    if not texts:
        raise QueryError("the order of relevance is about words; write some, or sort by another field")
    readable = [each.id for each in found if each.readable]
    scores = {id_: often / (1 + often) for id_, often in reading.frequencies(texts, readable).items()}
    for id_ in _named(reading, node, found):
        scores[id_] = scores.get(id_, 0.0) + _NAME_WEIGHT
    return _best(scores, found, most)


def _best(scores: Mapping[int, float], found: Sequence[Ranked], most: int) -> list[int]:
    """Return the ids of the highest scores, the newest first where these are equal: very many are, mostly."""
    equal: defaultdict[float, list[Ranked]] = defaultdict(list)
    for each in found:
        equal[scores.get(each.id, 0.0)].append(each)
    best: list[int] = []
    for score in sorted(equal, reverse=True):
        if len(best) == most:
            break
        best += [each.id for each in heapq.nsmallest(most - len(best), equal[score], key=_newest_first)]
    return best


def _newest_first(each: Ranked) -> tuple[float, int]:
    return (-each.mtime_ns if each.mtime_ns is not None else math.inf, each.id)


def _texts(node: Node) -> set[Text]:
    """Return the words and phrases that are asked for, and are some."""
    texts = {Text(segmented(each.words).strip(), each.prefix) for each in asked(node) if isinstance(each, Text)}
    return {each for each in texts if any(words_of(each.words))}


def _named(reading: Reading, node: Node, found: Sequence[Ranked]) -> Iterator[int]:
    """Yield the ids of objects with words in a name, once for each time that such words are asked for."""
    among = Among(tuple(each.id for each in found))
    names = {each for each in asked(node) if isinstance(each, NameWords)} if found else set()
    for each in names:
        yield from (row.id for row in reading.first(And((among, each)), len(found)))


def note(most: int) -> str:
    """Return what is said where more than `most` match."""
    return f"more than {most:,} files match; the order is that of the first {most:,}"
