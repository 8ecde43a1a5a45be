"""Commands about the record streams: tail, groups, continuity."""

from __future__ import annotations

import json
import sys

import click

from lustre_events.cli.main import stop_on_signals, with_settings
from lustre_events.cli.scan import reconcile
from lustre_events.config.settings import Settings
from lustre_events.inspect import status
from lustre_events.inspect.tail import Printer, Tail, View, types_of
from lustre_events.node import wiring


@click.command("tail")
@click.option("--mdt", "mdts", multiple=True, help="Only this MDT; may be repeated. Default: all.")
@click.option("--format", "form", type=click.Choice(["lfs", "json"]), default="lfs", show_default=True)
@click.option("--types", default="", help="Only these record types, e.g. CREAT,RENME.")
@click.option("-n", "--newest", default=10, show_default=True, help="Begin with so many records of each MDT.")
@click.option("--from-start", is_flag=True, help="Begin with everything that is still in Redis.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@with_settings
def tail_command(
    mdts: tuple[str, ...], *, form: str, types: str, newest: int, from_start: bool, follow: bool, settings: Settings
) -> None:
    """Print records out of the streams in Redis.

    Looking holds nothing back: with a dispatcher at work only records that it has not committed are there, and a
    record can be gone before it is shown. A program that must see every record subscribes: lustre_events.subscribe.
    """
    view = View(frozenset(mdts), types_of(types), None if from_start else newest)
    streams = wiring.streams(settings)
    out = sys.stdout.buffer
    printer = Printer(out.write, as_json=form == "json", titles=len(view.mdts) != 1, escape=sys.stdout.isatty())
    tail = Tail(streams, view, printer.show, _say_missed, out.flush)
    stop_on_signals(tail.stop)
    tail.so_far()
    if follow:
        tail.follow()


def _say_missed(mdt: str, first: int, last: int) -> None:
    click.echo(f"{mdt}: {first} to {last} not seen: a gap in the index, or trimmed before they were read", err=True)


@click.group("groups")
def groups_command() -> None:
    """Show or remove subscriber groups: other programs that read the streams."""


@groups_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@with_settings
def list_groups(*, as_json: bool, settings: Settings) -> None:
    """Show how far each group is, and what it has lost."""
    found = status.of_groups(wiring.groups(settings))
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, group in found.items():
        click.echo("\n".join(status.group_lines(name, group)))


@groups_command.command("remove")
@click.argument("group")
@with_settings
def remove_group(group: str, *, settings: Settings) -> None:
    """Remove GROUP: nothing is kept for it any more, and its programs are told."""
    wiring.groups(settings).remove(group)
    click.echo(f"{group}: removed")


@click.group("continuity")
def continuity_command() -> None:
    """Show or accept losses: records that the MDT, or Redis, no longer had."""


@continuity_command.command("show")
@click.option("--mdt", "mdts", multiple=True, help="Only this MDT; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, by MDT.")
@with_settings
def show_continuity(mdts: tuple[str, ...], *, as_json: bool, settings: Settings) -> None:
    """Show what was lost, from where to where and when; also what was accepted."""
    found = status.of_continuity(wiring.streams(settings), mdts)
    if as_json:
        click.echo(json.dumps(found))
        return
    for mdt, losses in found.items():
        click.echo("\n".join(f"{mdt}: {status.loss_line(loss)}" for loss in losses) or f"{mdt}: nothing lost")


continuity_command.add_command(reconcile)


@continuity_command.command("accept")
@click.argument("mdts", nargs=-1, required=True, metavar="MDT ...")
@with_settings
def accept_continuity(mdts: tuple[str, ...], *, settings: Settings) -> None:
    """Say that the losses of each MDT so far are known and dealt with."""
    streams = wiring.streams(settings)
    for mdt in wiring.known_mdts(streams, mdts):
        click.echo(f"{mdt}: {streams.accept(mdt)} losses accepted")
