"""Index URLs: where `--index` and the setting `[index] url` point, and which database that is."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lustre_events.errors import ConfigError
from lustre_events.index.backend import LONGEST_SECONDS, Backend
from lustre_events.index.interface import DocumentWriter, IndexWriter
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.remote.transport import HttpsTransport
from lustre_events.index.search.search import Search
from lustre_events.index.sqlite.search import SqliteBackend
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.index.urls import is_postgresql, sqlite_path


def open_search(url: str, seconds: float = LONGEST_SECONDS) -> Search:
    """Return the index of a URL, opened for reading.

    Args:
        url: as in `[index] url`.
        seconds: how long one call may take; then it raises IndexUnavailable.

    Raises:
        ConfigError: the URL is none that this version can open, or psycopg is not installed.
        IndexUnavailable: there is no index, or it cannot be read.
        IndexTooNew: a later version of this program wrote it.
    """
    return Search(open_backend(url, seconds))


def open_searched(url: str, search_url: str, most_lag_seconds: float, seconds: float = LONGEST_SECONDS) -> Search:
    """Return the index of a URL, opened for reading: its standby where there is one.

    Args:
        url: as in `[index] url`.
        search_url: a streaming standby of it, as in `[index] search_url`; empty: there is none.
        most_lag_seconds: the standby is asked while it is not further behind.
        seconds: how long one call may take; then it raises IndexUnavailable.

    Raises:
        ConfigError, IndexUnavailable, IndexTooNew: as `open_search`; `search_url` is not of a PostgreSQL.
    """
    if not search_url:
        return open_search(url, seconds)
    if not (is_postgresql(search_url) and is_postgresql(url)):
        raise ConfigError("[index] search_url is for an index in PostgreSQL, as url is; remove it")
    try:
        from lustre_events.index.postgresql.standby import StandbyBackend  # noqa: PLC0415 - psycopg is optional
    except ModuleNotFoundError as exc:
        raise _no_driver(exc) from exc
    return Search(StandbyBackend(search_url, partial(open_backend, url, seconds), most_lag_seconds, seconds))


def search_lag(search_url: str) -> float | None:
    """Return by how many seconds a standby is behind, at most; None: the server follows no other one.

    Raises:
        ConfigError: the URL is not of a PostgreSQL, or psycopg is not installed.
        IndexUnavailable: it does not answer.
    """
    if not is_postgresql(search_url):
        raise ConfigError("[index] search_url is for an index in PostgreSQL; remove it")
    try:
        from lustre_events.index.postgresql.standby import lag_of  # noqa: PLC0415 - psycopg is optional
    except ModuleNotFoundError as exc:
        raise _no_driver(exc) from exc
    return lag_of(search_url)


def open_server(server: str, token: str, *, ca: str = "", seconds: float = 60.0) -> RemoteSearch:
    """Return the index that a server answers for, with what the owner of a token may see.

    Args:
        server: the address of `lustre-events web`, https://HOST.
        token: a personal token.
        ca: a file of certificates to trust instead of the system's.
        seconds: how long an answer may take.

    Raises:
        ConfigError: the address or the certificates are wrong.
    """
    return RemoteSearch(HttpsTransport(server, f"Bearer {token}", ca=ca, seconds=seconds))


def open_backend(url: str, seconds: float = LONGEST_SECONDS) -> Backend:
    """Return what `open_search` searches, for those who compare it with something else; raises as that does."""
    if is_postgresql(url):
        try:
            from lustre_events.index.postgresql.search import PostgresqlBackend  # noqa: PLC0415 - psycopg is optional
        except ModuleNotFoundError as exc:
            raise _no_driver(exc) from exc
        return PostgresqlBackend(url, seconds)
    return SqliteBackend(sqlite_path(url), seconds)


def open_writer(url: str) -> IndexWriter:
    """Return the index of a URL for its one writer; it is made, or brought to this version, where needed.

    Raises:
        ConfigError, IndexUnavailable, IndexTooNew: as `open_search`.
    """
    if is_postgresql(url):
        try:
            from lustre_events.index.postgresql.writer import PostgresqlWriter  # noqa: PLC0415 - psycopg is optional
        except ModuleNotFoundError as exc:
            raise _no_driver(exc) from exc
        return PostgresqlWriter(url)
    return SqliteWriter(sqlite_path(url))


def open_document_writer(url: str) -> DocumentWriter:
    """Return the index of a URL for an indexer, which writes documents beside the dispatcher.

    Raises:
        ConfigError: the index is in SQLite, which has one writer, or psycopg is not installed.
        IndexUnavailable, IndexTooNew: it cannot be opened, or the dispatcher has not made it yet.
    """
    check_indexers(url)
    try:
        from lustre_events.index.postgresql.document_writer import (  # noqa: PLC0415 - psycopg is optional
            PostgresqlDocumentWriter,
        )
    except ModuleNotFoundError as exc:
        raise _no_driver(exc) from exc
    return PostgresqlDocumentWriter(url)


def check_indexers(url: str) -> None:
    """Check that an index can have indexers. Raises ConfigError."""
    if not is_postgresql(url):
        raise ConfigError(
            "[index] indexers is for an index in PostgreSQL; SQLite has one writer, the dispatcher: set it to 0"
        )


def make_folder(url: str) -> None:
    """Make the folder of an index that is a file."""
    if not is_postgresql(url):
        folder: Path = sqlite_path(url).parent
        folder.mkdir(parents=True, exist_ok=True)


def _no_driver(exc: ModuleNotFoundError) -> ConfigError:
    return ConfigError(
        f"the index is on PostgreSQL, but {exc.name} is missing; pip install 'lustre-events[postgresql]'"
    )
