"""`lustre-events history-keeper`: write the history."""

from __future__ import annotations

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.node import process_metrics, wiring
from lustre_events.node.systemd import Notifier


@click.command("history-keeper")
@with_settings
def history_keeper_command(*, settings: Settings) -> None:
    """Write the history until stopped.

    It keeps every record of all MDTs for [history] days; `lustre-events history` reads it.
    """
    keeper = wiring.history_keeper(settings, Notifier().beat)
    process_metrics.serve(settings.metrics.listen, "history")
    stop_on_signals(keeper.stop)
    keeper.run()
