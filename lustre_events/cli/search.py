"""`lustre-events search`: what it finds as text, JSON, CSV, or NUL-separated paths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import click

from lustre_events.cli.options import index_of, with_index, with_settings, with_viewer
from lustre_events.cli.output import as_csv, as_json, print_csv, print_facets
from lustre_events.config.settings import Settings
from lustre_events.index import Search, open_search
from lustre_events.index.fields import FIELDS
from lustre_events.index.search.hits import Hit, hit_json, name_text, printable
from lustre_events.index.visibility import Viewer

PORTION = 1_000
"""Hits that are looked up together."""


def _fields(_ctx: click.Context, _argument: click.Parameter, typed: str) -> list[str]:
    """Return what the word that is being typed can become: the fields that begin so."""
    before, space, word = typed.rpartition(" ")
    return [f"{before}{space}{name}:" for name in FIELDS if name.startswith(word)]


@click.command("search")
@click.argument("query", shell_complete=_fields)
@with_settings
@with_index
@with_viewer
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Most hits to print.")
@click.option("--sort", help="Order by size, mtime, ctime or atime; with - before it, the largest first.")
@click.option("--cursor", help="Go on behind the last page, with what that one printed to stderr.")
@click.option("--count", "only_count", is_flag=True, help="Print only how many files match.")
@click.option("--facets", metavar="FIELD,...", help="Print the most frequent values of fields, e.g. owner,ext.")
@as_json
@as_csv
@click.option("--null", "style", flag_value="null", help="Paths as they are, each with a NUL behind it (xargs -0).")
def search_command(
    query: str,
    *,
    settings: Settings,
    index_url: str | None,
    viewer: Viewer | None,
    limit: int,
    sort: str | None,
    cursor: str | None,
    only_count: bool,
    facets: str | None,
    style: str | None,
) -> None:
    """Find files by what is in them, e.g. 'columns:temperature AND size:>1k'."""
    with open_search(index_of(settings, index_url)) as index:
        if only_count:
            click.echo(index.count(query, visible_to=viewer))
        elif facets is not None:
            print_facets(index.facets(query, facets.split(","), visible_to=viewer), style)
        else:
            _print_hits(_Hits(index, query, limit, sort, cursor, viewer), style)


class _Hits:
    """Iterates over the hits of as many pages as the limit needs; then `cursor` is that of the next one."""

    def __init__(  # noqa: PLR0917 - one search
        self, index: Search, query: str, limit: int, sort: str | None, cursor: str | None, viewer: Viewer | None
    ) -> None:
        self._index, self._query, self._sort, self._viewer = index, query, sort, viewer
        self._left, self.cursor = limit, cursor

    def __iter__(self) -> Iterator[Hit]:
        while self._left > 0:
            page = self._index.page(
                self._query, limit=min(self._left, PORTION), sort=self._sort, cursor=self.cursor,
                visible_to=self._viewer,
            )  # fmt: skip
            self._left -= min(self._left, PORTION)
            self.cursor = page.cursor
            yield from page.hits
            if page.cursor is None:
                return


def _print_hits(hits: _Hits, style: str | None) -> None:
    if style == "csv":
        print_csv(_CSV_FIELDS, (row for hit in hits for row in _csv_rows(hit)))
    else:
        for hit in hits:
            click.echo(_STYLES[style](hit), nl=style != "null")
    if hits.cursor is not None:
        click.echo(f"there are more; go on with: --cursor {hits.cursor}", err=True)


_STYLES: dict[str | None, Callable[[Hit], str | bytes]] = {
    None: lambda hit: "\n".join("/" + printable(path) for path in hit.paths),
    "json": lambda hit: json.dumps(hit_json(hit)),
    "null": lambda hit: b"".join(b"/" + path + b"\0" for path in hit.paths),
}
_CSV_FIELDS = ("path", "fid", "type", "size", "mtime_ns", "uid", "gid", "mode", "mime")


def _csv_rows(hit: Hit) -> Iterator[list[Any]]:
    """Yield a row for each path."""
    mode = None if hit.mode is None else f"{hit.mode:o}"
    for path in hit.paths:
        yield ["/" + name_text(path), hit.fid, hit.type, hit.size, hit.mtime_ns, hit.uid, hit.gid, mode, hit.mime]
