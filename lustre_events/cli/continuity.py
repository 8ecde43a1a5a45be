"""`lustre-events continuity`: records that were lost: show, reconcile, accept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import click
import msgspec

from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.cli.progress import Share, settled, verified, watched
from lustre_events.config.settings import Settings
from lustre_events.domain.action_run import HELD, SETTLING
from lustre_events.errors import ConfigError
from lustre_events.inspect import status
from lustre_events.node import wiring
from lustre_events.repair import scan as scans

WAIT_SECONDS = 600.0


@click.group("continuity")
def continuity_command() -> None:
    """Show, recover or accept lost records.

    Records are lost if the MDT or Redis discards them before they are in the index.
    """


@continuity_command.command("show")
@click.option("--mdt", "mdts", multiple=True, help="Only this MDT; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, by MDT.")
@with_settings
def show_continuity(mdts: tuple[str, ...], *, as_json: bool, settings: Settings) -> None:
    """Show which records were lost, and when.

    Losses that were accepted are listed, too.
    """
    found = status.of_continuity(wiring.streams(settings), mdts)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
        return
    for mdt, losses in found.items():
        click.echo("\n".join(f"{mdt}: {status.loss_line(loss)}" for loss in losses) or f"{mdt}: nothing lost")


@continuity_command.command("reconcile")
@click.argument("mdts", nargs=-1, metavar="[MDT ...]")
@click.option("--all", "every", is_flag=True, help="All MDTs that have lost something.")
@click.option(
    "--sample", type=Share(), default="1%", show_default=True, help="Verify this part of the directories."
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Compare again for this long while differences are left: workers may not be done.",
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
    wait_seconds: float,
    index_url: str | None,
    settings: Settings,
) -> None:
    """Recover lost records by a scan of the file system.

    It then verifies a sample, and accepts the losses.

    Rules of actions do not fire for what is found: their runs are held, and this says how many.

    Losses that are found meanwhile stay listed. Needs the file system and the index on this node, and a dispatcher.
    """
    streams = wiring.streams(settings)
    scans.wait_for_dispatcher(wiring.requests(settings))
    names = streams.mdts() if every else wiring.known_mdts(streams, mdts)
    if not names:
        raise ConfigError("name the MDTs to reconcile, or --all")
    began = scans.last_losses(streams, names)
    if not began:
        click.echo("nothing was lost")
        return
    mount = settings.filesystem.mount
    scans.wait_for_clocks(settings, began)
    watched(settings, scans.begin(wiring.requests(settings), settings, ctx.obj["config_path"], mount))
    outcome = settled(partial(verified, ctx, settings, index_of(settings, index_url), mount, sample), wait_seconds)
    if outcome.differences:
        for difference in outcome.differences:
            click.echo(difference.line())
        raise ConfigError(
            f"{len(outcome.differences)} differences are left after {wait_seconds:.0f} s, so the losses stay; "
            f"run: lustre-events verify {mount} --repair, then this again"
        )
    for mdt, until_ns in began.items():
        click.echo(f"{mdt}: losses recovered: {streams.accept(mdt, until_ns)}")
    for line in _held(wiring.requests(settings).ask("actions", {})["rules"]):
        click.echo(line)


def _held(rules: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield for each rule of an action how many of its runs a person has to decide about."""
    for rule in rules:
        name, held, settling = rule["rule"], rule["runs"].get(HELD, 0), rule["runs"].get(SETTLING, 0)
        see = f"lustre-events runs list --state held --rule {name!r}"
        if held:
            yield f"rule {name!r}: {held} runs are held; see: {see}; then: runs release, or runs drop"
        elif settling:
            yield f"rule {name!r}: {settling} runs settle; those that no record told of will be held; see: {see}"


@continuity_command.command("accept")
@click.argument("mdts", nargs=-1, required=True, metavar="MDT ...")
@with_settings
def accept_continuity(mdts: tuple[str, ...], *, settings: Settings) -> None:
    """Accept the losses of each MDT so far, without a scan."""
    streams = wiring.streams(settings)
    for mdt in wiring.known_mdts(streams, mdts):
        click.echo(f"{mdt}: losses accepted: {streams.accept(mdt)}")
