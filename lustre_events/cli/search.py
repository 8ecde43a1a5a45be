"""Commands that ask the index: search, du; what they find as text, JSON, CSV, or NUL-separated paths."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any, TypeVar

import click

from lustre_events.cli.main import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index import Search, open_search
from lustre_events.index.search.hits import Facet, Hit, hit_json, name_text, printable
from lustre_events.index.visibility import Viewer

F = TypeVar("F", bound=Callable[..., Any])

PORTION = 1_000
"""Hits that are looked up together."""


def _viewer(_ctx: click.Context, _option: click.Parameter, name: str | None) -> Viewer | None:
    """Return who is to see: others only for root, who could read everything anyway."""
    if name is None:
        return None
    viewer = Viewer.of_user(name)
    if os.geteuid() not in {0, viewer.uid}:
        raise ConfigError("only root may search with the eyes of somebody else; leave --as out, or name yourself")
    return viewer


def with_viewer(command: F) -> F:
    """Give a command `--as USER`."""
    return click.option(
        "--as",
        "viewer",
        metavar="USER",
        callback=_viewer,
        help="Only what this user could list and read in the file system itself.",
    )(command)


_json = click.option("--json", "style", flag_value="json", help="JSON, one object per line.")
_csv = click.option("--csv", "style", flag_value="csv", help="CSV with a header.")


@click.command("search")
@click.argument("query")
@with_settings
@with_index
@with_viewer
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Most hits to print.")
@click.option("--sort", help="Order by size, mtime, ctime or atime; with - before it, the largest first.")
@click.option("--cursor", help="Go on behind the last page, with what that one printed to stderr.")
@click.option("--count", "only_count", is_flag=True, help="Print only how many files match.")
@click.option("--facets", metavar="FIELD,...", help="Print the most frequent values of fields, e.g. owner,ext.")
@_json
@_csv
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
            _print_facets(index.facets(query, facets.split(","), visible_to=viewer), style)
        else:
            _print_hits(_Hits(index, query, limit, sort, cursor, viewer), style)


@click.command("du")
@click.argument("path")
@with_settings
@with_index
@with_viewer
@click.option(
    "--by", default="owner", show_default=True, help="owner, group, ext, extractor, type, mime, or a key."
)
@_json
@_csv
def du_command(
    path: str,
    *,
    settings: Settings,
    index_url: str | None,
    viewer: Viewer | None,
    by: str,
    style: str | None,
) -> None:
    """Sum files and bytes of PATH and all below it; a file with several names counts once."""
    with open_search(index_of(settings, index_url)) as index:
        found = index.du(path.encode("utf-8", "surrogateescape"), by, visible_to=viewer)
        _print_facets({by: found}, style)


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
        _print_csv(_CSV_FIELDS, (row for hit in hits for row in _csv_rows(hit)))
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


def _print_facets(facets: dict[str, tuple[Facet, ...]], style: str | None) -> None:
    if style == "json":
        click.echo(json.dumps({field: [asdict(each) for each in found] for field, found in facets.items()}))
        return
    rows = [(field, each.value, each.files, each.bytes) for field, found in facets.items() for each in found]
    if style == "csv":
        _print_csv(("field", "value", "files", "bytes"), rows)
        return
    for field, value, files, size in rows:
        shown = "-" if value is None else printable(str(value).encode("utf-8", "surrogateescape"))
        click.echo(f"{field:12} {shown:32} {files:12,} files {size:20,} bytes")


def _print_csv(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    for row in itertools.chain([header], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        click.echo(line.getvalue().encode("utf-8", "surrogateescape"), nl=False)
