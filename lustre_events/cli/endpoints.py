"""`lustre-events endpoints`: see whether endpoints of actions can be reached."""

from __future__ import annotations

import click

from lustre_events.actions.endpoints import SENDERS
from lustre_events.cli.options import with_settings
from lustre_events.config.nearest import nearest
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.node import wiring


@click.group("endpoints")
def endpoints_command() -> None:
    """Check the endpoints of actions."""


@endpoints_command.command("check")
@click.argument("names", nargs=-1)
@with_settings
def check(names: tuple[str, ...], *, settings: Settings) -> None:
    """Connect to endpoints from this node, and send nothing. Run it where the courier runs, as its account."""
    endpoints = wiring.endpoints(settings)
    for name in names:
        if name not in endpoints:
            raise ConfigError(f"no endpoint is named {name!r}{nearest(name, endpoints or ('none',))}")
    if not endpoints:
        raise ConfigError("there are no endpoints; name their file in [actions] endpoints")
    wrong = 0
    for name in names or sorted(endpoints):
        sender = SENDERS[endpoints[name].kind](endpoints[name])
        try:
            click.echo(f"{name}: ok, {sender.check()}")
        except (ConfigError, OSError) as exc:
            wrong += 1
            click.echo(f"{name}: {exc}")
    if wrong:
        raise ConfigError(f"{wrong} endpoint{'s' * (wrong > 1)} cannot be used, listed above")
