"""The command group, the options that many commands share, and the one place that catches our errors."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lustre_events.config import settings as config
from lustre_events.errors import LustreEventsError
from lustre_events.node import logs

F = TypeVar("F", bound=Callable[..., Any])

LAZY = {
    "changelog": "changelog",
    "config": "config",
    "continuity": "streams",
    "decode": "look",
    "demo": "demo",
    "dispatcher": "serve",
    "doctor": "doctor",
    "du": "search",
    "explain": "explain",
    "extractor": "extractor",
    "failed": "failed",
    "groups": "streams",
    "metrics": "metrics",
    "reader": "serve",
    "replay": "serve",
    "rules": "rules",
    "run": "serve",
    "scan": "scan",
    "search": "search",
    "show": "look",
    "status": "status",
    "tail": "streams",
    "web": "web",
    "web-password": "web",
    "verify": "scan",
    "worker": "serve",
}
"""Command → module of this package; imported when asked for, so that `search` does not load RQ."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(LAZY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in LAZY:
            return None
        module = __import__(f"lustre_events.cli.{LAZY[cmd_name]}", fromlist=[cmd_name])
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in LAZY and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{config.nearest(args[0], tuple(LAZY))}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show debug logs, and tracebacks of expected failures.")
@click.version_option(package_name="lustre-events")
@click.pass_context
def cli(ctx: click.Context, *, verbose: bool) -> None:
    """Turn every change in a Lustre file system into a searchable document."""
    ctx.obj = {"verbose": verbose}
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[logs.handler()])


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code that errors.py names."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        cli.main(arguments, prog_name="lustre-events", standalone_mode=True)
    except LustreEventsError as exc:
        if {"-v", "--verbose"} & set(arguments[:1]):
            traceback.print_exc()
        click.echo(f"lustre-events: {exc}", err=True)
        sys.exit(exc.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)  # 128 + SIGPIPE, as a shell would say it


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def with_settings(command: F) -> F:
    """Give a command `--config FILE` and pass it the loaded settings as `settings`."""

    def load(ctx: click.Context, _option: click.Parameter, path: str | None) -> config.Settings:
        ctx.obj["config_path"] = path  # for children that load the same file
        return config.load(Path(path) if path else None)

    return click.option(
        "--config",
        "settings",
        envvar="LUSTRE_EVENTS_CONFIG",
        metavar="FILE",
        callback=load,
        help="Settings (TOML); see: lustre-events config example",
    )(command)


def with_index(command: F) -> F:
    """Give a command `--index URL`, which wins over the settings."""
    return click.option(
        "--index",
        "index_url",
        metavar="URL",
        help="The index: sqlite:///PATH or postgresql://... Default: [index] url of the settings.",
    )(command)


def index_of(settings: config.Settings, url: str | None) -> str:
    """Return the URL that the command line gave, else the one of the settings."""
    return url or settings.index.url
