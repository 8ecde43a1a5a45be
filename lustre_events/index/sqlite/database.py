"""Opening the SQLite file: settings, schema version, and errors that say what to do.

The schema is made by the numbered files of schema/sqlite, each applied once, in order, in a transaction of
its own; `user_version` says which were. `application_id` tells our files from other programs' ones.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from urllib.parse import unquote_to_bytes

from lustre_events.errors import IndexTooNew, IndexUnavailable
from lustre_events.index.backend import TOO_LONG
from lustre_events.index.sqlite import local_disk, names
from lustre_events.index.sqlite.documents import rebuild, text_of

APPLICATION_ID = 0x4C755374  # "LuSt"
BUSY_SECONDS = 10.0
"""How long a statement waits for another process's transaction."""

STATEMENTS = 500
WAL_PAGES = 16_384
"""64 MB in the WAL, where the writer's own checkpoints (writer.py) leave so much."""

WAL_BYTES = WAL_PAGES * 4096
"""When a reader that held the WAL has gone, it shrinks to this size again, with the next writes."""

SEARCH_ROWS_SINCE = 10
"""The version of the schema with which the search rows of documents were made as they are."""

NAMES_SINCE = 13
"""The same of what names are found by."""


_CLOSED = (
    "{}: this account has no right to read the index; ask your site's server (--server https://HOST, or [client] "
    "server in the settings), or search in the web console"
)


@contextlib.contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into IndexUnavailable."""
    try:
        yield
    except sqlite3.Error as exc:
        raise IndexUnavailable(f"{path}: the index cannot be used ({exc}); {_advice(exc)}") from exc


def open_database(path: Path) -> sqlite3.Connection:
    """Open an index for writing; make it, or bring it to this version, where needed.

    The connection is in autocommit mode and may move between threads, but serves one at once.

    Raises:
        IndexUnavailable: no such folder, a network file system, no rights, not an index, busy for too long.
        IndexTooNew: a later version of this program wrote it.
    """
    if not there(path.parent):
        raise IndexUnavailable(f"{path}: there is no folder {path.parent}; make it, or correct [index] url")
    local_disk.check(path)
    with contextlib.suppress(OSError):  # SQLite says it better
        # Not for everybody: what a file's document says is for who may read the file. The WAL gets the same mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDONLY, 0o640))
    with sqlite_errors(path):
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
        )
    try:
        with sqlite_errors(path):
            _migrate(connection, path)
            # FULL: a clear of the changelog may depend on a commit, which must survive a loss of power.
            for pragma in (
                "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY", "cache_size = -65536",
                f"wal_autocheckpoint = {WAL_PAGES}", f"journal_size_limit = {WAL_BYTES}",
            ):  # fmt: skip
                connection.execute(f"PRAGMA {pragma}")
            names.watch(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def there(path: Path) -> bool:
    """Return whether a file or folder is there. Raises IndexUnavailable: this account may not know."""
    try:
        return path.exists()
    except PermissionError as exc:
        raise IndexUnavailable(_CLOSED.format(path)) from exc


def check_readable(path: Path) -> None:
    """Raise IndexUnavailable where this account may not read an index that is there."""
    if not os.access(path, os.R_OK):
        raise IndexUnavailable(_CLOSED.format(path))


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of an index's schema; 0: the file is empty.

    Raises:
        IndexUnavailable: it is another program's database.
        IndexTooNew: a later version of this program wrote it.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application == 0 and version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return 0
    if application != APPLICATION_ID:
        raise IndexUnavailable(f"{path}: this is another program's database; correct [index] url or --index")
    if version > len(_schemas()):
        raise IndexTooNew(
            f"{path}: the index has version {version}, this program knows {len(_schemas())}; upgrade this program"
        )
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if check_version(connection, path) == len(_schemas()):
        return
    connection.execute("PRAGMA journal_mode = WAL")
    add_functions(connection)
    for number, schema in enumerate(_schemas(), start=1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Looked at again: another process may have done it meanwhile.
            if check_version(connection, path) < number:
                for statement in _statements(schema):
                    connection.execute(statement)
                if number == SEARCH_ROWS_SINCE:
                    rebuild(connection)
                if number == NAMES_SINCE:
                    names.rename_all(connection)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the scripts of the schema call."""
    connection.create_function("le_text", 1, text_of, deterministic=True)
    connection.create_function("le_unquoted", 1, unquote_to_bytes, deterministic=True)


@functools.cache
def _schemas() -> list[str]:
    folder = resources.files("lustre_events.index.sqlite") / "schema"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name)
    return [entry.read_text(encoding="utf-8") for entry in files]


def _statements(script: str) -> Iterator[str]:
    """Split a script; `executescript` would commit the transaction that holds it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _advice(exc: sqlite3.Error) -> str:
    text = str(exc)
    for sign, advice in _ADVICE.items():
        if sign in text:
            return advice
    return "look at the disk and at who else uses the file"


_UNIT = (
    "a unit of systemd writes only to /var/lib/lustre-events, unless ReadWritePaths= names another folder "
    "(`lustre-events setup dispatcher` writes that)"
)
_ADVICE = {
    "unable to open": f"check that the file and its folder may be read and written by this account; {_UNIT}",
    "readonly": f"check that the file and its folder may be written by this account; {_UNIT}",
    "not a database": "the file is not a SQLite database; correct [index] url or --index",
    "malformed": "the file is damaged; restore it, or move it away and build a new one",
    "locked": "another process has locked it for too long; see which one has it open",
    "interrupted": TOO_LONG,
    "full": "the disk is full; make room",
}
