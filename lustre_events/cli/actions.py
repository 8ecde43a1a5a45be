"""`lustre-events actions`: rules of actions and their endpoints, what they have to do, and holding them.

With `--server` a user is told of the user's own rules, and releases one that a guard holds.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import index_of, resolve, server_option, with_index, with_settings
from lustre_events.cli.run_asking import asked_of
from lustre_events.cli.runs import run_line, when
from lustre_events.config.nearest import nearest
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index.mount import Mount
from lustre_events.index.opening import open_search
from lustre_events.index.search.asking import pages
from lustre_events.index.search.hits import printable_line
from lustre_events.inspect.status.text import span_text
from lustre_events.node import wiring

LAST_RUNS = 10
PORTION = 200
"""Files of one request."""


@click.group("actions")
def actions_command() -> None:
    """Show, hold and release rules of actions and endpoints."""


@actions_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@server_option
@with_settings
def list_command(*, settings: Settings, as_json: bool, server: str | None) -> None:
    """List rules of actions and endpoints, and what waits.

    The list says why something is held. A server lists your own rules.
    """
    with asked_of(settings, server) as ask:
        found = ask("actions", {})
    if as_json:
        click.echo(json.dumps(found))
        return
    for rule in found["rules"]:
        click.echo(rule_line(rule))
    for each in found["endpoints"]:
        click.echo(_endpoint_line(each))


@actions_command.command("show")
@click.argument("name")
@with_settings
def show(name: str, *, settings: Settings) -> None:
    """Show a rule of an action, or an endpoint.

    With a rule, its endpoint and its last runs; with an endpoint, the rules that name it.
    """
    requests = wiring.requests(settings)
    found = requests.ask("actions", {})
    rules = [rule for rule in found["rules"] if name in {rule["rule"], rule["endpoint"]}]
    shown = {name, *(rule["endpoint"] for rule in rules)}
    lines = [rule_line(rule) for rule in rules]
    lines += [_endpoint_line(each) for each in found["endpoints"] if each["endpoint"] in shown]
    if not lines:
        raise _unknown(name, found)
    click.echo("\n".join(lines))
    for rule in rules:
        for run in requests.ask("runs", {"rule": rule["rule"], "limit": LAST_RUNS})["runs"]:
            click.echo(f"  {run_line(run)}")


@actions_command.command("hold")
@click.argument("name")
@click.option("--why", default="", help="The reason, which `status` shows.")
@click.option("--endpoint", is_flag=True, help="NAME is an endpoint, even if a rule has the same name.")
@with_settings
def hold(name: str, *, settings: Settings, why: str, endpoint: bool) -> None:
    """Hold a rule or an endpoint: its runs wait, and nothing is lost."""
    found = wiring.requests(settings).ask(
        "hold_action", {"name": name, "why": why, "kind": _kind(endpoint=endpoint)}
    )
    click.echo(f"{found['kind']} {name} is held; release it with: lustre-events actions release {name!r}")


@actions_command.command("release")
@click.argument("name")
@click.option("--endpoint", is_flag=True, help="NAME is an endpoint, even if a rule has the same name.")
@server_option
@with_settings
def release(name: str, *, settings: Settings, endpoint: bool, server: str | None) -> None:
    """Release a rule or an endpoint: its runs go on. A server releases your own rule, if a guard holds it."""
    with asked_of(settings, server) as ask:
        found = ask("release_action", {"name": name, "kind": _kind(endpoint=endpoint)})
    click.echo(f"{found['kind']} {name} {'is released' if found['released'] else 'was not held'}")


@actions_command.command("try")
@click.argument("rule")
@click.argument("targets", metavar="FID|PATH...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send and write nothing.")
@with_index
@with_settings
def try_command(
    rule: str, targets: tuple[str, ...], *, settings: Settings, index_url: str | None, dry_run: bool
) -> None:
    """Let a rule act on files again, whatever it did before."""
    with open_search(index_of(settings, index_url)) as search:
        mount = Mount.at(settings.filesystem.mount)
        fids = [resolve(search, os.fsencode(target), None, mount) for target in targets]
    _act(settings, rule, [fids], dry_run=dry_run)


@actions_command.command("backfill")
@click.argument("rule")
@click.argument("query")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send and write nothing.")
@click.option("--limit", type=click.IntRange(1), help="Most files.")
@with_index
@with_settings
def backfill(
    rule: str, query: str, *, settings: Settings, index_url: str | None, dry_run: bool, limit: int | None
) -> None:
    """Let a rule act on all files that QUERY finds.

    The rule's conditions, limits and rates apply as always.
    """
    with open_search(index_of(settings, index_url)) as search:
        asked = Mount.at(settings.filesystem.mount).query(query)
        found = pages(search, asked, limit=limit, portion=PORTION, excerpts=False)
        _act(settings, rule, ([hit.fid for hit in page.hits] for page in found), dry_run=dry_run)


def _act(settings: Settings, rule: str, portions: Iterable[Sequence[FID]], *, dry_run: bool) -> None:
    requests, once, count = wiring.requests(settings), uuid.uuid4().hex, 0
    for fids in portions:
        asked = {"rule": rule, "fids": [str(fid) for fid in fids], "once": once}
        if dry_run:
            for line in rehearsal_lines(requests.ask("rehearse_action", asked)):
                click.echo(line)
        else:
            count += int(requests.ask("backfill", asked)["runs"])
    if not dry_run:
        click.echo(f"{count} run{'s' * (count != 1)} started; see: lustre-events runs list --rule {rule!r}")


def rehearsal_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what would be sent for each file; a former dispatcher tells no paths."""
    for each in found["files"]:
        where = f"{found['action']} to {found['endpoint']}, {found['where']}"
        said = f"nothing is sent: {each['why']}" if each["why"] else where
        yield f"{printable_line(each.get('path', '')) or each['fid']}: {said}"
        if each["body"]:
            yield f"  {each['body']}"


def _kind(*, endpoint: bool) -> str:
    return "endpoint" if endpoint else ""


def _unknown(name: str, found: dict[str, Any]) -> ConfigError:
    known = [each["rule"] for each in found["rules"]] + [each["endpoint"] for each in found["endpoints"]]
    near = nearest(name, known or ["none"])
    return ConfigError(f"no rule of an action and no endpoint is named {name!r}{near}")


def _endpoint_line(each: dict[str, Any]) -> str:
    said = f" - HELD: {each['held']}" if each["held"] else ""
    probed = " - failing, tried once a minute" if each["probed"] and not said else ""
    return f"endpoint {each['endpoint']}: {each['kind']}, {each['where']}{probed}{said}"


def rule_line(rule: dict[str, Any]) -> str:
    """Return a rule on one line: what it does, how it does, and why it is held."""
    runs = ", ".join(f"{count} {state}" for state, count in rule["runs"].items() if count)
    said = f" - HELD: {rule['held']}" if rule["held"] else ""
    what = f"on {', '.join(rule['on'])}: {rule['action']} to {rule['endpoint']}"
    return f"rule {rule['rule']!r} {what}: {runs or 'nothing to do'}{_pace(rule)}{said}"


def _pace(rule: dict[str, Any]) -> str:
    """Return how a rule does: what a former server does not tell is left out."""
    took, error = rule.get("p99_seconds"), printable_line(rule.get("last_error", ""))
    done = "" if took is None else f"; {rule['per_minute']} done in the last minute, 99 % within {span_text(took)}"
    return f"{done}; last error {when(rule['last_error_ns'])}: {error}" if error else done
