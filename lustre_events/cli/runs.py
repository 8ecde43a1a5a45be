"""`lustre-events runs`: look at the runs of actions, have them tried again, drop or cancel them.

With `--server` a user does that with runs of rules of the user's own.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import click

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import server_option, with_settings
from lustre_events.cli.run_asking import PATHS, Runs, by_dispatcher, by_server, opened_server
from lustre_events.config.settings import Settings
from lustre_events.domain.action_run import STATES
from lustre_events.errors import ConfigError
from lustre_events.index.search.hits import printable_line
from lustre_events.node import wiring

FOLLOW_SECONDS = 1.0


@contextlib.contextmanager
def runs_of(settings: Settings, server: str | None, *, ask_server: bool = True) -> Iterator[Runs]:
    """Give what knows runs: a server where one is named, else the dispatcher."""
    if not ask_server:
        yield by_dispatcher(wiring.requests(settings))
        return
    with opened_server(settings, server) as remote:
        yield by_dispatcher(wiring.requests(settings)) if remote is None else by_server(remote)


@click.group("runs")
def runs_command() -> None:
    """Show, retry, release, drop and cancel runs of actions."""


@runs_command.command("list")
@click.option("--rule", default="", help="Runs of this rule.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Runs in this state; repeatable.")
@click.option("--fid", default="", help="Runs for this object.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500), help="Most runs to print.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run.")
@server_option
@with_settings
def list_command(
    *,
    settings: Settings,
    rule: str,
    states: tuple[str, ...],
    fid: str,
    limit: int,
    as_json: bool,
    server: str | None,
) -> None:
    """List runs, the newest first. A server lists those that you may see."""
    asked = {"rule": rule, "states": list(states), "fid": str(FID.parse(fid)) if fid else "", "limit": limit}
    with runs_of(settings, server) as runs:
        for run in runs.find(asked):
            click.echo(json.dumps(run) if as_json else run_line(run))


@runs_command.command("show")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="All that is known of these runs, as JSON.")
@with_settings
def show(key: str, *, settings: Settings, as_json: bool) -> None:
    """Show the runs whose key begins with KEY.

    It says what caused each, how it went, and what followed for the same file.
    """
    requests = wiring.requests(settings)
    found = requests.ask("runs", {"key": _key(key)})["runs"]
    if not found:
        raise ConfigError(f"no run has the key {key!r}; see: lustre-events runs list")
    for run in found:
        if as_json:
            click.echo(json.dumps(run, indent=2))
            continue
        others = requests.ask("runs", {"fid": run["fid"]})["runs"]
        for line in _chain(run, [each for each in others if each["key"] != run["key"]]):
            click.echo(line)


@runs_command.command("follow")
@click.option("--rule", default="", help="Runs of this rule.")
@with_settings
def follow(*, settings: Settings, rule: str) -> None:
    """Print runs as they begin and change, until stopped."""
    requests, seen = wiring.requests(settings), dict[str, str]()
    while True:
        found = requests.ask("runs", {"rule": rule})["runs"]
        for run in reversed(found):
            if seen.get(_named(run)) != run["state"]:
                click.echo(run_line(run))
        seen = {_named(run): run["state"] for run in found}
        time.sleep(FOLLOW_SECONDS)


def _named(run: dict[str, Any]) -> str:
    return f"{run['key'] or run['fid']} {run['rule']} {run['trigger']}"


def _chain(run: dict[str, Any], others: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the record, the rule, the run with its job, and the other runs of the same object, in their order."""
    path = printable_line(run["paths"][0]) if run["paths"] else run["fid"]
    yield f"{path} {run['fid']}"
    yield from (f"  before: {run_line(each)}" for each in reversed(others) if each["event_ns"] < run["event_ns"])
    yield f"  {when(run['event_ns'])} {_cause(run)}"
    yield f"  {when(run['made_ns'])} rule {run['rule']!r} could hold"
    if run["ready_ns"]:
        to = f"{run['action']} to {run['endpoint']}"
        yield f"  {when(run['ready_ns'])} it held: {run['bytes']} bytes for {to}, key {run['key']}"
    if run["failed_ns"]:
        yield f"  {when(run['failed_ns'])} the first of {run['attempts']} attempts failed"
    yield from _job(run)
    said = f": {printable_line(run['error'])}" if run["error"] else ""
    yield f"  {when(run['ended_ns'] or run['due_ns'])} {'' if run['ended_ns'] else 'due, '}{run['state']}{said}"
    yield from (f"  made: {printable_line(path)}" for path in _outputs(run))
    yield from (f"  after: {run_line(each)}" for each in reversed(others) if each["event_ns"] >= run["event_ns"])


