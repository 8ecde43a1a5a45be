"""Connections to an index in PostgreSQL: settings, schema version, and errors that say what to do.

The schema is made by the numbered files of schema/postgresql, each applied once, in order, in a transaction of
its own; the table `meta` says which were. It stands in the first schema of the connection's search_path.

Messages name an index by host and database only: its URL may hold a password.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import resources
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError, IndexTooNew, IndexUnavailable
from lustre_events.index.postgresql.arrays import Column, column

CONNECT_SECONDS = 10
WRITE_SECONDS = 60
"""How long a statement of the writer may take."""
LOCK_SECONDS = 10
"""How long a statement waits for another session's transaction."""
IDLE_SECONDS = 60
"""How long a session may pause within a transaction, so that a hanging dispatcher does not block the next one."""
MIGRATE_SECONDS = 3600
NAMES_SINCE = 13
SEARCH_ROWS_SINCE = 10
"""The version of the schema with which the search rows of documents were made as they are."""

WRITER_SETTINGS = (
    # A clear of the changelog may depend on a commit, which must survive a loss of power.
    ("synchronous_commit", "on"),
    # Writers find every row by an index; tables that have grown since they were last analysed must not
    # make the planner read them as a whole.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
)
OUTCOMES_SINCE = 18
"""The version of the schema with which indexers write, too."""

_OLDEST_SERVER = 130_000
_NO_SCHEMA = 0

ALONE = "LOCK TABLE outcome IN SHARE ROW EXCLUSIVE MODE"
"""Waits until no transaction of an indexer is under way; none begins until this one ends (document_writer.py)."""

Row = tuple[Any, ...]
Connection = psycopg.Connection[Row]


class Database:
    """One session with an index. Not for two threads at once. `name` is what messages call the index."""

    def __init__(self, url: str, *, statement_seconds: float, settings: tuple[tuple[str, str], ...] = ()) -> None:
        """Connect, in autocommit mode; `settings` are the server's, for this session.

        Raises:
            ConfigError: the URL cannot be read.
            IndexUnavailable: no connection.
        """
        self.name = shown(url)
        with self.errors():
            self.connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS,
                                              application_name="lustre-events", **_missing(url))  # fmt: skip
        try:
            self._check_server()
            with self.errors():
                for name, value in (
                    ("statement_timeout", f"{statement_seconds:g}s"),
                    ("lock_timeout", f"{LOCK_SECONDS}s"),
                    ("idle_in_transaction_session_timeout", f"{IDLE_SECONDS}s"),
                    ("client_encoding", "UTF8"),
                    ("jit", "off"),  # compiling costs more than these statements take
                    *settings,
                ):
                    self.set(name, value)
        except BaseException:
            self.connection.close()
            raise

    def set(self, name: str, value: str) -> None:
        """Change one of the server's settings for this session."""
        self.connection.execute("SELECT set_config(%s, %s, false)", (name, value))

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn psycopg's errors into IndexUnavailable."""
        try:
            yield
        except psycopg.Error as exc:
            raise IndexUnavailable(
                f"{self.name}: the index cannot be used ({_first_line(exc)}); {_advice(exc)}"
            ) from exc

    @contextlib.contextmanager
    def transaction(self, begin: LiteralString = "BEGIN") -> Iterator[Connection]:
        """Begin; commit at the end, or undo everything if an exception comes."""
        with self.errors():
            self.connection.execute(begin)
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(psycopg.Error):  # a lost connection has rolled back already
                    self.connection.execute("ROLLBACK")
                raise

    def version(self) -> int:
        """Return the version of the index's schema; 0: there is no index yet.

        Raises:
            IndexUnavailable: the tables are another program's.
            IndexTooNew: a later version of this program made them.
        """
        with self.errors():
            if self.connection.execute("SELECT to_regclass('meta') IS NULL").fetchone() == (True,):
                return _NO_SCHEMA
            try:
                row = self.connection.execute(
                    "SELECT value FROM meta WHERE key = 'lustre-events schema'"
                ).fetchone()
            except psycopg.errors.UndefinedColumn:
                row = None
        if row is None:
            raise IndexUnavailable(
                f"{self.name}: another program has a table named meta here; give the index a database of its own"
            )
        if int(row[0]) > len(_schemas()):
            raise IndexTooNew(
                f"{self.name}: the index has version {row[0]}, this program knows {len(_schemas())}; "
                "upgrade this program"
            )
        return int(row[0])

    def migrate(
        self, rebuild: Callable[[Connection, str], None], rename: Callable[[Connection, str], None]
    ) -> None:
        """Make the index, or bring it to this version, where needed. Raises as `version` does.

        `rebuild` makes all search rows anew, in the transaction of a connection (with the database's name);
        `rename` does so with what names are found by.
        """
        if self.version() == len(_schemas()):
            return
        for number, schema in enumerate(_schemas(), start=1):
            try:
                self._bring_to(number, schema, rebuild, rename)
            except IndexUnavailable as exc:
                if not isinstance(exc.__cause__, psycopg.errors.UniqueViolation):
                    raise
                # Another process made the first table at the same moment.
                self._bring_to(number, schema, rebuild, rename)

    def _bring_to(
        self,
        number: int,
        schema: str,
        rebuild: Callable[[Connection, str], None],
        rename: Callable[[Connection, str], None],
    ) -> None:
        """Bring the index to a version, in one transaction, unless it has that already."""
        with self.transaction():
            self.connection.execute("SELECT set_config('statement_timeout', %s, true)", (f"{MIGRATE_SECONDS}s",))
            self.connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            # One process does it. A lock that only the table's owner may have: an advisory one anybody could hold.
            self.connection.execute("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE")
            self.connection.execute(
                "INSERT INTO meta (key, value) VALUES ('lustre-events schema', '0') ON CONFLICT DO NOTHING"
            )
            if (version := self.version()) >= number:
                return
            if version >= OUTCOMES_SINCE:
                self.connection.execute(ALONE)
            self.connection.execute(schema)
            if number == SEARCH_ROWS_SINCE:
                rebuild(self.connection, self.name)
            if number == NAMES_SINCE:
                rename(self.connection, self.name)
            self.connection.execute(
                "INSERT INTO meta (key, value) VALUES ('lustre-events schema', %s)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (str(number),),
            )

    def close(self) -> None:
        """Close; closing twice is fine."""
        self.connection.close()

    def _check_server(self) -> None:
        info = self.connection.info
        if info.server_version < _OLDEST_SERVER:
            raise IndexUnavailable(
                f"{self.name}: the server is PostgreSQL {info.server_version // 10_000}; use 13 or later"
            )
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise IndexUnavailable(
                f"{self.name}: the database has the encoding {encoding}; make one with: "
                "createdb --encoding UTF8 --template template0"
            )


