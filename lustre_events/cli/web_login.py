"""`lustre-events web-login`: one login of the console by PAM, for the unit lustre-events-login@."""

from __future__ import annotations

import sys

import click

from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError


@click.command("web-login")
@with_settings
def web_login_command(*, settings: Settings) -> None:
    """Ask PAM whether a user's password is right.

    lustre-events-login.socket starts it; it is not for people.
    """
    from lustre_events.web import pam  # noqa: PLC0415 - optional

    if settings.web.login != "pam":
        raise ConfigError('[web] login is not "pam", so this process has nothing to do')
    sys.stdout.buffer.write(pam.answer(sys.stdin.buffer, pam.by_pam(settings.web.pam_service)))
