"""`lustre-events dispatcher`: keep the index."""

from __future__ import annotations

import threading

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.dispatcher import Dispatcher
from lustre_events.node import process_metrics, wiring
from lustre_events.node.systemd import Notifier


@click.command("dispatcher")
@with_settings
@with_index
def dispatcher_command(*, settings: Settings, index_url: str | None) -> None:
    """Keep the index and hand out jobs until stopped.

    One dispatcher is active; a second one waits until the first one ends.
    """
    notifier, stopped = Notifier(), threading.Event()
    running: list[Dispatcher] = []

    def stop() -> None:
        stopped.set()
        for each in running:
            each.stop()

    stop_on_signals(stop)
    lease = wiring.dispatcher_lease(settings)
    process_metrics.serve(settings.metrics.listen, "dispatcher")
    if not lease.wait(stopped, notifier.beat):
        return

    def beat(status: str) -> None:
        notifier.beat(status)
        lease.check()

    with lease.kept():
        dispatcher = wiring.dispatcher(settings, index_of(settings, index_url), beat)
        running.append(dispatcher)
        if not stopped.is_set():
            dispatcher.run()
