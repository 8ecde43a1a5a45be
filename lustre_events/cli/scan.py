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
    """Take what is below PATH into the index, as it is now.

    For a tree that was there before the changelog was read. It can be done at any time and again: what happens
    meanwhile wins. Workers list the directories; if it is interrupted they go on, or where they were.
    """
    requests = wiring.requests(settings)
    scan = scans.begin(requests, settings, ctx.obj["config_path"], path)
    if detach:
        click.echo(f"scan {scan} of {path} has begun")
        return
    ended = watched(settings, scan)
    click.echo(f"{path}: {ended.files} files in {ended.directories} directories")
    for directory, error in ended.unreadable:
        click.echo(f"not read: {printable(directory)} ({error})")
