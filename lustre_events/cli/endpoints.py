"""`lustre-events endpoints`: see whether endpoints of actions can be reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from lustre_events.actions import transfer_commands
from lustre_events.actions.endpoints import SENDERS
from lustre_events.catalog import approved
from lustre_events.cli.options import with_settings
from lustre_events.config.nearest import nearest
from lustre_events.config.settings import Settings
from lustre_events.domain.rules import transfers
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError
from lustre_events.node import wiring


@click.group("endpoints")
def endpoints_command() -> None:
    """Check the endpoints of actions."""


@endpoints_command.command("check")
@click.argument("names", nargs=-1)
@with_settings
def check(names: tuple[str, ...], *, settings: Settings) -> None:
    """Connect to endpoints from this node, and send nothing.

    Run it where the courier runs, with the courier's account. Endpoints of the kind `transfer` are used by workers
    for actions: run it as root on their nodes, too.
    """
    endpoints = {name: _named(settings, name) for name in names} or wiring.endpoints(settings)
    if not endpoints:
        raise ConfigError("there are no endpoints; name their file in [actions] endpoints")
    wrong = 0
    for name in names or sorted(endpoints):
        try:
            click.echo(f"{name}: ok, {_check_of(endpoints[name], settings)()}")
        except (ConfigError, OSError) as exc:
            wrong += 1
            click.echo(f"{name}: {exc}")
    if wrong:
        raise ConfigError(f"{wrong} endpoint{'s' * (wrong > 1)} cannot be used, listed above")


@endpoints_command.command("approve")
@click.argument("name")
@with_settings
def approve(name: str, *, settings: Settings) -> None:
    """Approve the program of an endpoint for transfers.

    It may then run as the owner of each file on this node. If it changes, approve it again.
    """
    endpoint = _named(settings, name)
    if endpoint.kind != transfers.KIND:
        raise ConfigError(f"{name!r} is an endpoint for {endpoint.kind}; only those for transfers run a program")
    digest = transfer_commands.digest_of(endpoint)
    approved.put(Path(settings.worker.approved), transfer_commands.identity_of(name), digest)
    program = transfers.program_of(endpoint.url, endpoint.program)
    click.echo(
        f"{name}: {program} may copy files to {endpoint.where} as their owners, as it is now ({digest[:16]})"
    )


def _named(settings: Settings, name: str) -> Endpoint:
    endpoints = wiring.endpoints(settings)
    if name not in endpoints:
        raise ConfigError(f"no endpoint is named {name!r}{nearest(name, endpoints or ('none',))}")
    return endpoints[name]


def _check_of(endpoint: Endpoint, settings: Settings) -> Callable[[], str]:
    """Return what connects to an endpoint and says what was reached."""
    if endpoint.kind != transfers.KIND:
        return SENDERS[endpoint.kind](endpoint).check

    def check_transfer() -> str:
        transfer_commands.check_approved(endpoint, approved.read(Path(settings.worker.approved)))
        return transfer_commands.check(endpoint)

    return check_transfer
