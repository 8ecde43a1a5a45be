"""`lustre-events failed`: look at failed files, have them tried again, or forget them."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import click

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import SearchSource, with_search
from lustre_events.errors import ConfigError
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.search import failures
from lustre_events.index.search.failures import Choice, FailedFile
from lustre_events.index.search.hits import view_json, view_text
from lustre_events.jobs.requests import MOST_FILES
from lustre_events.node import wiring

F = TypeVar("F", bound=Callable[..., Any])


def choosing(command: F) -> F:
    """Give a command the filters, and pass it a `choice`; no filter: all."""

    @functools.wraps(command)  # with the options that it has already
    def made(*args: Any, since: str | None, **fields: Any) -> Any:
        own = {name: fields.pop(name) or default for name, default in _FILTERS.items()}
        since_ns = time.time_ns() - failures.age_seconds(since) * 10**9 if since else 0
        return command(*args, choice=Choice(**own, since_ns=since_ns), **fields)

    found: Any = made
    for option in (
        click.option("--since", metavar="SPAN", help="Failed within the last 90s, 30m, 12h, 7d or 2w."),
        click.option("--owner", metavar="USER", help="The files of this user (name or uid)."),
        click.option("--error", metavar="TEXT", help="The error has this text in it."),
        click.option("--path", metavar="GLOB", help="The path matches, e.g. /proj/**."),
        click.option("--extractor", metavar="GLOB", help="Failures of this extractor."),
    ):
        found = option(found)
    return found  # type: ignore[no-any-return]


_FILTERS = {"extractor": "*", "path": "", "error": "", "owner": ""}


@click.group("failed")
def failed_command() -> None:
    """List failed files, show why, retry or drop them."""


@failed_command.command("list")
@choosing
@click.option("--limit", default=100, show_default=True, help="Most failures to print.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per failure.")
@with_search
def list_(*, choice: Choice, limit: int, as_json: bool, source: SearchSource) -> None:
    """List files whose last attempt failed after all its tries, and why."""
    with source.opened() as search:
        mount = source.mount(search)
        for found in islice(failures.find(search, choice), limit):
            each = replace(found, view=mount.placed(found.view))
            click.echo(json.dumps(each.json()) if as_json else each.line())


@failed_command.command("show")
@click.argument("fids", metavar="FID...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")
@with_search
def show(fids: tuple[str, ...], *, as_json: bool, source: SearchSource) -> None:
    """Show failed files, with the last lines of stderr."""
    with source.opened() as search:
        for view in search.show_many([FID.parse(text) for text in fids]):
            if not view.failures:
                raise ConfigError(f"{view.fid}: nothing has failed for it")
            placed = source.mount(search).placed(view)
            click.echo(json.dumps(view_json(placed)) if as_json else view_text(placed))


@failed_command.command("retry")
@choosing
@with_search
def retry(*, choice: Choice, source: SearchSource) -> None:
    """Retry failed files now, with their attempts reset."""
    click.echo(f"files that are tried again: {_ask('retry', 'rows', choice, source)}")


@failed_command.command("drop")
@choosing
@with_search
def drop(*, choice: Choice, source: SearchSource) -> None:
    """Forget failures; good documents of the files stay."""
    click.echo(f"failures that are forgotten: {_ask('drop', 'dropped', choice, source)}")


def _ask(action: str, counted: str, choice: Choice, source: SearchSource) -> int:
    with source.opened() as search:
        if isinstance(search, RemoteSearch):
            chosen = list(failures.find(search, choice))
            return sum(search.ask(action, works) for works in _portions(iter(chosen)))
        requests = wiring.requests(source.settings)
        chosen = list(failures.find(search, choice))
    return sum(
        requests.ask(action, {"works": [[str(fid), name] for fid, name in works]})[counted]
        for works in _portions(iter(chosen))
    )


def _portions(chosen: Iterator[FailedFile]) -> Iterator[list[tuple[FID, str]]]:
    while portion := [(each.fid, each.failure.extractor) for each in islice(chosen, MOST_FILES)]:
        yield portion
