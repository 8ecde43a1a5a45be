"""The calls of an index, wherever it is: `Search` answers here, `RemoteSearch` over HTTPS; and hits page by page.

See `search.Search` for what each call means and raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from lustre_events.changelog.fid import FID
from lustre_events.index.search.hints.hint import Hint
from lustre_events.index.search.hits import Facet, ObjectView, Page
from lustre_events.index.search.key_list import KeyInfo
from lustre_events.index.search.portions import PORTION, HitPortion
from lustre_events.index.visibility import Viewer

LOOKED_UP = 1_000
"""How many hits are looked up together."""


class Asking(Protocol):
    """An index that answers. A `with` closes it."""

    def page(  # noqa: D102
        self,
        query: str,
        *,
        limit: int = 100,
        sort: str | None = None,
        cursor: str | None = None,
        visible_to: Viewer | None = None,
        excerpts: bool = True,
    ) -> Page: ...

    def portion(  # noqa: D102
        self,
        query: str,
        *,
        limit: int = PORTION,
        sort: str | None = None,
        cursor: str | None = None,
        visible_to: Viewer | None = None,
    ) -> tuple[HitPortion, str | None]: ...

    def count(self, query: str, *, visible_to: Viewer | None = None) -> int: ...  # noqa: D102

    def facets(  # noqa: D102
        self, query: str, fields: Sequence[str], *, limit: int | None = 20, visible_to: Viewer | None = None
    ) -> dict[str, tuple[Facet, ...]]: ...

    def hints(  # noqa: D102
        self, query: str, *, fields: Sequence[str] = (), visible_to: Viewer | None = None
    ) -> tuple[Hint, ...]: ...

    def fields(  # noqa: D102
        self, prefix: str = "", *, limit: int = 100, visible_to: Viewer | None = None
    ) -> tuple[KeyInfo, ...]: ...

    def complete(  # noqa: D102
        self, typed: str, *, limit: int = 20, visible_to: Viewer | None = None
    ) -> tuple[str, ...]: ...

    def du(self, path: bytes, by: str, *, visible_to: Viewer | None = None) -> tuple[Facet, ...]: ...  # noqa: D102

    def show(self, fid: FID, *, visible_to: Viewer | None = None) -> ObjectView: ...  # noqa: D102

    def show_many(  # noqa: D102
        self, fids: Iterable[FID], *, visible_to: Viewer | None = None
    ) -> list[ObjectView]: ...

    def fid_of_path(self, path: bytes, *, visible_to: Viewer | None = None) -> FID | None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def pages(
    search: Asking,
    query: str,
    *,
    limit: int | None = None,
    sort: str | None = None,
    cursor: str | None = None,
    visible_to: Viewer | None = None,
    portion: int = LOOKED_UP,
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
        wanted = PORTION if left is None else min(left, PORTION)
        portion, cursor = search.portion(query, limit=wanted, sort=sort, cursor=cursor, visible_to=visible_to)
        yield portion
        left = None if left is None else left - portion.hits
        if cursor is None:
            return
