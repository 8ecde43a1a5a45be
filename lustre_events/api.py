"""The index from Python.

    >>> from lustre_events import connect
    >>> index = connect("sqlite:///index.db")
    >>> for hit in index.search("instrument:ARPES AND temperature:<20"):
    ...     print(hit.paths[0].decode(), hit.size, hit.documents["hdf5"]["temperature"])
    proj/run7/map.h5 4096 12.5
    >>> index.count("instrument:ARPES")
    2
    >>> for facet in index.facets("*", ["ext"])["ext"]:
    ...     print(facet.value, facet.files, facet.bytes)
    h5 2 12288
    csv 1 300
    >>> index.close()

`connect("https://HOST")` asks a server as the owner of a token, who needs no rights on the index. `connect()`
without a URL takes what the settings name: the server of [client], else the index. The query language is described
in lustre_events.index.query.parser.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lustre_events.changelog.fid import FID
from lustre_events.config import places
from lustre_events.errors import ConfigError
from lustre_events.index.opening import open_search, open_searched, open_server
from lustre_events.index.remote import credentials
from lustre_events.index.search.asking import Asking, pages
from lustre_events.index.search.hints.hint import Hint
from lustre_events.index.search.hits import Facet, Hit, ObjectView, Page
from lustre_events.index.search.key_list import KeyInfo
from lustre_events.index.visibility import Viewer

__all__ = ["Facet", "Hint", "Hit", "Index", "KeyInfo", "ObjectView", "Page", "Viewer", "connect"]


def connect(url: str | None = None, *, token: str | None = None, ca: str | None = None) -> Index:
    """Return the index of a URL (None: of the settings), opened for reading.

    Args:
        url: a server, https://HOST, or an index, sqlite:///PATH or postgresql://...
        token: a personal token for a server; None: of LUSTRE_EVENTS_TOKEN, else of the settings' file.
        ca: a file of certificates to trust instead of the system's; None: as the settings say.

    Raises:
        ConfigError: the URL, the token or the settings are wrong.
        IndexUnavailable: there is no index or server, or it cannot be read.
    """
    if url is not None and not url.startswith(("https://", "http://")):
        return Index(open_search(url))
    path = os.environ.get("LUSTRE_EVENTS_CONFIG")
    settings = places.settings(Path(path) if path else None)
    own, server = settings.client, url or settings.client.server
    if not server:
        index = settings.index
        return Index(open_searched(index.url, index.search_url, index.search_lag_seconds))
    shown = token or credentials.token(own.token_file)
    return Index(open_server(server, shown, ca=own.ca if ca is None else ca, seconds=own.timeout_seconds))


class Index:
    """An index opened for reading; a `with` closes it. For one thread only.

    `visible_to` limits each answer to what a user could list and read in the file system itself: a Viewer,
    or the name of a user of this machine. A server answers with what the owner of the token may see, and accepts no
    `visible_to`. Every call may raise QueryError and IndexUnavailable.
    """

    def __init__(self, search: Asking) -> None:
        self._search = search

    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        sort: str | None = None,
        visible_to: Viewer | str | None = None,
    ) -> Iterator[Hit]:
        """Yield the objects that match, page by page, up to `limit` of them.

        sort: `size`, `mtime`, `ctime` or `atime`, with `-` before it from the largest down. Objects that change
            while pages are read may be seen or missed; no other object comes twice or is left out.
        """
        viewer = _viewer(visible_to)
        for page in pages(self._search, query, limit=limit, sort=sort, visible_to=viewer):
            yield from page.hits

    def page(
        self,
        query: str,
        *,
        limit: int = 100,
        sort: str | None = None,
        cursor: str | None = None,
        visible_to: Viewer | str | None = None,
    ) -> Page:
        """Return one page of hits, and the cursor that gives the next one."""
        return self._search.page(query, limit=limit, sort=sort, cursor=cursor, visible_to=_viewer(visible_to))

    def count(self, query: str, *, visible_to: Viewer | str | None = None) -> int:
        """Return how many objects match."""
        return self._search.count(query, visible_to=_viewer(visible_to))

    def facets(
        self, query: str, fields: Sequence[str], *, limit: int | None = 20, visible_to: Viewer | str | None = None
    ) -> dict[str, tuple[Facet, ...]]:
        """Return the most frequent values of fields (owner, group, type, ext, mime, extractor, or a key)."""
        return self._search.facets(query, fields, limit=limit, visible_to=_viewer(visible_to))

    def hints(
        self, query: str, *, fields: Sequence[str] = (), visible_to: Viewer | str | None = None
    ) -> tuple[Hint, ...]:
        """Return sentences that say why a query finds nothing, or why `facets` has no values for some fields."""
        return self._search.hints(query, fields=fields, visible_to=_viewer(visible_to))

    def fields(
        self, prefix: str = "", *, limit: int = 100, visible_to: Viewer | str | None = None
    ) -> tuple[KeyInfo, ...]:
        """Return the fields and keys with a step that begins with `prefix`, each with type, unit and examples."""
        return self._search.fields(prefix, limit=limit, visible_to=_viewer(visible_to))

    def du(self, path: bytes | str, by: str, *, visible_to: Viewer | str | None = None) -> tuple[Facet, ...]:
        """Return the files and bytes of a path and all below it, grouped by a field as in `facets`."""
        return self._search.du(_bytes(path), by, visible_to=_viewer(visible_to))

    def show(self, target: FID | bytes | str, *, visible_to: Viewer | str | None = None) -> ObjectView:
        """Return all that is known of an object, by its FID or path.

        Raises:
            ConfigError: the index knows no such path.
        """
        viewer = _viewer(visible_to)
        fid = target if isinstance(target, FID) else self._search.fid_of_path(_bytes(target), visible_to=viewer)
        if fid is None:
            raise ConfigError(f"{target!r}: no such path in the index")
        return self._search.show(fid, visible_to=viewer)

    def close(self) -> None:
        """Close the index."""
        self._search.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _viewer(visible_to: Viewer | str | None) -> Viewer | None:
    return Viewer.of_user(visible_to) if isinstance(visible_to, str) else visible_to


def _bytes(path: bytes | str) -> bytes:
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
