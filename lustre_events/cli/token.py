"""`lustre-events token`: personal tokens, with which programs ask `lustre-events web`."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from base64 import b64encode
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from lustre_events.cli.options import with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index.opening import open_server
from lustre_events.index.remote import account_answers, credentials
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.remote.transport import HttpsTransport
from lustre_events.index.search.hits import printable, time_text

SCOPES = ("read", "act")


@click.group("token")
def token_command() -> None:
    """Make, list and revoke personal tokens.

    With a token, commands and programs ask a server as you.
    """


_server = click.option("--server", metavar="URL", help="The server, https://HOST. Default: [client] server.")
_as_json = click.option("--json", "as_json", is_flag=True, help="For scripts.")


@token_command.command("create")
@click.option("--label", default="", help="What it is for, as the list shows it.")
@click.option("--scope", "scopes", multiple=True, default=("read",), type=click.Choice(SCOPES), show_default=True,
              help="read: search and look; act: retry, reprocess, keep searches.")  # fmt: skip
@click.option(
    "--days", default=90.0, show_default=True, type=click.FloatRange(min=0.001), help="Days until it expires."
)
@click.option(
    "--user", help="Make it for this user, as root on the console's node. Default: your own, by password."
)
@click.option("--per-minute", default=0, type=click.IntRange(min=0),
              help="With --user: most requests a minute. 0: the site's limit.")  # fmt: skip
@_server
@with_settings
def create(
    *, label: str, scopes: tuple[str, ...], days: float, user: str | None, per_minute: int, server: str | None,
    settings: Settings,
) -> None:  # fmt: skip
    """Make a token. Your own is kept in [client] token_file; one for --user is printed this once."""
    if user is not None:
        secret, _ = _tokens(settings).create(user, label, scopes=scopes, days=days, per_minute=per_minute)
        click.echo(secret)
        return
    body = {"label": label, "scopes": list(scopes), "days": days}
    with _by_password(settings, server) as asking:
        made = asking.send(account_answers.NewTokenAnswer, "POST", "/tokens", body=body)
    path = _keep(settings, made.secret)
    click.echo(f"the token {made.token.id} is kept in {path} until {time_text(made.token.expires_ns)}")
    if server and server != settings.client.server:
        click.echo(f"to leave --server out, run: export LUSTRE_EVENTS_CLIENT_SERVER={server}", err=True)


@token_command.command("keep")
@with_settings
def keep(*, settings: Settings) -> None:
    """Keep a token that the console showed, in [client] token_file. It is asked for, or read from stdin."""
    secret = _asked("Token")
    if not secret.startswith("le_"):
        raise ConfigError("this is not a token; make one in the console, under Tokens")
    click.echo(f"the token is kept in {_keep(settings, secret)}")


@token_command.command("list")
@click.option("--all", "everybody", is_flag=True, help="List those of all users, as root on the console's node.")
@_as_json
@_server
@with_settings
def list_(*, everybody: bool, as_json: bool, server: str | None, settings: Settings) -> None:
    """List your tokens, without their secrets."""
    if everybody:
        found = import_module("lustre_events.web.api.account_operations")
        shown: list[dict[str, Any]] = [found.token_json(each) for each in _tokens(settings).list(None)]
    else:
        with _by_token(settings, server) as asking:
            shown = [_plain(each) for each in asking.get(account_answers.TokensAnswer, "/tokens").tokens]
    _print(shown, as_json=as_json)


@token_command.command("revoke")
@click.argument("number", metavar="ID")
@click.option("--any", "anybody", is_flag=True, help="Also revoke those of others, as root on the console's node.")
@_server
@with_settings
def revoke(number: str, *, anybody: bool, server: str | None, settings: Settings) -> None:
    """End the token ID for ever; `token list` shows the ids."""
    if anybody:
        _tokens(settings).revoke(number, None)
    else:
        with _by_token(settings, server) as asking:
            asking.send(account_answers.TokensAnswer, "DELETE", f"/tokens/{_id(number)}")
    click.echo(f"{number}: revoked")


def _tokens(settings: Settings) -> Any:
    """Return the tokens of the store on this node. Raises ConfigError: this is not its node, or not its account."""
    try:
        web = import_module("lustre_events.web.personal_tokens")
    except ModuleNotFoundError as exc:
        raise ConfigError(f"the console's store needs {exc.name}: pip install 'lustre-events[web]'") from exc
    return web.Tokens(web.Store(Path(settings.web.store)), settings.web.token_days)


def _by_token(settings: Settings, server: str | None) -> RemoteSearch:
    own = settings.client
    secret = credentials.token(own.token_file)
    return open_server(_address(settings, server), secret, ca=own.ca, seconds=own.timeout_seconds)


def _by_password(settings: Settings, server: str | None) -> RemoteSearch:
    address, user = _address(settings, server), getpass.getuser()
    password = _asked(f"Password of {user} at {address}")
    shown = b64encode(f"{user}:{password}".encode()).decode("ascii")
    own = settings.client
    return RemoteSearch(HttpsTransport(address, f"Basic {shown}", ca=own.ca, seconds=own.timeout_seconds))


def _asked(what: str) -> str:
    """Return what a person types, unseen, or the first line of stdin. Raises ConfigError: there is none."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, err=True)).strip()
    found = sys.stdin.readline(4_096).strip()
    if not found:
        raise ConfigError(f"{what}: nothing came from stdin; type it, or send it as a line")
    return found


def _address(settings: Settings, server: str | None) -> str:
    found = server or settings.client.server
    if not found:
        raise ConfigError(
            "no server is named; write it into [client] server, or give --server https://HOST (as root on the "
            "console's node: --user NAME, --all, --any)"
        )
    return found


def _keep(settings: Settings, secret: str) -> Path:
    path = Path(settings.client.token_file).expanduser()
    credentials.write(path, secret)
    if os.environ.get(credentials.VARIABLE):
        click.echo(f"lustre-events: {credentials.VARIABLE} is set, and wins over {path}", err=True)
    return path


def _id(number: str) -> str:
    if not (number.isascii() and number.isalnum()):
        raise ConfigError(f"{number!r} is not a token's id; see: lustre-events token list")
    return number


def _plain(token: account_answers.TokenAnswer) -> dict[str, Any]:
    return {name: getattr(token, name) for name in token.__struct_fields__}


def _print(tokens: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    for each in tokens:
        if as_json:
            click.echo(json.dumps(each))
            continue
        over = each["expires_ns"] <= time.time_ns()
        state = "revoked" if each["revoked"] else "over" if over else f"until {time_text(each['expires_ns'])}"
        used = f"last used {time_text(each['used_ns'])}" if each["used_ns"] else "never used"
        label = printable(each["label"].encode("utf-8", "surrogateescape"))
        click.echo(f"{each['id']}  {each['user']}  {','.join(each['scopes'])}  {state}  {used}  {label}".rstrip())
