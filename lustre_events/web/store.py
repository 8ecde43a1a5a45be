"""The console's own store: a small SQLite file with personal tokens, saved searches and feeds.

Only the web process writes it, and root's `token` command on its node. It has a rollback journal, so nothing lies
beside it that belongs to another account. Nothing of the file system is in it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from lustre_events.errors import StoreUnavailable

APPLICATION_ID = 0x6C657773
"""`lews`"""
BUSY_SECONDS = 5.0

MIGRATIONS = (
    """
    CREATE TABLE token (
        id TEXT PRIMARY KEY, user TEXT NOT NULL, uid INTEGER NOT NULL, label TEXT NOT NULL, scopes TEXT NOT NULL,
        hash BLOB NOT NULL, made_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, used_ns INTEGER,
        per_minute INTEGER NOT NULL, revoked_ns INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX token_user ON token (user);
    CREATE TABLE saved (
        user TEXT NOT NULL, name TEXT NOT NULL, query TEXT NOT NULL, sort TEXT NOT NULL, made_ns INTEGER NOT NULL,
        PRIMARY KEY (user, name)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE feed (
        id TEXT NOT NULL UNIQUE, user TEXT NOT NULL, uid INTEGER NOT NULL, name TEXT NOT NULL,
        made_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, used_ns INTEGER, hash BLOB NOT NULL,
        PRIMARY KEY (user, name)
    ) WITHOUT ROWID;
    """,
)
"""Statements that bring a store from each version to the next one. Times are ns since the epoch."""


class Store:
    """The store at a path, which is opened for each use: any thread may call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """Give a connection within one transaction. Raises StoreUnavailable."""
        try:
            with contextlib.closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as exc:
            raise self._away(str(exc)) from exc

    def _connect(self) -> sqlite3.Connection:
        new = not self.path.exists()
        if new:
            self._make()
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self) -> None:
        """Make an empty file for the account that owns the folder, closed to all others."""
        try:
            owner = self.path.parent.stat()
            made = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                if os.geteuid() == 0:
                    os.fchown(made, owner.st_uid, owner.st_gid)
            finally:
                os.close(made)
        except OSError as exc:
            raise self._away(exc.strerror or str(exc)) from exc

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == len(MIGRATIONS):
            return
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if version > len(MIGRATIONS) or (version and application != APPLICATION_ID):
            raise self._away("a later version, or another program, has made it")
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE; {statements}; PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {number}; COMMIT;"
            )

    def _away(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.path}: the console's store of tokens and saved searches cannot be opened ({why}); give the web "
            "process a folder of its own for it, in [web] store"
        )
