"""`lustre-events actions`: rules of actions and their endpoints, what they have to do, and holding them."""

from __future__ import annotations

import json
from typing import Any

import click

from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.node import wiring


@click.group("actions")
def actions_command() -> None:
    """Look at rules of actions and their endpoints; hold and release them."""


@actions_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_settings
def list_command(*, settings: Settings, as_json: bool) -> None:
    """List rules of actions and endpoints, with what waits, and why something is held."""
    found = wiring.requests(settings).ask("actions", {})
    if as_json:
        click.echo(json.dumps(found))
        return
    for rule in found["rules"]:
        click.echo(_rule_line(rule))
    for each in found["endpoints"]:
        said = f" - HELD: {each['held']}" if each["held"] else ""
        probed = " - failing, tried once a minute" if each["probed"] and not said else ""
        click.echo(f"endpoint {each['endpoint']}: {each['kind']}, {each['where']}{probed}{said}")


@actions_command.command("hold")
@click.argument("name")
@click.option("--why", default="", help="What is said about it.")
@click.option("--endpoint", is_flag=True, help="NAME is an endpoint's, though a rule has it too.")
@with_settings
def hold(name: str, *, settings: Settings, why: str, endpoint: bool) -> None:
    """Hold a rule or an endpoint: its runs wait, and nothing is lost."""
    found = wiring.requests(settings).ask(
        "hold_action", {"name": name, "why": why, "kind": _kind(endpoint=endpoint)}
    )
    click.echo(f"{found['kind']} {name} is held; release it with: lustre-events actions release {name!r}")


@actions_command.command("release")
@click.argument("name")
@click.option("--endpoint", is_flag=True, help="NAME is an endpoint's, though a rule has it too.")
@with_settings
def release(name: str, *, settings: Settings, endpoint: bool) -> None:
    """Release a rule or an endpoint: its runs go on."""
    found = wiring.requests(settings).ask("release_action", {"name": name, "kind": _kind(endpoint=endpoint)})
    click.echo(f"{found['kind']} {name} {'is released' if found['released'] else 'was not held'}")


def _kind(*, endpoint: bool) -> str:
    return "endpoint" if endpoint else ""


def _rule_line(rule: dict[str, Any]) -> str:
    runs = ", ".join(f"{count} {state}" for state, count in rule["runs"].items() if count)
    said = f" - HELD: {rule['held']}" if rule["held"] else ""
    what = f"on {', '.join(rule['on'])}: {rule['action']} to {rule['endpoint']}"
    return f"rule {rule['rule']!r} {what}: {runs or 'nothing to do'}{said}"
