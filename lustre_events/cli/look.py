"""Commands that only look: decode, show."""

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

from lustre_events.changelog.fid import FID
from lustre_events.changelog.text import decode_file
from lustre_events.cli.main import index_of, with_index, with_settings
from lustre_events.cli.search import with_viewer
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index import Search, open_search
from lustre_events.index.search.hits import printable, view_json, view_text
from lustre_events.index.visibility import Viewer

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


@click.command("show")
@click.argument("targets", nargs=-1, required=True, metavar="FID|PATH ...")
@with_settings
@with_index
@with_viewer
@click.option("--json", "as_json", is_flag=True, help="One JSON object per target.")
def show_command(
    targets: tuple[str, ...], *, settings: Settings, index_url: str | None, viewer: Viewer | None, as_json: bool
) -> None:
    """Show what the index knows of objects: names, facts, documents, failures. `-` reads a list from stdin."""
    with open_search(index_of(settings, index_url)) as search:
        words = _targets(targets)
        while chunk := list(islice(words, SHOW_AT_ONCE)):
            fids = [resolve(search, word, viewer) for word in chunk]
            for view in search.show_many(fids, visible_to=viewer):
                click.echo(json.dumps(view_json(view)) if as_json else view_text(view))


def resolve(search: Search, target: bytes, viewer: Viewer | None) -> FID:
    """Return the object that a FID or a path names. Raises ConfigError: the index knows no such path."""
    if target.lstrip(b"[").startswith(b"0"):
        with contextlib.suppress(ConfigError, UnicodeDecodeError):
            return FID.parse(target.decode("ascii"))
    fid = search.fid_of_path(target.strip(b"/"), visible_to=viewer)
    if fid is None:
        raise ConfigError(f"/{printable(target.strip(b'/'))}: no such path in the index")
    return fid


def _targets(words: tuple[str, ...]) -> Iterator[bytes]:
    for word in words:
        if word == "-":
            yield from (line.rstrip(b"\n") for line in sys.stdin.buffer if line.strip())
        else:
            yield word.encode("utf-8", "surrogateescape")
