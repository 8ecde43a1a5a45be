"""Commands that compare with the file system itself: scan, verify, and `continuity reconcile`."""

from __future__ import annotations

import random
import sys

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lustre_events.cli.main import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.node import wiring
from lustre_events.repair import scan as surveying
from lustre_events.repair.verify import Outcome, printable


class Share(click.ParamType[float]):
    """A part of a whole: `1%` or `0.01`."""

    name = "SHARE"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as a number from 0 to 1."""
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 < share <= 1:
            self.fail(f"{text!r} is no share; write 1% or 0.01", param, ctx)
        return share


sample_option = click.option(
    "--sample", type=Share(), default="100%", show_default=True, help="Compare only this part of the directories."
)


@click.command("scan")
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@click.option("--detach", is_flag=True, help="Only begin; workers go on without this command.")
@with_settings
@click.pass_context
def scan_command(ctx: click.Context, path: str, *, detach: bool, settings: Settings) -> None:
    """Take what is below PATH into the index, as it is now.

    For a tree that was there before the changelog was read. It can be done at any time and again: what happens
    meanwhile wins. Workers list the directories; if it is interrupted they go on, or where they were.
    """
    requests = wiring.requests(settings)
    scan = surveying.begin(requests, settings, ctx.obj["config_path"], path)
    if detach:
        click.echo(f"scan {scan} of {path} has begun")
        return
    ended = _watched(settings, scan)
    click.echo(f"{path}: {ended.files} files in {ended.directories} directories")
    for directory, error in ended.unreadable:
        click.echo(f"not read: {printable(directory)} ({error})")


@click.command("verify")
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@sample_option
@click.option("--repair", is_flag=True, help="Have the differences mended; they are listed all the same.")
@with_index
@with_settings
@click.pass_context
def verify_command(
    ctx: click.Context, path: str, *, sample: float, repair: bool, index_url: str | None, settings: Settings
) -> None:
    """Compare index and file system below PATH, and print each difference; exit code 1 if there is any.

    What changes meanwhile is looked at again. Needs the file system and the index on this node.
    """
    outcome = _verified(ctx, settings, index_of(settings, index_url), path, sample)
    for difference in outcome.differences:
        click.echo(difference.line())
    for directory, error in outcome.unreadable:
        click.echo(f"not read: {printable(directory)} ({error})", err=True)
    click.echo(
        f"{outcome.names} names in {outcome.directories} directories: {len(outcome.differences)} differences",
        err=True,
    )
    if repair and outcome.differences:
        surveying.repair(wiring.requests(settings), ctx.obj["config_path"], outcome.differences)
        click.echo("they are being mended; see: lustre-events status", err=True)
    if outcome.differences:
        sys.exit(1)


@click.command("reconcile")
@click.argument("mdts", nargs=-1, metavar="[MDT ...]")
@click.option("--all", "every", is_flag=True, help="All MDTs that have lost something.")
@click.option(
    "--sample", type=Share(), default="1%", show_default=True, help="Verify this part of the directories."
)
@with_index
@with_settings
@click.pass_context
def reconcile(
    ctx: click.Context,
    mdts: tuple[str, ...],
    *,
    every: bool,
    sample: float,
    index_url: str | None,
    settings: Settings,
) -> None:
    """Make good what was lost: scan the file system, verify a sample, then accept the losses that there were.

    Losses that are noticed meanwhile stay. Needs the file system and the index on this node.
    """
    streams = wiring.streams(settings)
    names = streams.mdts() if every else wiring.known_mdts(streams, mdts)
    if not names:
        raise ConfigError("name the MDTs to reconcile, or --all")
    began = surveying.last_losses(streams, names)
    if not began:
        click.echo("nothing was lost")
        return
    mount = settings.filesystem.mount
    surveying.wait_for_clocks(settings, began)
    _watched(settings, surveying.begin(wiring.requests(settings), settings, ctx.obj["config_path"], mount))
    outcome = _verified(ctx, settings, index_of(settings, index_url), mount, sample)
    if outcome.differences:
        for difference in outcome.differences:
            click.echo(difference.line())
        raise ConfigError(
            f"{len(outcome.differences)} differences are left, so the losses stay; "
            f"run: lustre-events verify {mount} --repair, then this again"
        )
    for mdt, until_ns in began.items():
        click.echo(f"{mdt}: {streams.accept(mdt, until_ns)} losses made good")


def _watched(settings: Settings, scan: int) -> surveying.ScanProgress:
    columns = (TextColumn("{task.fields[what]}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, what="scanning")
        for at in surveying.progress(wiring.requests(settings), scan):
            what = f"{at.directories} directories done, {at.left} left, {at.files} files"
            bar.update(task, completed=at.directories, total=at.directories + at.left, what=what)
    return at


def _verified(ctx: click.Context, settings: Settings, index_url: str, path: str, share: float) -> Outcome:
    columns = (TextColumn("{task.fields[what]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, what="comparing")

        def say(outcome: Outcome) -> None:
            bar.update(task, what=f"{outcome.directories} directories, {outcome.names} names compared")

        return surveying.compare(
            settings,
            ctx.obj["config_path"],
            index_url,
            path,
            share,
            say,
            random.Random(),  # noqa: S311 - a sample
        )