def pipeline(connection: Connection) -> contextlib.AbstractContextManager[object]:
    """Return a context in which statements are sent without waiting for each other; an old libpq waits."""
    return connection.pipeline() if psycopg.Pipeline.is_supported() else contextlib.nullcontext()


def packed(fids: Collection[FID]) -> Column:
    """Return FIDs as a parameter `%b::bytea[]` takes them, in the order of the index."""
    return column(sorted(fid.pack() for fid in fids))


def unpacked_links(rows: Iterable[Row]) -> list[tuple[FID, FID, bytes]]:
    """Return rows of (packed FID, packed parent, name) with FIDs; the few parents are made once."""
    parents: dict[bytes, FID] = {}
    found = []
    for fid, parent, name in rows:
        above = parents.get(parent) or parents.setdefault(parent, FID.unpack(parent))
        found.append((FID.unpack(fid), above, name))
    return found


def shown(url: str) -> str:
    """Return the part of an index's URL that a message may show: neither user nor password.

    Raises:
        ConfigError: the URL cannot be read.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # What libpq says about it can hold a part of the password.
        raise ConfigError(
            "the URL of the index cannot be read; write postgresql://user@host:5432/database, with %40 for an @ in "
            "the password (better: keep the password in ~/.pgpass)"
        ) from None
    host = str(parts.get("host") or "")
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{'' if host.startswith('/') else host}{port}/{parts.get('dbname') or ''}"


def _missing(url: str) -> dict[str, Any]:
    """Return settings that keep a session from waiting for a dead server, unless the URL has its own."""
    given = conninfo_to_dict(url)
    return {name: value for name, value in _KEEPALIVE.items() if name not in given}


_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}


def _schemas() -> list[str]:
    folder = resources.files("lustre_events.index.postgresql") / "schema"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name)
    return [entry.read_text(encoding="utf-8") for entry in files]


@functools.cache
def known_version() -> int:
    """Return the version of the schema that this program knows."""
    return len(_schemas())


def _first_line(exc: psycopg.Error) -> str:
    """Return an error in few words, without the values of a statement."""
    lines = (exc.diag.message_primary or str(exc)).strip().splitlines()
    return lines[0] if lines else type(exc).__name__


def _advice(exc: psycopg.Error) -> str:
    if exc.sqlstate is None:
        text = str(exc)
        return next((advice for sign, advice in _SIGNS.items() if sign in text), _AWAY)
    for length in (5, 3, 2):
        if exc.sqlstate[:length] in _STATES:
            return _STATES[exc.sqlstate[:length]]
    return "look at the server's log"


_WHERE_IT_IS = (
    "yours is in ~/.pgpass (mode 0600), a unit's in LUSTRE_EVENTS_INDEX_URL of its ROLE.env, none in the settings, "
    "which all users read"
)
_AWAY = "check that the server runs and can be reached from this machine"
_SIGNS = {
    "authentication failed": f"check the user in [index] url, and the password: {_WHERE_IT_IS}",
    "no password supplied": f"put the password where only its user reads it: {_WHERE_IT_IS}",
    "pg_hba.conf": "let this user and machine in, in the server's pg_hba.conf",
    "does not exist": "make it (deploy/postgresql/roles.sql), or correct [index] url",
    "permission denied for database": "grant the user CONNECT on it",
    "too many connections for role": "raise its CONNECTION LIMIT, or use fewer consoles and sessions",
    "too many": "the server has no connection left; raise its max_connections",
    "starting up": "it is starting; try again shortly",
}
"""libpq gives no code for a connection that could not be made, only the server's words."""

# PostgreSQL's documentation, appendix A: error codes; the first two characters are the class.
_STATES = {
    "08": _AWAY,
    "57P": "the server is being stopped or started; it will be back",
    "57014": "the statement took too long; look at the server's load",
    "55P03": "another session has locked it for too long; find it in pg_locks",
    "25006": "the user or the server may only read; the dispatcher needs the primary server and its owner",
    "42501": "grant the user the rights on the tables (deploy/postgresql/roles.sql)",
    "42P07": "another program's tables are here; give the index a database of its own",
    "53": "the server has no memory, disk or connections left; make room",
    "58": "look at the server's disk and log",
    "XX": "the index may be damaged; look at the server's log",
}
