"""PostgreSQL at ten million files: do its searches stay as quick as at one million?

Its writer would need hours for them. So it writes a small index, which is then copied within the server, with other
names, FIDs, owners and times, and indexed at once; statistics are made at the end. Tables are unlogged: their pages
are the same. Ten million files need 45 GB of disk (TMPDIR).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import click
import psycopg
from psycopg import sql

from bench.index import USER, slowest
from bench.options import Figures, Options, percentile
from bench.postgresql_server import PostgreSQLServer
from bench.synthetic import DIRECTORIES_PER_RUN, FILES_OF_JOB, FILES_PER_DIRECTORY, fill
from lustre_events.index import open_writer

TEMPLATE = 100_000
"""Files that the writer writes: whole runs."""
TIMES = 10
PASSES = 2
"""Each index is searched this often, the two in turns; what counts is the better pass."""
_FOR_LOADING = ("maintenance_work_mem=1GB", "max_wal_size=8GB", "autovacuum=off", "synchronous_commit=off")
_RUNS = TEMPLATE // (FILES_PER_DIRECTORY * DIRECTORIES_PER_RUN)
_OWNERS, _OWNERS_OF_TEMPLATE = 97, TEMPLATE // (100 * FILES_OF_JOB) + 1
"""As bench/synthetic.py gives files to owners."""

# The sequence's last byte tells what a FID of bench/synthetic.py is: 2 a file, 3 a directory of files, 4 a run.
_STEP = (
    f"CASE get_byte(fid, 7) WHEN 2 THEN {TEMPLATE} WHEN 3 THEN {TEMPLATE // FILES_PER_DIRECTORY} ELSE {_RUNS} END"
)
_FID = f"""CREATE FUNCTION shifted(fid bytea, copy integer) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN get_byte(fid, 7) IN (2, 3, 4) THEN substring(fid FROM 1 FOR 8) || int4send(
  (get_byte(fid, 8) << 24) + (get_byte(fid, 9) << 16) + (get_byte(fid, 10) << 8) + get_byte(fid, 11)
  + copy * {_STEP}
) || substring(fid FROM 13) ELSE fid END $$"""  # noqa: S608 - constants
_NUMBER = "convert_from(substring(name FROM 7 FOR 8), 'UTF8')"
_FILE_NUMBER = f"lpad(({_NUMBER}::integer + copy * {TEMPLATE})::text, 8, '0')"
_RUN = "convert_from(substring(name FROM 4), 'UTF8')"
_RUN_NUMBER = f"({_RUN}::integer + copy * {_RUNS})::text"
_KIND = "get_byte(fid, 7)"
_OWNER = f"1000 + (uid - 1000 + {_OWNERS_OF_TEMPLATE} * copy) % {_OWNERS}"
_EXPRESSIONS: Mapping[str, Mapping[str, str]] = {
    "link": {
        "parent": "shifted(parent, copy)",
        "fid": "shifted(fid, copy)",
        "name": f"CASE {_KIND} WHEN 2 THEN convert_to('frame_' || {_FILE_NUMBER} || '.h5', 'UTF8')"
        f" WHEN 4 THEN convert_to('run' || {_RUN_NUMBER}, 'UTF8') ELSE name END",
        "words": f"CASE {_KIND} WHEN 2 THEN replace(words::text, {_NUMBER}, {_FILE_NUMBER})::tsvector"
        f" WHEN 4 THEN ('''run' || {_RUN_NUMBER} || ''':1')::tsvector ELSE words END",
    },
    "object": {
        "id": "id + copy * (SELECT max(id) FROM few_object)",
        "fid": "shifted(fid, copy)",
        "mtime_ns": "mtime_ns + copy * 37000000000",
        "uid": f"CASE {_KIND} WHEN 2 THEN {_OWNER} ELSE uid END",
        "gid": f"CASE {_KIND} WHEN 2 THEN ({_OWNER}) % 13 ELSE gid END",
    },
    "document": {
        "id": "id + copy * (SELECT max(id) FROM few_document)",
        "object": "object + copy * (SELECT max(id) FROM few_object)",
    },
    "fulltext": {
        "document": "document + copy * (SELECT max(id) FROM few_document)",
        "object": "object + copy * (SELECT max(id) FROM few_object)",
    },
    **{
        table: {"object": "object + copy * (SELECT max(id) FROM few_object)"}
        for table in ("number", "word", "part", "text_number", "text_time")
    },
}
_COPIED = {"link": f"{_KIND} IN (2, 3, 4)", "object": f"{_KIND} IN (2, 3, 4)"}
"""What is copied of a table; of the others all."""


def postgresql_growth(options: Options) -> Figures:
    """Return how much longer the searches take in an index ten times as large (PostgreSQL)."""
    with contextlib.ExitStack() as stack:
        urls = {}
        for name, files in (("1x", options.files), (f"{TIMES}x", TIMES * options.files)):
            server = stack.enter_context(PostgreSQLServer(*_FOR_LOADING))
            load(server.url(), files)
            urls[name] = server.url()
        os.sync()  # what is still to be written would slow down the first searches
        return compared(urls) | {
            f"index.bytes_per_file_{TIMES}x_postgresql": size(urls[f"{TIMES}x"]) / (TIMES * options.files)
        }


def compared(urls: Mapping[str, str]) -> Figures:
    """Return the figures of two indexes, searched in turns, and their ratios."""
    figures: Figures = {}
    for _ in range(PASSES):
        for name, url in urls.items():
            for viewer, what in ((None, "search"), (USER, "search_as_user")):
                took = [milliseconds for _, milliseconds in slowest(url, viewer)]
                for percent in (50, 95, 99):
                    figure = f"index.{what}_p{percent}_ms_{name}_postgresql"
                    figures[figure] = min(percentile(took, percent), figures.get(figure, float("inf")))
    before, now = (figures[f"index.search_p99_ms_{name}_postgresql"] for name in urls)
    return figures | {f"index.search_growth_{TIMES}x_postgresql": now / before}


def size(url: str) -> int:
    """Return the bytes of a database."""
    with psycopg.connect(url) as connection:
        ((found,),) = connection.execute("SELECT pg_database_size(current_database())")
        return int(found)


def load(url: str, files: int) -> None:
    """Fill an empty database with this number of files, or the next multiple of TEMPLATE."""
    writer = open_writer(url)
    fill(writer, TEMPLATE)
    writer.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FID)
        with _without_indexes(connection):
            for table in _EXPRESSIONS:
                _copy(connection, table, -(-files // TEMPLATE))
                click.echo(f"{files} files: {table} is there", err=True)
        click.echo(f"{files} files: indexes are there", err=True)
        connection.execute("VACUUM ANALYZE")


def _copy(connection: psycopg.Connection[tuple[str, ...]], table: str, copies: int) -> None:
    """Put all copies of the rows of a table into it."""
    connection.execute(f"ALTER TABLE {table} SET UNLOGGED")
    connection.execute(
        f"CREATE UNLOGGED TABLE few_{table} AS SELECT * FROM {table} WHERE {_COPIED.get(table, 'true')}"  # noqa: S608 - constants
    )
    names = [
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum", (table,),
        )
    ]  # fmt: skip
    values = ", ".join(_EXPRESSIONS[table].get(name, f'"{name}"') for name in names)
    listed = ", ".join(f'"{name}"' for name in names)
    # A copy after the other, as files come.
    connection.execute(
        f"DO $do$ BEGIN FOR copy IN 1 .. {copies - 1} LOOP INSERT INTO {table} ({listed})"  # noqa: S608 - constants
        f" OVERRIDING SYSTEM VALUE SELECT {values} FROM few_{table}; END LOOP; END $do$"
    )


@contextlib.contextmanager
def _without_indexes(connection: psycopg.Connection[tuple[str, ...]]) -> Iterator[None]:
    """Leave the tables without indexes meanwhile; they are made anew at once, which takes far less."""
    tables = list(_EXPRESSIONS)
    constraints = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype IN ('p', 'u') AND conrelid::regclass::text = ANY(%s)", (tables,),
    ).fetchall()  # fmt: skip
    own = [name for _, name, _ in constraints]
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY(%s)"
        " AND NOT indexname = ANY(%s)", (tables, own),
    ).fetchall()  # fmt: skip
    for table, name, _ in constraints:
        connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(*map(sql.Identifier, (table, name))))
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    yield
    for table in tables:
        connection.execute(f"DROP TABLE few_{table}")
    for table, name, definition in constraints:
        connection.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    for _, definition in indexes:
        connection.execute(definition)
