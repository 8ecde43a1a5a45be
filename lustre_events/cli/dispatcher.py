"""`lustre-events dispatcher`: keep the index."""

from __future__ import annotations

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.node import process_metrics, wiring
from lustre_events.node.systemd import Notifier


@click.command("dispatcher")
@with_settings
@with_index
def dispatcher_command(*, settings: Settings, index_url: str | None) -> None:
    """Keep the index and hand out jobs until stopped. One is active; a later one takes over."""
    dispatcher = wiring.dispatcher(settings, index_of(settings, index_url), Notifier().beat)
    process_metrics.serve(settings.metrics.listen, "dispatcher")
    stop_on_signals(dispatcher.stop)
    dispatcher.run()
