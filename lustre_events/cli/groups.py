"""`lustre-events groups`: other programs that read the streams."""

from __future__ import annotations

import json

import click
import msgspec

from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.inspect import status
from lustre_events.node import wiring


@click.group("groups")
def groups_command() -> None:
    """Show or remove subscriber groups.

    A group is another program that reads the records.
    """


@groups_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@with_settings
def list_groups(*, as_json: bool, settings: Settings) -> None:
    """Show how far each group is, and what it has lost."""
    found = status.of_groups(wiring.groups(settings))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
        return
    for name, group in found.items():
        click.echo("\n".join(status.group_lines(name, group)))


@groups_command.command("remove")
@click.argument("group")
@with_settings
def remove_group(group: str, *, settings: Settings) -> None:
    """Remove GROUP: no records are kept for it any more.

    Its programs get an error.
    """
    wiring.groups(settings).remove(group)
    click.echo(f"{group}: removed")
