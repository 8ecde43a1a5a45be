"""`lustre-events metrics`: Prometheus metrics of the whole service."""

from __future__ import annotations

import threading
from functools import partial

import click
from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from lustre_events.cli.main import stop_on_signals
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.inspect.metrics import ServiceCollector
from lustre_events.node import status_report
from lustre_events.node.systemd import Notifier, answers_http


@click.command("metrics")
@with_settings
@with_index
@click.option("--listen", metavar="ADDRESS:PORT", help="Serve http://ADDRESS:PORT/metrics until stopped.")
def metrics_command(*, settings: Settings, index_url: str | None, listen: str | None) -> None:
    """Print metrics once, or serve them to Prometheus."""
    registry = CollectorRegistry()
    look = partial(status_report.status, settings, index_of(settings, index_url), counting=status_report.Counting())
    registry.register(ServiceCollector(look))
    if listen is None:
        click.echo(generate_latest(registry), nl=False)
        return
    stopped = threading.Event()
    stop_on_signals(stopped.set)
    address, port = _address(listen)
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as exc:
        raise ConfigError(f"--listen {listen}: {exc.strerror}; choose another address or port") from exc
    Notifier().watch(f"serves metrics at {listen}", partial(answers_http, listen, "/favicon.ico"))
    stopped.wait()
    server.shutdown()
    thread.join(5)


def _address(listen: str) -> tuple[str, int]:
    address, _, port = listen.rpartition(":")
    if not address or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"--listen {listen}: write it as ADDRESS:PORT, e.g. 127.0.0.1:9464")
    return address, int(port)
