"""More hits than one page has: page after page, each of which sees one moment of the index."""

from __future__ import annotations

from collections.abc import Iterator

from lustre_events.index.search.asking import Asking
from lustre_events.index.search.hits import Page
from lustre_events.index.search.portions import PORTION as HITS
from lustre_events.index.search.portions import HitPortion
from lustre_events.index.visibility import Viewer

PORTION = 1_000
"""How many hits are looked up together."""


def pages(
    search: Asking,
    query: str,
    *,
    limit: int | None = None,
    sort: str | None = None,
    cursor: str | None = None,
    visible_to: Viewer | None = None,
    portion: int = PORTION,
    excerpts: bool = True,
) -> Iterator[Page]:
    """Yield the pages of a query, of up to `portion` hits, up to `limit` hits in all; see `Search.page`."""
    left = limit
    while left is None or left > 0:
        wanted = portion if left is None else min(left, portion)
        page = search.page(query, limit=wanted, sort=sort, cursor=cursor, visible_to=visible_to, excerpts=excerpts)
        yield page
        cursor, left = page.cursor, None if left is None else left - wanted
        if cursor is None:
            return


def portions(
    search: Asking,
    query: str,
    *,
    limit: int | None = None,
    sort: str | None = None,
    cursor: str | None = None,
    visible_to: Viewer | None = None,
) -> Iterator[HitPortion]:
    """Yield the same hits as columns, a portion after the other; see `Search.portion`. The first may be empty."""
    left = limit
    while left is None or left > 0:
        wanted = HITS if left is None else min(left, HITS)
        portion, cursor = search.portion(query, limit=wanted, sort=sort, cursor=cursor, visible_to=visible_to)
        yield portion
        left = None if left is None else left - portion.hits
        if cursor is None:
            return
