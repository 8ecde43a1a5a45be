"""`lustre-events show`: everything that the index knows of objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice

import click

from lustre_events.cli.options import SearchSource, resolve, with_search, with_viewer
from lustre_events.index.search.hits import view_json, view_text
from lustre_events.index.visibility import Viewer

SHOW_AT_ONCE = 500
"""Objects of a long list that are looked up together."""


@click.command("show")
@click.argument("targets", nargs=-1, required=True, metavar="FID|PATH ...")
@with_search
@with_viewer
@click.option("--json", "as_json", is_flag=True, help="One JSON object per target.")
def show_command(targets: tuple[str, ...], *, source: SearchSource, viewer: Viewer | None, as_json: bool) -> None:
    """Show what the index knows of files and directories.

    These are names, facts, documents and failures. `-` reads a list of FIDs or paths from stdin.
    """
    with source.opened() as search:
        words, mount = _targets(targets), source.mount(search)
        while chunk := list(islice(words, SHOW_AT_ONCE)):
            fids = [resolve(search, word, viewer, mount) for word in chunk]
            for view in search.show_many(fids, visible_to=viewer):
                placed = mount.placed(view)
                click.echo(json.dumps(view_json(placed)) if as_json else view_text(placed))


def _targets(words: tuple[str, ...]) -> Iterator[bytes]:
    for word in words:
        if word == "-":
            yield from (line.rstrip(b"\n") for line in sys.stdin.buffer if line.strip())
        else:
            yield word.encode("utf-8", "surrogateescape")
