"""The calls of an index, wherever it is: `Search` answers here, `RemoteSearch` over HTTPS.

See `search.Search` for what each call means and raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from lustre_events.changelog.fid import FID
from lustre_events.index.search.hints.hint import Hint
from lustre_events.index.search.hits import Facet, ObjectView, Page
from lustre_events.index.search.key_list import KeyInfo
from lustre_events.index.search.portions import PORTION, HitPortion
from lustre_events.index.visibility import Viewer


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
