"""`lustre-events search`: what it finds as text, JSON, CSV, or NUL-separated paths."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from lustre_events.cli.options import SearchSource, with_search, with_viewer
from lustre_events.cli.output import as_csv, as_json, print_csv, print_facets, print_hints, print_hints_of_mistake
from lustre_events.config import places
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.index.fields import FIELDS
from lustre_events.index.mount import Mount
from lustre_events.index.search.asking import pages, portions
from lustre_events.index.search.hits import Facet, Hit, Page, hit_json, match_line, name_text, printable
from lustre_events.index.search.portions import HitPortion
from lustre_events.index.visibility import Viewer
from lustre_events.inspect.export import FORMATS, Exported, write

FEW = 100
"""Hits that are printed where nobody says how many."""

NOTHING_FOUND = 1
"""The exit code of a search that finds nothing, as of grep; what is wrong has the codes of errors.py, from 2 on."""


def _completions(_ctx: click.Context, _argument: click.Parameter, typed: str) -> list[str]:
    """Return what the query that is typed can become: a field, then its value; without an index known fields."""
    try:
        path = os.environ.get("LUSTRE_EVENTS_CONFIG")
        with SearchSource(places.settings(Path(path) if path else None)).opened() as index:
            return list(index.complete(typed))
    except (LustreEventsError, OSError):
        before, space, word = typed.rpartition(" ")
        return [f"{before}{space}{name}:" for name in FIELDS if name.startswith(word)]


# Branches: one for each form of answer.
@click.command("search")
@click.argument("query", shell_complete=_completions)
@with_search
@with_viewer
@click.option("--limit", type=click.IntRange(min=1), help="Most hits to print. Default: 100; with --format all.")
@click.option(
    "--sort", help="Order by size, mtime, ctime or atime; with - before it, the largest first. Or: relevance."
)
@click.option("--cursor", help="Continue after the last page, with what it printed to stderr.")
@click.option("--count", "only_count", is_flag=True, help="Print only how many files match.")
@click.option("--facets", metavar="FIELD,...", help="Print the most frequent values of fields, e.g. owner,ext.")
@click.option("--format", "export", type=click.Choice(FORMATS), help="Write all hits: a row or line for each path.")
@click.option("--output", type=click.Path(dir_okay=False), help="With --format: the file to write; else stdout.")
@click.option(
    "--columns", metavar="KEY,...", default="", help="With --format parquet: the keys with columns. Default: all."
)
@click.option(
    "--excerpts/--no-excerpts", default=None, help="Print below each path what matched. Default: on a terminal."
)
@as_json
@as_csv
@click.option("--null", "style", flag_value="null", help="Print paths as they are, each ended by a NUL (xargs -0).")
def search_command(
    query: str,
    *,
    source: SearchSource,
    viewer: Viewer | None,
    limit: int | None,
    sort: str | None,
    cursor: str | None,
    only_count: bool,
    facets: str | None,
    export: str | None,
    output: str | None,
    columns: str,
    excerpts: bool | None,
    style: str | None,
) -> None:
    """Find files by what is in them.

    For example: lustre-events search 'columns:temperature AND size:>1k'.

    The exit code is 0 if something was found, 1 if nothing was (stderr says why), and 2 or more if the query or
    something else is wrong.
    """
    if columns and export is None:
        raise ConfigError("--columns needs --format parquet")
    with source.opened() as index, print_hints_of_mistake(index, query, viewer):
        mount = source.mount(index)
        query = mount.query(query)
        empty: list[str] = []
        where: dict[str, Any] = {"limit": limit, "sort": sort, "cursor": cursor, "visible_to": viewer}
        if export is not None:
            some = _exported(
                map(mount.placed_all, portions(index, query, **where)),
                export,
                output,
                [each for each in columns.split(",") if each],
            )
        elif only_count:
            count = index.count(query, visible_to=viewer)
            click.echo(count)
            some = count > 0
        elif facets is not None:
            values = index.facets(query, facets.split(","), visible_to=viewer)
            print_facets(values, style)
            empty = _empty(values)
            some = len(empty) < len(values)
        else:
            hits = _Hits(pages(index, query, **where | {"limit": limit or FEW}))
            _print_hits(hits, style or _text_style(excerpts), mount)
            some = hits.some
        if empty or not (some or cursor):
            print_hints(index.hints(query, fields=empty, visible_to=viewer))
    sys.exit(0 if some or cursor else NOTHING_FOUND)


def _text_style(excerpts: bool | None) -> str | None:
    """Return how hits are printed as text: for a person with what matched, for a pipe paths alone."""
    return "excerpts" if (sys.stdout.isatty() if excerpts is None else excerpts) else None


def _empty(values: Mapping[str, tuple[Facet, ...]]) -> list[str]:
    """Return the fields without any values."""
    return [name for name, found in values.items() if not found]


def _exported(hits: Iterable[HitPortion], kind: str, output: str | None, columns: list[str]) -> bool:
    """Write hits, and return whether there were any."""
    if output is None:
        if kind == "parquet" and sys.stdout.isatty():
            raise ConfigError("a Parquet file cannot be shown on a terminal; write it with --output FILE")
        return _told(write(hits, kind, sys.stdout.buffer, columns=columns))
    beside = Path(f"{output}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            written = write(hits, kind, file, columns=columns, folder=beside.parent)
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    return _told(written)


def _told(written: Exported) -> bool:
    """Say what is to be said of an export, and return whether there were any hits."""
    for note in written.notes:
        click.echo(f"lustre-events: {note}", err=True)
    return written.hits > 0


class _Hits:
    """Iterates over the hits of pages; then `cursor` is that of the next one."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages = pages
        self.cursor: str | None = None
        self.note: str | None = None
        self.some = False

    def __iter__(self) -> Iterator[Hit]:
        for page in self._pages:
            self.cursor, self.note = page.cursor, page.note
            self.some |= bool(page.hits)
            yield from page.hits


def _print_hits(hits: _Hits, style: str | None, mount: Mount) -> None:
    if style == "csv":
        print_csv(_CSV_FIELDS, (row for hit in hits for row in _csv_rows(mount.placed(hit))))
    else:
        for hit in hits:
            click.echo(_STYLES[style](mount.placed(hit)), nl=style != "null")
    if hits.note is not None:
        click.echo(hits.note, err=True)
    if hits.cursor is not None:
        click.echo(f"there are more; continue with: --cursor {hits.cursor}", err=True)


_BYTES = ("utf-8", "surrogateescape")
_STYLES: dict[str | None, Callable[[Hit], str | bytes]] = {
    None: lambda hit: "\n".join(map(printable, hit.paths)),
    "excerpts": lambda hit: "\n".join(
        [
            *map(printable, hit.paths),
            *(f"    {printable(match_line(each).encode(*_BYTES))}" for each in hit.matched),
        ]
    ),
    "json": lambda hit: json.dumps(hit_json(hit)),
    "null": lambda hit: b"".join(path + b"\0" for path in hit.paths),
}
_CSV_FIELDS = ("path", "fid", "type", "size", "mtime_ns", "uid", "gid", "mode", "mime")


def _csv_rows(hit: Hit) -> Iterator[list[Any]]:
    """Yield a row for each path."""
    mode = None if hit.mode is None else f"{hit.mode:04o}"
    for path in hit.paths:
        yield [name_text(path), hit.fid, hit.type, hit.size, hit.mtime_ns, hit.uid, hit.gid, mode, hit.mime]
