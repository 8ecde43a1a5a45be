"""The index alone: forty searches, its size, and the rename of a large directory, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psycopg

from bench.options import Figures, Options, percentile
from bench.postgresql_server import PostgreSQLServer
from bench.synthetic import NOW_NS, PROJ, fill
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.domain.namespace import Link, OrderKey
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.index import open_search, open_writer
from lustre_events.index.interface import IndexWriter
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.index.visibility import Viewer

QUERIES = Path(__file__).parents[1] / "tests" / "bench" / "queries.txt"
NEW_QUERIES = QUERIES.with_name("queries_new.txt")
RUNS = 10
USER = Viewer(1042, frozenset({3}))
"""An owner of some of the files; the others are for everybody to read."""
_HITS = 100


def index_figures(options: Options) -> Figures:
    """Return the figures of an index of `options.files` files; of PostgreSQL where a server can be started."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as folder:
        figures = _sqlite(Path(folder) / "index.db", options.files)
    try:
        with PostgreSQLServer() as server:
            found = _postgresql(server.url(), options.files)
    except LustreEventsError as exc:
        click.echo(f"without figures of PostgreSQL: {exc}", err=True)
        return figures
    return figures | {f"{name}_postgresql": value for name, value in found.items()}


class _Seeding(SqliteWriter):
    """A writer of an index that nobody else opens yet: no WAL, nothing durable, more memory.

    The pages are the same. For ten million files its folder should lie in memory (TMPDIR=/dev/shm; it needs 12 GB).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "cache_size = -1000000"):
            self._connection.execute(f"PRAGMA {pragma}")

    def close(self) -> None:
        """Close; from now on it is an index as any other."""
        self._connection.execute("PRAGMA journal_mode = WAL")
        super().close()


def index_growth(options: Options) -> Figures:
    """Return how much longer the searches take in an index ten times as large (SQLite)."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as folder:
        small = _sqlite(Path(folder) / "small.db", options.files, _Seeding)
        large = _sqlite(Path(folder) / "large.db", options.files * 10, _Seeding)
    name = "index.search_p99_ms"
    return {
        "index.search_growth_10x": large[name] / small[name],
        f"{name}_1x": small[name],
        f"{name}_10x": large[name],
        "index.bytes_per_file_10x": large["index.bytes_per_file"],
    }


def _sqlite(path: Path, files: int, writer: Callable[[Path], IndexWriter] = SqliteWriter) -> Figures:
    size = 0

    def measure() -> None:
        nonlocal size
        size = sum(part.stat().st_size for part in path.parent.glob(path.name + "*"))

    figures = _measured(writer(path), f"sqlite:///{path}", files, measure)
    return figures | {"index.bytes_per_file": size / files}


def _postgresql(url: str, files: int) -> Figures:
    size = 0

    def measure() -> None:
        nonlocal size
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            size = row[0] if row else 0

    figures = _measured(open_writer(url), url, files, measure)
    return figures | {"index.bytes_per_file": size / files}


def _measured(writer: IndexWriter, url: str, files: int, filled: Callable[[], None]) -> Figures:
    fill(writer, files)
    writer.close()
    filled()
    os.sync()  # what is still to be written would slow down the first searches
    worst = [milliseconds for _, milliseconds in slowest(url)]
    as_user = [milliseconds for _, milliseconds in slowest(url, USER)]
    writer = open_writer(url)
    writer.take_over()
    renamed = max(_rename_ms(writer, turn) for turn in range(RUNS))
    writer.close()
    return {
        "index.search_p99_ms": percentile(worst, 99),
        "index.search_p95_ms": percentile(worst, 95),
        "index.search_as_user_p99_ms": percentile(as_user, 99),
        "index.search_median_ms": percentile(worst, 50),
        "index.rename_ms": renamed,
    }


def slowest(url: str, viewer: Viewer | None = None) -> Iterator[tuple[str, float]]:
    """Yield each of the forty queries with the slowest of its runs, in ms: first 100 hits with paths."""
    with open_search(url) as search:
        for query, sort in [*queries(QUERIES), *queries(NEW_QUERIES)]:
            took = []
            for _ in range(RUNS):
                began = time.perf_counter()
                search.page(query, sort=sort, limit=_HITS, visible_to=viewer, now_ns=NOW_NS)
                took.append((time.perf_counter() - began) * 1000)
            yield query, max(took)


def queries(path: Path) -> list[tuple[str, str | None]]:
    """Return the queries of a file, and how each is sorted.

    Raises:
        ConfigError: it is not there.
    """
    if not path.exists():
        raise ConfigError(f"{path} is not there; run this benchmark from a checkout of lustre-events")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    split = [line.partition(" sort:") for line in lines]
    return [(query, sort or None) for query, _, sort in split]


def _rename_ms(writer: IndexWriter, turn: int) -> float:
    """Return the ms of a committed transaction that renames the directory of all files, to and fro."""
    old, new = (b"proj", b"moved")[:: 1 if turn % 2 == 0 else -1]
    stamp = OrderKey(NOW_NS * 2 + turn, 0, 1, 1).pack()
    began = time.perf_counter()
    with writer.transaction() as transaction:
        transaction.set_links([Link(ROOT_FID, old, None, stamp), Link(ROOT_FID, new, PROJ, stamp)])
    return (time.perf_counter() - began) * 1000
