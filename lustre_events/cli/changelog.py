"""`lustre-events changelog`: the users and masks of the MDTs' changelogs, through lctl."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from lustre_events.changelog import users as changelog_users
from lustre_events.changelog.lctl import Lctl, Users
from lustre_events.changelog.users import DEFAULT_NAME
from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ChangelogUserUnknown, ConfigError, LustreEventsError
from lustre_events.node import wiring

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
    """Show the registered users, and how far each has cleared.

    It also shows for how long each was idle, and its mask.
    """
    lctl = Lctl(settings.filesystem.lctl)
    found = [lctl.users(mdt) for mdt in mdts or _mdts(lctl, settings)]
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
        return
    for each in found:
        click.echo(_text(each, _ours(each, settings)))


@changelog_command.command("register")
@mdt_option
@click.option(
    "--name",
    default=DEFAULT_NAME,
    show_default=True,
    help="The user's name, a part of its id where the server can.",
)
@click.option("--mask", default="", help="Record only these types for it, e.g. CREAT,UNLNK. Default: the server's.")
@with_settings
def register(mdts: tuple[str, ...], *, name: str, mask: str, settings: Settings) -> None:
    """Register a changelog user on each MDT, and print its ids.

    The ids are also stored on this node, for its readers. Ids differ from MDT to MDT, the name does not:
    [reader] user = "lustre-events" finds them.
    """
    lctl = Lctl(settings.filesystem.lctl)
    registered = {}
    try:
        for mdt in mdts or _mdts(lctl, settings):
            registered[mdt] = lctl.register(mdt, name, mask)
            click.echo(f"{mdt} {registered[mdt]}")
            _keep(settings, mdt, registered[mdt])
    finally:
        if registered:
            _say_what_to_write(registered, name)


@changelog_command.command("deregister")
@click.argument("user")
@mdt_option
@with_settings
def deregister(user: str, *, mdts: tuple[str, ...], settings: Settings) -> None:
    """Deregister USER: the MDT no longer keeps records for it.

    USER is a name, which finds the id on each MDT, or the id on one MDT.
    """
    lctl = Lctl(settings.filesystem.lctl)
    places = mdts or _mdts(lctl, settings)
    if changelog_users.number(user) and len(places) > 1:
        raise ConfigError(
            f"{user} is one id for {len(places)} MDTs, and another consumer's on some of them; give the MDT "
            f"with --mdt, or a name: lustre-events changelog deregister {DEFAULT_NAME}"
        )
    found = {mdt: _registered(lctl.users(mdt), user, settings) for mdt in places}
    for mdt, each in found.items():
        lctl.deregister(mdt, each)
        if changelog_users.recall(Path(settings.filesystem.state), mdt) == each:
            _keep(settings, mdt, "")
        click.echo(f"{mdt}: {each} deregistered")


@changelog_command.command("mask")
@click.argument("mask", required=False)
@mdt_option
@with_settings
def mask_command(mask: str | None, *, mdts: tuple[str, ...], settings: Settings) -> None:
    """Show which types of records the servers write, or set them.

    MASK sets them, e.g. CREAT,CLOSE or +OPEN. This holds until the MDT restarts; `lctl set_param -P` on the MGS
    makes it last.
    """
    lctl = Lctl(settings.filesystem.lctl)
    for mdt in mdts or _mdts(lctl, settings):
        if mask is not None:
            lctl.set_mask(mdt, mask)
        click.echo(f"{mdt}: {' '.join(lctl.mask(mdt))}")


def _mdts(lctl: Lctl, settings: Settings) -> list[str]:
    """Return the MDTs that the settings name, of this client, or of the MDS."""
    return wiring.discovered(settings) or lctl.mdts()


def _ours(found: Users, settings: Settings) -> str:
    """Return the id of this node's reader on an MDT; "" where it has none, or the settings are wrong."""
    kept = changelog_users.recall(Path(settings.filesystem.state), found.mdt)
    try:
        return changelog_users.own_id(settings.reader, found, wiring.discovered(settings), kept)
    except LustreEventsError:
        return ""


def _registered(found: Users, user: str, settings: Settings) -> str:
    """Return the id that a name has on one MDT; an id as it is. Raises ChangelogUserUnknown, ConfigError."""
    ids = [user] if changelog_users.number(user) else changelog_users.named(found, user)
    kept = changelog_users.recall(Path(settings.filesystem.state), found.mdt)
    if not ids and any(each.id == kept for each in found.users):
        ids = [kept]  # of a server that knows no names
    if not ids:
        known = ", ".join(each.id for each in found.users) or "none"
        raise ChangelogUserUnknown(
            f"{found.mdt}: no changelog user is named {user}, so nothing was deregistered; registered are: {known}"
        )
    if len(ids) > 1:
        raise ConfigError(
            f"{found.mdt}: {' and '.join(ids)} are both named {user}; give one id, and --mdt {found.mdt}"
        )
    return ids[0]


def _keep(settings: Settings, mdt: str, user: str) -> None:
    """Keep what is registered for the readers of this node; where that fails, say so: it can be written instead."""
    try:
        changelog_users.keep(Path(settings.filesystem.state), mdt, user)
    except OSError as exc:
        click.echo(f"{mdt}: not kept in {settings.filesystem.state} ({exc.strerror})", err=True)


def _say_what_to_write(registered: dict[str, str], name: str) -> None:
    entries = ", ".join(f'"{mdt}:{user}"' for mdt, user in registered.items())
    by_name = f'[reader] user = "{name}", or ' if name else ""
    click.echo(
        f"Write {by_name}where neither lctl nor this node's state folder can be used: [reader] users = [{entries}]",
        err=True,
    )


def _text(found: Users, ours: str) -> str:
    lines = [f"{found.mdt}: current index {found.current_index}"]
    for user in found.users:
        idle = "" if user.idle_seconds is None else f", idle {user.idle_seconds} s"
        lines.append(
            f"  {user.id}: cleared {user.index}, {found.current_index - user.index} behind{idle}, "
            f"mask {','.join(user.mask) or 'of the server'}{', ours' if user.id == ours else ''}"
        )
    return "\n".join(lines if found.users else [*lines, "  no users: nothing is recorded"])
