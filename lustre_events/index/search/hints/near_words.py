"""Words that stand in files, for somebody who searched for one that stands in none.

They come from files that the viewer may find: the first with a word that begins alike, else the first and last of
the index. So a rare word is found where only its end is mistyped, and all of it takes a bounded time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from lustre_events.index.backend import Order, Row
from lustre_events.index.names import text_of
from lustre_events.index.query.tree import All, NameWords, Node, Or, Text, limited
from lustre_events.index.search.hints.known import Known
from lustre_events.index.search.views import is_readable
from lustre_events.index.values import flatten
from lustre_events.index.words import words_of

SHORTEST = 4
"""Characters of a word that others are compared with."""
SAMPLE = 200
"""Files of each kind that are looked at."""
MOST_WORDS = 20_000
"""Words of a sample that are compared: what is in files is up to their owners."""
MOST_MISSING = 3
"""Characters by which a word that is near may be longer or shorter."""


def words_near(known: Known, word: str, most: int = MOST_WORDS) -> list[tuple[str, int]]:
    """Return words like one that stands nowhere, with the files that have them; `most` are compared at once."""
    if len(word) < SHORTEST:
        return []
    begun = _begun(known, word[: max(2, len(word) // 2)])
    for node, order in (
        (begun, Order()),
        (known.found(All()), Order()),
        (known.found(All()), Order(descending=True)),
    ):
        words = set(islice(_words(known, known.reading.find(node, order, None, SAMPLE)), most))
        alike = (each for each in sorted(words) if _is_as_long(each, word))
        close = known.near(word, alike, lambda each: known.files(Or((Text(each), NameWords(each)))))
        if close:
            return close
    return []


def _is_as_long(each: str, word: str) -> bool:
    return len(each) >= SHORTEST - 1 and abs(len(each) - len(word)) <= MOST_MISSING


def _begun(known: Known, start: str) -> Node:
    node = Or((Text(start, prefix=True), NameWords(start, prefix=True)))
    return known.found(node if known.access is None else limited(node))


def _words(known: Known, rows: Collection[Row]) -> Iterator[str]:
    """Yield the words of files as far as the viewer may read and list them."""
    viewer = None if known.access is None else known.access.viewer
    for _, _, body in known.reading.bodies([row.id for row in rows if is_readable(row, viewer)]):
        known.in_time()
        yield from words_of(flatten(json.loads(body)).text)
    yield from words_of(text_of(_names(known, rows)))


def _names(known: Known, rows: Iterable[Row]) -> Iterator[bytes]:
    for _, parent, name in known.reading.links([row.fid for row in rows]):
        if known.access is None or known.access.listed(parent):
            yield name
