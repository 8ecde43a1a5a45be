"""`lustre-events verify`: compare index and file system."""

from __future__ import annotations

import sys

import click

from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.cli.progress import Share, verified
from lustre_events.config.settings import Settings
from lustre_events.index.search.hits import printable
from lustre_events.node import wiring
from lustre_events.repair import scan as scans

sample_option = click.option(
    "--sample", type=Share(), default="100%", show_default=True, help="Compare only this part of the directories."
)


@click.command("verify")
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@sample_option
@click.option("--repair", is_flag=True, help="Repair the differences, and list them.")
@with_index
@with_settings
@click.pass_context
def verify_command(
    ctx: click.Context, path: str, *, sample: float, repair: bool, index_url: str | None, settings: Settings
) -> None:
    """Compare index and file system below PATH.

    It prints each difference; the exit code is 1 if there is any. It looks
    again at what changes meanwhile, and needs the file system and the index on this node.
    """
    outcome = verified(ctx, settings, index_of(settings, index_url), path, sample)
    for difference in outcome.differences:
        click.echo(difference.line())
    for directory, error in outcome.unreadable:
        click.echo(f"not read: {printable(directory)} ({error})", err=True)
    click.echo(
        f"{outcome.names} names in {outcome.directories} directories: {len(outcome.differences)} differences",
        err=True,
    )
    if repair and outcome.differences:
        scans.repair(wiring.requests(settings), ctx.obj["config_path"], outcome.differences)
        click.echo("they are being repaired; see: lustre-events status", err=True)
    if outcome.differences:
        sys.exit(1)
