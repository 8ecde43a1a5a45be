"""`lustre-events web-password`: a line for the file of users of the console."""

from __future__ import annotations

import click


@click.command("web-password")
@click.argument("user")
@click.password_option(help="Default: the command asks for it.")
def web_password_command(user: str, password: str) -> None:
    """Print a line for the console's file of users.

    [web] users names this file.
    """
    from werkzeug.security import generate_password_hash  # noqa: PLC0415 - optional

    click.echo(f"{user}:{generate_password_hash(password)}")
