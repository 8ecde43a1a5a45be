"""`lustre-events doctor`: what is wrong on this node, and the commands that mend it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.doctor import FAILURE, OK, WARNING, Finding, examine
from lustre_events.node.roles import EXAMINED

_SIGNS = {OK: ("ok", "green"), WARNING: ("warning", "yellow"), FAILURE: ("FAILURE", "red")}


@click.command("doctor")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(EXAMINED), help="What this node is. Default: all."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding.")
@with_settings
@with_index
def doctor_command(*, roles: tuple[str, ...], as_json: bool, settings: Settings, index_url: str | None) -> None:
    """Look at everything that the service needs. The exit code is 1 if something cannot work as it is."""
    worst = 0
    for finding in examine(settings, index_of(settings, index_url), roles or EXAMINED):
        click.echo(json.dumps(asdict(finding)) if as_json else _text(finding))
        worst |= finding.level == FAILURE
    sys.exit(worst)


def _text(finding: Finding) -> str:
    word, colour = _SIGNS[finding.level]
    mend = f"\n         mend: {finding.mend}" if finding.mend else ""
    return f"{click.style(f'{word:8}', fg=colour)} {finding.subject}: {finding.text}{mend}"
