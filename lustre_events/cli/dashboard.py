"""`lustre-events dashboard`: rq-dashboard as a process of its own, which only looks."""

from __future__ import annotations

from functools import partial

import click

from lustre_events.cli.main import leave_on_signals
from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.node.systemd import Notifier, answers_http
from lustre_events.node.wiring import redis_url

LISTEN = "127.0.0.1:9181"
THREADS = 4


@click.command("dashboard")
@click.option("--listen", metavar="ADDRESS:PORT", default=LISTEN, show_default=True)
@with_settings
def dashboard_command(*, listen: str, settings: Settings) -> None:
    """Serve rq-dashboard, read only, until stopped.

    Only the admins of the console may look.
    """
    try:
        from lustre_events.web import dashboard  # noqa: PLC0415 - optional
        from lustre_events.web.serving import HEALTH, server_of, shown  # noqa: PLC0415
        from lustre_events.web.wiring import login  # noqa: PLC0415

        dashboard.never_unpickle()
        dashboard.unpack_little()
        app = dashboard.make_app(redis_url(settings), login(settings, listen), settings.web.admins)
    except ModuleNotFoundError as exc:
        raise ConfigError(f"the dashboard needs {exc.name}: pip install 'lustre-events[web,dashboard]'") from exc
    server = server_of(app, listen, THREADS, settings.web.listen_group)
    leave_on_signals()
    click.echo(f"The dashboard is at {shown(listen)}", err=True)
    Notifier().watch(f"serves the dashboard at {listen}", partial(answers_http, listen, HEALTH))
    server.run()
