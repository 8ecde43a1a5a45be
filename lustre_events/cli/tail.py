"""`lustre-events tail`: records as they come."""

from __future__ import annotations

import sys

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.inspect.tail import Printer, RecordTail, View, types_of
from lustre_events.node import wiring


@click.command("tail")
@click.option("--mdt", "mdts", multiple=True, help="Only this MDT; may be repeated. Default: all.")
@click.option("--format", "form", type=click.Choice(["lfs", "json"]), default="lfs", show_default=True)
@click.option("--types", default="", help="Only these record types, e.g. CREAT,RENME.")
@click.option(
    "-n", "--newest", default=10, show_default=True, help="Start this number of records back in each MDT."
)
@click.option("--from-start", is_flag=True, help="Begin with everything that is still in Redis.")
@click.option("-f", "--follow", is_flag=True, help="Then follow new records, until interrupted.")
@with_settings
def tail_command(
    mdts: tuple[str, ...], *, form: str, types: str, newest: int, from_start: bool, follow: bool, settings: Settings
) -> None:
    """Print records out of the streams in Redis.

    Redis keeps only records that the dispatcher has not committed yet, and this command holds none of them back: a
    record can be gone before it is shown. A program that must see all of them uses lustre_events.subscribe.
    """
    view = View(frozenset(mdts), types_of(types), None if from_start else newest)
    streams = wiring.streams(settings)
    out = sys.stdout.buffer
    printer = Printer(out.write, as_json=form == "json", titles=len(view.mdts) != 1, escape=sys.stdout.isatty())
    tail = RecordTail(streams, view, printer.show, _say_missed, out.flush)
    stop_on_signals(tail.stop)
    tail.so_far()
    if follow:
        tail.follow()


def _say_missed(mdt: str, first: int, last: int) -> None:
    click.echo(
        f"{mdt}: {first} to {last} not seen: their numbers have a gap, or Redis dropped them before",
        err=True,
    )
