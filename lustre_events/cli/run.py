"""`lustre-events run`: everything on one node."""

from __future__ import annotations

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.node import wiring


@click.command("run")
@with_settings
@with_index
@click.pass_context
def run_command(ctx: click.Context, *, settings: Settings, index_url: str | None) -> None:
    """Run all parts on this node until stopped.

    These are readers, dispatcher, workers and, if there are endpoints, a courier; also a private Redis if the
    settings name none.
    """
    with wiring.node(settings, index_of(settings, index_url), ctx.obj["config_path"]) as supervisor:
        stop_on_signals(supervisor.stop)
        supervisor.run()
