"""`lustre-events status`: how far everything is, once or all the time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.inspect import status
from lustre_events.inspect.status import Status
from lustre_events.node import status_report

WATCH_SECONDS = 2.0
BUSY_SHARE = 5
"""Looking takes no more than this part of the time, however large the index is."""


@click.command("status")
@with_settings
@with_index
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option("--watch", is_flag=True, help="Look again every 2 seconds, until Ctrl-C.")
def status_command(*, settings: Settings, index_url: str | None, as_json: bool, watch: bool) -> None:
    """Show how far each MDT is, what waits, and what went wrong."""
    url = index_of(settings, index_url)
    if watch:
        stopped = threading.Event()
        stop_on_signals(stopped.set)
        look = partial(
            status_report.status, settings, url, index_may_be_away=True, counting=status_report.Counting()
        )
        _watch(look, Console(), stopped, as_json=as_json)
        return
    _say(status_report.status(settings, url), as_json=as_json)


def _say(found: Status, *, as_json: bool) -> None:
    click.echo(json.dumps(found.json()) if as_json else "\n".join(status.lines(found)))


def _watch(look: Callable[[], Status], console: Console, stopped: threading.Event, *, as_json: bool) -> None:
    """Show one status after the other, with rates by the two last ones; as JSON, one line each."""
    before: status.Earlier | None = None
    with Live(console=console, auto_refresh=False, screen=console.is_terminal and not as_json) as live:
        while not stopped.is_set():
            began = time.monotonic()
            found = look()
            shown = status.with_rates(found, before) if before is not None else found
            if found.index is not None:
                before = status.Earlier(found.time_ns, found.index.counters)
            if as_json or not console.is_terminal:
                _say(shown, as_json=as_json)
            else:
                live.update(Text("\n".join([status.time_text(found.time_ns), *status.lines(shown)])), refresh=True)
            stopped.wait(max(WATCH_SECONDS, BUSY_SHARE * (time.monotonic() - began)))
