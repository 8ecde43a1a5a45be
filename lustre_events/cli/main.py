"""The command group, and the one place that catches our errors."""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click

from lustre_events.config import places
from lustre_events.config.nearest import nearest
from lustre_events.errors import (
    SYSTEM_REFUSED,
    ConfigError,
    IndexUnavailable,
    LustreEventsError,
    NotAllowed,
    StreamError,
    one_line,
)
from lustre_events.node import logs

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

COMMANDS = (
    "actions", "changelog", "config", "continuity", "courier", "dashboard", "decode", "demo", "dispatcher",
    "doctor", "du", "endpoints", "explain", "extractor", "failed", "fields", "find", "groups", "history",
    "history-keeper", "indexer", "metrics", "pool", "reader", "replay", "report", "rules", "run", "runs", "scan",
    "search", "setup", "show", "status", "tail", "token", "verify", "web", "web-login", "web-password", "worker",
)  # fmt: skip
"""Each stands in the module that has its name, which is imported when asked for: `search` does not load RQ."""


_MISSING = (ConfigError, IndexUnavailable, StreamError)
"""What settings may be missing for."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"lustre_events.cli.{name}"), f"{name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{nearest(args[0], COMMANDS)}")
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
        _say_why(str(exc))
        if _may_lack_settings(exc, arguments) and (more := places.advice()):
            _say_why(more)
        sys.exit(exc.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)  # 128 + SIGPIPE, as a shell would say it
    except OSError as exc:
        if {"-v", "--verbose"} & set(arguments[:1]):
            traceback.print_exc()
        sys.exit(_of_the_system(exc))
    except Exception as exc:
        if not logs.in_journal():
            raise
        log.critical("a bug in lustre-events: %s: %s", type(exc).__name__, exc, exc_info=True,
                     extra={"action": "end"})  # fmt: skip
        sys.exit(1)


def _may_lack_settings(error: LustreEventsError, arguments: Sequence[str]) -> bool:
    """Return whether settings could have helped: not where the command line named them, or what to ask."""
    named = any(each.startswith(("--config", "--server")) for each in arguments)
    return isinstance(error, _MISSING) and not isinstance(error, NotAllowed) and not named


def _of_the_system(error: OSError) -> int:
    """Say what the system refused, e.g. a full disk; what is still to be written to it is given up."""
    what = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the output"
    said = error.strerror or error
    with contextlib.suppress(OSError):
        _say_why(one_line(f"{what}: {said}"))
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries once more at its end, and complains
    return SYSTEM_REFUSED


def _say_why(sentence: str) -> None:
    """Say why this process ends: to a person as one line, to the journal as an error."""
    if logs.in_journal():
        log.error("%s", sentence, extra={"action": "end"})
    else:
        click.echo(f"lustre-events: {sentence}", err=True)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` in a thread of its own on SIGTERM and SIGINT.

    A handler runs between two steps of the main thread, which may hold the very lock that `stop` needs (that of a
    `threading.Event`, say) and would wait for itself for ever.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _thread.start_new_thread(stop, ()))


def leave_on_signals() -> None:
    """Raise SystemExit in the main thread on SIGTERM and SIGINT: servers of WSGI end by that."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
