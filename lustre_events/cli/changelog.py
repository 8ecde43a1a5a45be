"""`lustre-events changelog`: the users and masks of the MDTs' changelogs, through lctl."""

from __future__ import annotations

import json

import click
import msgspec

from lustre_events import services
from lustre_events.cli.main import with_settings
from lustre_events.config import Settings
from lustre_events.lctl import Lctl, Users

NAME = "lustre-events"

mdt_option = click.option(
    "--mdt", "mdts", multiple=True, help="This MDT; may be repeated. Default: all that are known here."
)


@click.group("changelog")
def changelog_command() -> None:
    """Look after the MDTs' changelog users and masks.

    Works on the MDS, or over the command that [filesystem] lctl names; otherwise the error says what to run there.
    """


@changelog_command.command("users")
@mdt_option
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@with_settings
def users(mdts: tuple[str, ...], *, as_json: bool, settings: Settings) -> None:
    """Show who is registered, how far each has cleared, and for how long it was idle."""
    lctl = Lctl(settings.filesystem.lctl)
    found = [lctl.users(mdt) for mdt in mdts or _mdts(lctl, settings)]
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
        return
    for each in found:
        click.echo(_text(each))


@changelog_command.command("register")
@mdt_option
@click.option("--name", default=NAME, show_default=True, help="A part of the user's id, where the server can.")
@click.option("--mask", default="", help="Record only these types for it, e.g. CREAT,UNLNK. Default: the server's.")
@with_settings
def register(mdts: tuple[str, ...], *, name: str, mask: str, settings: Settings) -> None:
    """Register a user, and print its id: it belongs into [reader] user."""
    lctl = Lctl(settings.filesystem.lctl)
    for mdt in mdts or _mdts(lctl, settings):
        click.echo(f"{mdt} {lctl.register(mdt, name, mask)}")


@changelog_command.command("deregister")
@click.argument("user")
@mdt_option
@with_settings
def deregister(user: str, *, mdts: tuple[str, ...], settings: Settings) -> None:
    """Deregister USER: the MDT no longer keeps records for it."""
    lctl = Lctl(settings.filesystem.lctl)
    for mdt in mdts or _mdts(lctl, settings):
        lctl.deregister(mdt, user)
        click.echo(f"{mdt}: {user} deregistered")


@changelog_command.command("mask")
@click.argument("mask", required=False)
@mdt_option
@with_settings
def mask_command(mask: str | None, *, mdts: tuple[str, ...], settings: Settings) -> None:
    """Show which types the servers record; with MASK set it, e.g. CREAT,CLOSE or +OPEN.

    What is set holds until the MDT restarts; `lctl set_param -P` on the MGS makes it last.
    """
    lctl = Lctl(settings.filesystem.lctl)
    for mdt in mdts or _mdts(lctl, settings):
        if mask is not None:
            lctl.set_mask(mdt, mask)
        click.echo(f"{mdt}: {' '.join(lctl.mask(mdt))}")


def _mdts(lctl: Lctl, settings: Settings) -> list[str]:
    """Return the MDTs that the settings name, of this client, or of the MDS."""
    return services.discovered(settings) or lctl.mdts()


def _text(found: Users) -> str:
    lines = [f"{found.mdt}: current index {found.current_index}"]
    for user in found.users:
        idle = "" if user.idle_seconds is None else f", idle {user.idle_seconds} s"
        lines.append(
            f"  {user.id}: cleared {user.index}, {found.current_index - user.index} behind{idle}, "
            f"mask {','.join(user.mask) or 'of the server'}"
        )
    return "\n".join(lines if found.users else [*lines, "  no users: nothing is recorded"])
