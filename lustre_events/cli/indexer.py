"""`lustre-events indexer`: write documents beside the dispatcher."""

from __future__ import annotations

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.node import process_metrics, wiring
from lustre_events.node.systemd import Notifier


@click.command("indexer")
@with_settings
@with_index
@click.option(
    "--instance",
    metavar="NAME",
    default="1",
    show_default=True,
    help="Tells the indexers of one node apart; keep it when one is started again.",
)
def indexer_command(*, settings: Settings, index_url: str | None, instance: str) -> None:
    """Write documents beside the dispatcher until stopped.

    This needs an index in PostgreSQL.
    """
    indexer = wiring.indexer(settings, index_of(settings, index_url), instance, Notifier().beat)
    process_metrics.serve(settings.metrics.listen, "indexer", instance)
    stop_on_signals(indexer.stop)
    indexer.run()
