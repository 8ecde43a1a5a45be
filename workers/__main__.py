"""`python -P -m workers`: a worker, set up by the service's file, until SIGTERM; or a trial by hand."""

from __future__ import annotations

import sys

# Without -P, `-m` puts the current directory first: a file rq.py in it would run in place of the module.
if not sys.flags.safe_path and not (__file__ or "").startswith(sys.path[0] + "/"):
    del sys.path[0]

import logging
import os
import signal
from functools import partial
from importlib import import_module
from pathlib import Path

import click

from lustre_events.config import places
from lustre_events.config.settings import Settings
from lustre_events.errors import LustreEventsError
from lustre_events.node import logs
from workers.no_atime import quietly

log = logging.getLogger("workers")
_YEAR_3000 = 32_503_680_000.0


def _moment(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < _YEAR_3000:
        raise ValueError(text)
    return seconds


class _ByHand(click.Group):
    """Commands that are loaded when asked for: a worker that begins anew in its namespace has loaded little."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return ["approve", "look", "try", "unpack", "validate"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(import_module("workers.by_hand"), f"{cmd_name}_command")
        return command


@click.group(cls=_ByHand, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    metavar="FILE",
    envvar="LUSTRE_EVENTS_CONFIG",
    type=click.Path(path_type=Path),
    help="Settings (TOML), else $LUSTRE_EVENTS_CONFIG, else the usual files; variables for single settings win.",
)
@click.option(
    "--until",
    type=_moment,
    metavar="EPOCH_SECONDS",
    help="End before this moment, e.g. the end of a Slurm job: take no job for which it is too late.",
)
@click.option(
    "--instance",
    metavar="NAME",
    default="",
    help="`builtin`: serve the queue of what is built in alone; `actions`: that of actions; `transfers`: that of "
    "copies; `transfers-2`: as one more worker.",
)
@click.option("--as-mounted", is_flag=True, hidden=True)
@click.pass_context
def cli(context: click.Context, *, path: Path | None, until: float | None, instance: str, as_mounted: bool) -> None:
    """Run one worker, or do one ACTION by hand."""
    context.obj = partial(places.settings, path)
    by_hand = context.invoked_subcommand not in {None, "unpack"}
    logging.basicConfig(level=logging.ERROR if by_hand else logging.INFO, handlers=[logs.handler()])
    if context.invoked_subcommand is None:
        try:
            _work(context.obj(), until, instance, as_mounted=as_mounted)
        except LustreEventsError as exc:
            log.error("%s", exc)  # noqa: TRY400 - an expected failure is one sentence
            sys.exit(exc.exit_code)


def _work(settings: Settings, until: float | None, instance: str, *, as_mounted: bool) -> None:
    again = [sys.executable, "-P", "-m", "workers", *sys.argv[1:], "--as-mounted"]
    if not as_mounted and (command := quietly(settings.filesystem.mount, again)):
        os.execvp(command[0], command)  # noqa: S606 - this process itself, in a namespace of its own
    for number in (signal.SIGTERM, signal.SIGINT):  # until RQ's own handlers are there
        signal.signal(number, lambda *_: sys.exit(0))
    from workers.queue_service import serve  # noqa: PLC0415 - a second of loading, for what goes on

    serve(settings, until, instance, again)


def main() -> None:
    """Run the command line and exit with the code that errors.py names."""
    try:
        cli.main(prog_name="python -P -m workers")
    except LustreEventsError as exc:
        click.echo(f"lustre-events: {exc}", err=True)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
