"""Words that stand in files, for somebody who searched for one that stands in none.

They come from files that the viewer may find: the first with a word that begins alike, else the first and last of
the index. So a rare word is found where only its end is mistyped, and all of it takes a bounded time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

from lustre_events.index.backend import Order, Row
from lustre_events.index.names import text_of
from lustre_events.index.query.tree import All, NameWords, Node, Or, Text, limited
from lustre_events.index.search.known import Known
from lustre_events.index.search.views import is_readable
from lustre_events.index.values import flatten
from lustre_events.index.words import words_of

SHORTEST = 4
"""Characters of a word that others are compared with."""
SAMPLE = 200
"""Files of each kind that are looked at."""


def words_near(known: Known, word: str) -> list[tuple[str, int]]:
    """Return words like one that stands nowhere, with the files that have them."""
    if len(word) < SHORTEST:
        return []
    begun = _begun(known, word[: max(2, len(word) // 2)])
    for node, order in (
        (begun, Order()),
        (known.found(All()), Order()),
        (known.found(All()), Order(descending=True)),
    ):
        words = set(_words(known, known.reading.find(node, order, None, SAMPLE)))
        alike = (each for each in sorted(words) if len(each) >= SHORTEST - 1)
        close = known.near(word, alike, lambda each: known.files(Or((Text(each), NameWords(each)))))
        if close:
            return close
    return []


def _begun(known: Known, start: str) -> Node:
    node = Or((Text(start, prefix=True), NameWords(start, prefix=True)))
    return known.found(node if known.access is None else limited(node))


def _words(known: Known, rows: Collection[Row]) -> Iterator[str]:
    """Yield the words of files as far as the viewer may read and list them."""
    known.in_time()
    viewer = None if known.access is None else known.access.viewer
    for _, _, body in known.reading.bodies([row.id for row in rows if is_readable(row, viewer)]):
        yield from words_of(flatten(json.loads(body)).text)
    yield from words_of(text_of(_names(known, rows)))


def _names(known: Known, rows: Iterable[Row]) -> Iterator[bytes]:
    for _, parent, name in known.reading.links([row.fid for row in rows]):
        if known.access is None or known.access.listed(parent):
            yield name
