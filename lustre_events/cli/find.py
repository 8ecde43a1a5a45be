"""`lustre-events find`: the options of `find` and `lfs find`, answered by the index."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import click

from lustre_events.cli.options import SearchSource, with_search, with_viewer
from lustre_events.cli.output import print_hints
from lustre_events.cli.search import NOTHING_FOUND
from lustre_events.errors import ConfigError
from lustre_events.index.mount import Mount
from lustre_events.index.query import find_options
from lustre_events.index.search.asking import Asking, pages
from lustre_events.index.search.hits import Hit, hit_json, printable
from lustre_events.index.visibility import Viewer


@click.command("find", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PATH]... [TEST]...")
@with_search
@with_viewer
@click.option("--explain", is_flag=True, help="Print the query, and ask nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="Most files to print. Default: all.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one object per line.")
def find_command(
    arguments: tuple[str, ...],
    *,
    source: SearchSource,
    viewer: Viewer | None,
    explain: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Find files as `find` and `lfs find` do, from the index.

    For example: find /proj -name '*.h5' -size +1G -mtime -7. It does not walk the tree.

    Tests: -name, -iname, -type, -size, -user, -uid, -group, -gid, -links, -fid, -mtime, -atime, -ctime, -mmin,
    -amin, -cmin, -newermt, -newerat, -newerct, -empty, -projid, -pool, -mdt-index, -stripe-count,
    -mirror-count, -maxdepth; with !, -a, -o and brackets; one dash or two.
    -print0 ends paths with NUL. A size without a letter is bytes, as of `lfs find`. The exit code is 1 where
    nothing is found.
    """
    asked = find_options.read(arguments)
    with source.opened() as index:
        mount = source.mount(index)
        starts = [_start(source.typed(index, os.fsencode(start)), start) for start in asked.starts]
        query = _query(asked, starts)
        if explain:
            click.echo(printable(query.encode("utf-8", "surrogateescape")))
            return
        some = False
        for hit in _hits(index, query, limit, viewer):
            some = True
            _print(hit, mount, starts, null=asked.null, as_json=as_json)
        if not some:
            print_hints(index.hints(query, visible_to=viewer))
    sys.exit(0 if some else NOTHING_FOUND)


def _start(path: bytes, typed: str) -> bytes:
    """Return where to begin. Raises ConfigError: that is relative to a directory that is not of the file system."""
    if path.split(b"/")[0] in {b".", b".."}:
        raise ConfigError(
            f"{printable(os.fsencode(typed))}: the current directory is not in the file system that is indexed; "
            "go there, or name a path"
        )
    return path


def _query(asked: find_options.FindQuery, starts: list[bytes]) -> str:
    """Return the query for all starting points."""
    places = [find_options.below(start, asked.depths) for start in starts]
    where = "" if not all(places) else places[0] if len(places) == 1 else f"({' OR '.join(places)})"
    return " AND ".join(filter(None, (where, asked.tests))) or "*"


def _hits(index: Asking, query: str, limit: int | None, viewer: Viewer | None) -> Iterator[Hit]:
    for page in pages(index, query, limit=limit, visible_to=viewer, excerpts=False):
        yield from page.hits


def _print(hit: Hit, mount: Mount, starts: list[bytes], *, null: bool, as_json: bool) -> None:
    placed = mount.placed(hit)
    if as_json:
        click.echo(json.dumps(hit_json(placed)))
        return
    for inside, path in zip(hit.paths, placed.paths, strict=True):
        # Another name of the file may lie elsewhere.
        if any(_is_below(inside.strip(b"/"), start) for start in starts):
            click.echo(path + b"\0" if null else printable(path), nl=not null)


def _is_below(path: bytes, start: bytes) -> bool:
    return not start or path == start or path.startswith(start + b"/")