def _cause(run: dict[str, Any]) -> str:
    if run.get("parent"):
        return f"run {run['parent'][:12]} had succeeded, whose chain began with {run['because']}"
    record = run["record"]
    cause = (
        "no record" if record is None else f"record {record['index']} of {record['mdt']} (epoch {record['epoch']})"
    )
    job = f", by job {printable_line(run['jobid'])}" if run["jobid"] else ""
    more = f", and {run['merged']} more of it until the file had rested" if run["merged"] else ""
    return f"{cause}{job}: {run['trigger']}{more}"


def _job(run: dict[str, Any]) -> Iterator[str]:
    """Yield which job of Slurm does or did a run; while it goes on, since when Slurm says what it says of it."""
    job = run.get("job")
    if not job:
        return
    if job["since_ns"] and not run["ended_ns"]:
        yield f"  {when(job['since_ns'])} since then Slurm says {job['says']} of job {job['id']}"
    else:
        yield f"  job {job['id']} of Slurm; sacct -j {job['id']} tells more"


def _outputs(run: dict[str, Any]) -> list[str]:
    """Return the paths of what a container made in this run, where it was one and they are known."""
    return list(run.get("outputs") or ()) if run["endpoint"].startswith("container:") and run["ended_ns"] else []


def when(time_ns: int) -> str:
    """Return a time, as people here write it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns // 10**9))


def _changing(name: str, action: str, doc: str, done: str) -> None:
    @click.argument("key", default="")
    @click.option("--rule", default="", help="All of this rule.")
    @with_settings
    def command(key: str, *, settings: Settings, rule: str, server: str | None = None) -> None:
        if not (key or rule):
            raise ConfigError("no run is named; give a KEY, or --rule")
        count = 0
        with runs_of(settings, server, ask_server=action in PATHS) as runs:
            while found := runs.change(action, _key(key), rule):
                count += found
                if key:
                    break
        click.echo(f"{count} run{'s' * (count != 1)} {done}")

    command.__doc__ = doc
    runs_command.command(name)(server_option(command) if action in PATHS else command)


_changing("retry", "retry_runs", "Try dead and held runs again, with all their attempts.", "will be tried again")
_changing("release", "release_runs", "Let held runs go on.", "released")
_changing("drop", "drop_runs", "Drop dead and held runs for good.", "dropped")
_changing("cancel", "cancel_runs", "Cancel runs that have not been sent.", "cancelled")


def _key(text: str) -> str:
    if text and (not text.isascii() or not text.isalnum()):
        raise ConfigError(f"{text!r} is not a run's key; see: lustre-events runs list")
    return text.lower()


def run_line(run: dict[str, Any]) -> str:
    """Return a run on one line."""
    path = printable_line(run["paths"][0]) if run["paths"] else run["fid"]
    said = f": {printable_line(run['error'])}" if run["error"] else ""
    tries = f", {run['attempts']} tries" if run["attempts"] > 1 else ""
    began = f"{run['key'][:12] or '-':12} {when(run['event_ns'])} {run['state']}{tries}"
    return f"{began} {run['rule']!r} {run['trigger']} {path}{said}"
