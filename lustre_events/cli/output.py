"""How hits and sums are printed, and the options that choose it."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click

from lustre_events.errors import LustreEventsError, QueryError
from lustre_events.index.search.asking import Asking
from lustre_events.index.search.hints.hint import Hint, counted
from lustre_events.index.search.hits import Facet, printable
from lustre_events.index.visibility import Viewer
from lustre_events.inspect.export import cell

as_json = click.option("--json", "style", flag_value="json", help="JSON, one object per line.")
as_csv = click.option("--csv", "style", flag_value="csv", help="CSV with a header.")


def print_facets(facets: dict[str, tuple[Facet, ...]], style: str | None) -> None:
    """Print the values of fields with their files and bytes; `style` is json, csv, or None for a person."""
    if style == "json":
        click.echo(json.dumps({field: [asdict(each) for each in found] for field, found in facets.items()}))
        return
    rows = [(field, each.value, each.files, each.bytes) for field, found in facets.items() for each in found]
    if style == "csv":
        print_csv(("field", "value", "files", "bytes"), rows)
        return
    for field, value, files, size in rows:
        shown = "-" if value is None else printable(str(value).encode("utf-8", "surrogateescape"))
        click.echo(f"{field:12} {shown:32} {files:12,} files {size:20,} bytes")


def print_hints(hints: Iterable[Hint]) -> None:
    """Tell a person on stderr why nothing was found, each with the query that finds something."""
    for hint in hints:
        click.echo(f"lustre-events: {hint.text}", err=True)
        if hint.query is not None:
            query = printable(hint.query.encode("utf-8", "surrogateescape"))
            click.echo(f"  {counted(hint.files)}: {query}", err=True)


@contextlib.contextmanager
def print_hints_of_mistake(index: Asking, query: str, viewer: Viewer | None) -> Iterator[None]:
    """Where a query is wrong for a name that is not known, tell a person which there are; the error follows."""
    try:
        yield
    except QueryError:
        with contextlib.suppress(LustreEventsError):
            print_hints(index.hints(query, visible_to=viewer))
        raise


def print_csv(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print rows below a header as CSV; names that are no UTF-8 keep their bytes."""
    for row in itertools.chain([header], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(map(cell, row))
        click.echo(line.getvalue().encode("utf-8", "surrogateescape"), nl=False)
