"""`lustre-events reader`: read one MDT, or all of this node's."""

from __future__ import annotations

import click

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.node import process_metrics, wiring
from lustre_events.node.supervisor import Supervisor
from lustre_events.node.systemd import Notifier
from lustre_events.reader import Reader


@click.command("reader")
@click.option("--mdt", help="The MDT to read, e.g. lustre-MDT0000.")
@click.option("--all", "every", is_flag=True, help="All MDTs of this node, one process each; later ones too.")
@with_settings
@click.pass_context
def reader_command(ctx: click.Context, *, mdt: str | None, every: bool, settings: Settings) -> None:
    """Read the changelogs of MDTs into Redis until stopped."""
    if (mdt is None) is not every:
        raise ConfigError("name one MDT with --mdt lustre-MDT0000, or read those of this node with --all")
    if mdt is None:
        running: Reader | Supervisor = wiring.readers(settings, ctx.obj["config_path"])
    else:
        running = wiring.reader(settings, mdt, Notifier().beat)
        process_metrics.serve(settings.metrics.listen, "reader", mdt)
    stop_on_signals(running.stop)
    running.run()
