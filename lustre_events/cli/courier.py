"""`lustre-events courier`: send what actions say."""

from __future__ import annotations

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.node import process_metrics, wiring
from lustre_events.node.systemd import Notifier


@click.command("courier")
@with_settings
def courier_command(*, settings: Settings) -> None:
    """Send the messages of actions until stopped.

    It needs neither the file system nor the index.
    """
    notifier = Notifier()
    process_metrics.serve(settings.metrics.listen, "courier")
    courier = wiring.courier(settings, notifier.beat)
    stop_on_signals(courier.stop)
    courier.run()
