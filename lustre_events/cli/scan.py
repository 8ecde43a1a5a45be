"""`lustre-events scan`: take an existing tree into the index."""

from __future__ import annotations

import click

from lustre_events.cli.options import with_settings
from lustre_events.cli.progress import watched
from lustre_events.config.settings import Settings
from lustre_events.index.search.hits import printable
from lustre_events.node import wiring
from lustre_events.repair import scan as scans


@click.command("scan")
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@click.option("--detach", is_flag=True, help="Start the scan and return; the workers do it.")
@with_settings
@click.pass_context
def scan_command(ctx: click.Context, path: str, *, detach: bool, settings: Settings) -> None:
    """Index what is below PATH, as it is now.

    This is for a tree that was there before the changelog was read. You may run it at any time, and again: changes
    that happen meanwhile win. The workers list the directories, and go on if this command is interrupted.
    """
    requests = wiring.requests(settings)
    scan = scans.begin(requests, settings, ctx.obj["config_path"], path)
    if detach:
        click.echo(f"scan {scan} of {path} has started; lustre-events status shows how far it is")
        return
    ended = watched(settings, scan)
    click.echo(f"{path}: {ended.files} files in {ended.directories} directories")
    for directory, error in ended.unreadable:
        click.echo(f"not read: {printable(directory)} ({error})")
