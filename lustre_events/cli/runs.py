"""`lustre-events runs`: look at the runs of actions, have them tried again, drop or cancel them."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.domain.action_run import STATES
from lustre_events.errors import ConfigError
from lustre_events.index.search.hits import printable
from lustre_events.node import wiring


@click.group("runs")
def runs_command() -> None:
    """Look at the runs of actions, have them tried again, drop or cancel them."""


@runs_command.command("list")
@click.option("--rule", default="", help="Runs of this rule.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Runs in this state; repeatable.")
@click.option("--fid", default="", help="Runs for this object.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500), help="Most runs to print.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run.")
@with_settings
def list_command(
    *, settings: Settings, rule: str, states: tuple[str, ...], fid: str, limit: int, as_json: bool
) -> None:
    """List runs, the newest first."""
    asked = {"rule": rule, "states": list(states), "fid": str(FID.parse(fid)) if fid else "", "limit": limit}
    for run in wiring.requests(settings).ask("runs", asked)["runs"]:
        click.echo(json.dumps(run) if as_json else _line(run))


@runs_command.command("show")
@click.argument("key")
@with_settings
def show(key: str, *, settings: Settings) -> None:
    """Show all that is known of runs whose key begins with KEY, as JSON."""
    found = wiring.requests(settings).ask("runs", {"key": _key(key)})["runs"]
    if not found:
        raise ConfigError(f"no run has the key {key!r}; see: lustre-events runs list")
    for run in found:
        click.echo(json.dumps(run, indent=2))


def _changing(name: str, action: str, doc: str, done: str) -> None:
    @click.argument("key", default="")
    @click.option("--rule", default="", help="All of this rule.")
    @with_settings
    def command(key: str, *, settings: Settings, rule: str) -> None:
        if not (key or rule):
            raise ConfigError("no run is named; give a KEY, or --rule")
        requests, count = wiring.requests(settings), 0
        while found := int(requests.ask(action, {"key": _key(key), "rule": rule})["runs"]):
            count += found
            if key:
                break
        click.echo(f"{count} run{'s' * (count != 1)} {done}")

    command.__doc__ = doc
    runs_command.command(name)(command)


_changing("retry", "retry_runs", "Try dead and held runs again, with all their tries.", "will be tried again")
_changing("drop", "drop_runs", "Drop dead and held runs for good.", "dropped")
_changing("cancel", "cancel_runs", "Cancel runs that have not been sent.", "cancelled")


def _key(text: str) -> str:
    if text and (not text.isascii() or not text.isalnum()):
        raise ConfigError(f"{text!r} is not a run's key; see: lustre-events runs list")
    return text.lower()


def _line(run: dict[str, Any]) -> str:
    path = printable(run["paths"][0].encode()) if run["paths"] else run["fid"]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["event_ns"] // 10**9))
    said = f": {printable(run['error'].encode())}" if run["error"] else ""
    tries = f", {run['attempts']} tries" if run["attempts"] > 1 else ""
    return f"{run['key'][:12] or '-':12} {when} {run['state']}{tries} {run['rule']!r} {run['trigger']} {path}{said}"
