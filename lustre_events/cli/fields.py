"""`lustre-events fields`: what one can ask for."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from lustre_events.cli.options import SearchSource, with_search, with_viewer
from lustre_events.cli.output import as_csv, as_json, print_csv
from lustre_events.index.search.hints.hint import shown
from lustre_events.index.search.key_list import KeyInfo
from lustre_events.index.visibility import Viewer

NOTHING_FOUND = 1
MOST_EXTRACTORS = 3
"""That are named beside a key; common keys have all of them."""


@click.command("fields")
@click.argument("prefix", default="")
@with_search
@with_viewer
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000), help="Most keys to print.")
@as_json
@as_csv
def fields_command(
    prefix: str, *, source: SearchSource, viewer: Viewer | None, limit: int, style: str | None
) -> None:  # fmt: skip
    """List the fields and keys that a query can have.

    With PREFIX, those with a part that begins with it. Each has its type, unit, extractors and examples. `2+ files`
    means at least 2: the command counts for a short time only.
    """
    with source.opened() as index:
        found = index.fields(prefix, limit=limit, visible_to=viewer)
    if style == "csv":
        names = tuple(KeyInfo.__slots__)
        print_csv(names, ([_cell(asdict(each)[name]) for name in names] for each in found))
    for each in found:
        if style == "json":
            click.echo(json.dumps(asdict(each)))
        elif style is None:
            click.echo(_line(each))
    if not found:
        click.echo(
            f"lustre-events: no field or key begins with {shown(prefix)}; see: lustre-events fields", err=True
        )
        sys.exit(NOTHING_FOUND)


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _line(info: KeyInfo) -> str:
    count = f"{info.files}+ files" if info.files else ""
    kind = info.type + (f" in {shown(info.unit)}" if info.unit else "")
    examples = ", ".join(map(shown, info.examples))
    told = "; ".join(filter(None, (info.help, f"e.g. {examples}" if examples else "")))
    few = len(info.extractors) <= MOST_EXTRACTORS
    by = ",".join(info.extractors) if few else f"{len(info.extractors)} extractors"
    return f"{shown(info.name):32} {kind:16} {by:20} {count:>11}  {told}".rstrip()
