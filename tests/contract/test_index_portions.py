"""Hits as columns are the hits of the pages, on both databases: the same ones in the same order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lustre_events.index.search.asking import pages, portions
from lustre_events.index.search.hits import Hit
from lustre_events.index.search.portions import DOCUMENTS_OF, ENOUGH_BYTES, HitPortion
from lustre_events.index.search.search import Search
from lustre_events.index.values import canonical
from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents
from tests.support.index.paths import Links, links
from tests.support.index.places import BACKENDS, EmptyPlace, IndexPlace
from tests.support.profiles import examples

STRANGER = Viewer(7, frozenset({5}))
FACTS: list[dict[str, Any]] = [
    {"uid": 7, "gid": 5, "mode": 0o700, "size": 2**62 + 1, "mtime_ns": -1, "mime": "text/csv"},
    {"uid": 0, "gid": 5, "mode": 0o750, "size": 3, "mtime_ns": 10**18 + 7, "mime": "image/png"},
    {"uid": 0, "gid": 0, "mode": 0o711, "size": 3},
    {"uid": 0, "gid": 0, "mode": 0o755, "mime": "text/plain"},
    {"uid": 0, "gid": 0, "mode": 0o755, "rights": 9},
    {},
]
BODIES: list[dict[str, dict[str, Any]]] = [
    {}, {"x": {"k": 1}}, {"tab": {"k": "\udcff"}, "x": {}}, {"a b": {"n": [1, 2**63]}},
]  # fmt: skip
Told = tuple[Any, ...]


def told_of_hits(hits: list[Hit]) -> list[Told]:
    return [
        (
            hit.fid.pack(), [*hit.paths], hit.type, hit.size, hit.mtime_ns, hit.uid, hit.gid, hit.mode, hit.mime,
            [(extractor, canonical(body)) for extractor, body in hit.documents.items()],
        )
        for hit in hits
    ]  # fmt: skip


def told_of_portions(found: list[HitPortion]) -> list[Told]:
    return [
        (
            *(column[place] for column in portion.facts._replace(paths=[[*each] for each in portion.facts.paths])),
            [(name, texts[place]) for name, texts in portion.documents.items() if texts[place] is not None],
        )
        for portion in found
        for place in range(portion.hits)
    ]


def compared(search: Search, query: str, **options: Any) -> tuple[list[Told], list[Told]]:
    """Return what pages tell of the hits, and what portions do."""
    hits = [hit for page in pages(search, query, portion=2, **options) for hit in page.hits]
    return told_of_hits(hits), told_of_portions([*portions(search, query, **options)])


@pytest.mark.parametrize("backend", BACKENDS)
@examples(60)
@given(
    links,
    st.lists(st.integers(0, len(FACTS) - 1), min_size=10, max_size=10),
    st.sampled_from([None, STRANGER]),
    st.sampled_from(
        [
            ("*", None),
            ("type:f", None),
            ("path:/b/**", None),
            ("x.k:1 OR type:d", "size"),
            ("*", "-mtime"),
            ("a OR b", "relevance"),
        ]
    ),
)
@example({(0, b"b"): 1, (1, b"a"): 2, (2, b"a"): 1, (2, b"b"): 3}, [3] * 10, STRANGER, ("*", None))
@example({(0, b"a"): 1, (0, b"b"): 2, (1, b"x"): 3, (2, b"a"): 3}, [3, 3, 2, *[3] * 7], STRANGER, ("*", None))
def test_portions_are_the_hits_of_pages(  # noqa: PLR0917 - drawn by hypothesis
    empty_place: EmptyPlace,
    backend: str,
    links: Links,
    facts: list[int],
    viewer: Viewer | None,
    asked: tuple[str, str | None],
) -> None:
    """Whatever names lead where, and whoever asks: every hit comes once, in order, with all that a page tells."""
    with Contents(empty_place(backend)) as index:
        for number in range(10):
            above = number == 0 or any(parent == number for parent, _ in links)
            object_id = index.object(number, type="d" if above else "f", **FACTS[facts[number]])
            for extractor, body in BODIES[number % len(BODIES)].items():
                index.document(object_id, extractor, (1, 1), body)
        for (parent, name), fid in links.items():
            index.link(parent, name, fid)
        query, sort = asked
        paged, found = compared(index.search(few=3), query, sort=sort, visible_to=viewer)

    assert found == paged


def test_portions_go_on_where_the_last_one_ended(index_place: IndexPlace) -> None:
    """Portions of any length leave out no hit and repeat none."""
    with Contents(index_place) as index:
        for number in range(1, 8):
            index.file(number, b"d%d/a" % (number % 3), {"x": {"t": number}})
        search = index.search()
        for query in ("type:f", "path:/d1/**"):
            wanted = told_of_hits(search.search(query))
            for limit in (1, 2, 7):
                found, cursor = search.portion(query, limit=limit)
                some = [found]
                while cursor is not None:
                    found, cursor = search.portion(query, limit=limit, cursor=cursor)
                    some.append(found)
                assert told_of_portions(some) == wanted
                assert max(each.hits for each in some) == min(limit, len(wanted))
        for limit in (1, 3):
            paged, found_ = compared(search, "type:f", limit=limit)
            assert found_ == paged
            assert len(paged) == limit


def test_large_documents_end_a_portion(index_place: IndexPlace) -> None:
    """No more documents are read than fill a portion, and the next one goes on behind them."""
    documents = {"x": {"t": "x" * ENOUGH_BYTES}}
    with Contents(index_place) as index:
        for number in range(1, DOCUMENTS_OF + 3):
            index.file(number, b"d/%d" % number, documents if number == 1 else None)
        first, second = portions(index.search(), "type:f")

    assert (first.hits, second.hits) == (DOCUMENTS_OF, 2)
