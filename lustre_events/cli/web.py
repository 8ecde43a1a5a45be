"""`lustre-events web`: the console; `lustre-events web-password`: a line for its file of users."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial

import click

from lustre_events.cli.main import leave_on_signals
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.node import status_report
from lustre_events.node.systemd import Notifier, answers_http


@click.command("web")
@click.option("--listen", metavar="ADDRESS:PORT", help="Or unix:PATH. Default: [web] listen.")
@with_settings
@with_index
def web_command(*, listen: str | None, settings: Settings, index_url: str | None) -> None:
    """Serve the web console until stopped."""
    serve = _server(settings, index_of(settings, index_url), listen or settings.web.listen)
    leave_on_signals()
    serve()


def _server(settings: Settings, index_url: str, listen: str) -> Callable[[], None]:
    """Return what serves. Raises ConfigError: Flask is missing, or the address is taken."""
    try:
        from lustre_events.web import make_app  # noqa: PLC0415 - optional
        from lustre_events.web.long_answers import Spool, folder_of  # noqa: PLC0415
        from lustre_events.web.serving import HEALTH, server_of, shown  # noqa: PLC0415
        from lustre_events.web.wiring import site  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise ConfigError(f"the console needs {exc.name}: pip install 'lustre-events[web]'") from exc
    opened = site(settings, index_url, partial(status_report.status, counting=status_report.Counting()), listen)
    spool = Spool(folder_of(os.environ), settings.web.spool_bytes)
    own = settings.web
    server = server_of(make_app(opened), listen, own.threads, own.listen_group, spool, https=own.https)
    opened.history.start()
    click.echo(f"The console is at {shown(listen)}", err=True)

    def serve() -> None:
        gc.freeze()  # what is loaded stays: Python need not look at it again in the midst of a search
        Notifier().watch(f"serves the console at {listen}", partial(answers_http, listen, HEALTH))
        try:
            server.run()
        finally:
            opened.history.stop()

    return serve
