"""Commands that only look: decode, search, show, status."""

from __future__ import annotations

import contextlib
import gzip
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import click

from lustre_events import services, status
from lustre_events.cli.main import index_of, with_index, with_settings
from lustre_events.config import Settings
from lustre_events.errors import ConfigError
from lustre_events.fid import FID
from lustre_events.index import SqliteSearch, open_search
from lustre_events.index.hits import hit_json, printable, view_json, view_text
from lustre_events.record_text import decode_file

SHOW_AT_ONCE = 500
"""Objects of a long list that are looked up together."""


@click.command("decode")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
def decode_command(path: Path, *, as_json: bool) -> None:
    """Print raw changelog records as `lfs changelog` does. PATH may be gzipped; - is standard input."""
    out = sys.stdout.buffer
    with _opened(path) as stream:
        try:
            decode_file(stream, out.write, as_json=as_json)
        finally:
            out.flush()


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        return sys.stdin.buffer
    opener = gzip.open if path.suffix == ".gz" else open
    return cast("BinaryIO", opener(path, "rb"))


@click.command("search")
@click.argument("query")
@with_settings
@with_index
@click.option("--limit", default=100, show_default=True, help="Most hits to print.")
@click.option("--sort", help="Order by a field, e.g. mtime or -size.")
@click.option("--count", "only_count", is_flag=True, help="Print only how many files match.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per hit, with its documents.")
def search_command(
    query: str,
    *,
    settings: Settings,
    index_url: str | None,
    limit: int,
    sort: str | None,
    only_count: bool,
    as_json: bool,
) -> None:
    """Find files by what is in them, e.g. 'columns:temperature AND size:>1k'."""
    with open_search(index_of(settings, index_url)) as search:
        if only_count:
            click.echo(search.count(query))
            return
        for hit in search.search(query, limit=limit, sort=sort):
            if as_json:
                click.echo(json.dumps(hit_json(hit)))
            else:
                click.echo("\n".join("/" + printable(path) for path in hit.paths))


@click.command("show")
@click.argument("targets", nargs=-1, required=True, metavar="FID|PATH ...")
@with_settings
@with_index
@click.option("--json", "as_json", is_flag=True, help="One JSON object per target.")
def show_command(targets: tuple[str, ...], *, settings: Settings, index_url: str | None, as_json: bool) -> None:
    """Show what the index knows of objects: names, facts, documents, failures. `-` reads a list from stdin."""
    with open_search(index_of(settings, index_url)) as search:
        words = _targets(targets)
        while chunk := list(islice(words, SHOW_AT_ONCE)):
            for view in search.show_many([_resolve(search, word) for word in chunk]):
                click.echo(json.dumps(view_json(view)) if as_json else view_text(view))


def _resolve(search: SqliteSearch, target: bytes) -> FID:
    if target.lstrip(b"[").startswith(b"0"):
        with contextlib.suppress(ConfigError, UnicodeDecodeError):
            return FID.parse(target.decode("ascii"))
    fid = search.fid_of_path(target.strip(b"/"))
    if fid is None:
        raise ConfigError(f"/{printable(target.strip(b'/'))}: no such path in the index")
    return fid


def _targets(words: tuple[str, ...]) -> Iterator[bytes]:
    for word in words:
        if word == "-":
            yield from (line.rstrip(b"\n") for line in sys.stdin.buffer if line.strip())
        else:
            yield word.encode("utf-8", "surrogateescape")


@click.command("status")
@with_settings
@with_index
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def status_command(*, settings: Settings, index_url: str | None, as_json: bool) -> None:
    """Show how far each MDT is, what waits, and what went wrong."""
    found = services.status(settings, index_of(settings, index_url))
    click.echo(json.dumps(found) if as_json else "\n".join(status.lines(found)))
