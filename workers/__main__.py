"""`python -P -m workers`: a worker, set up by the service's file, until SIGTERM; or a trial by hand."""

from __future__ import annotations

import sys

# Without -P, `-m` puts the current directory first: a file rq.py in it would run in place of the module.
if not sys.flags.safe_path and not (__file__ or "").startswith(sys.path[0] + "/"):
    del sys.path[0]

import logging
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
from rq.defaults import RQ_KEY_PREFIX

from lustre_events.config import places
from lustre_events.config.settings import Settings
from lustre_events.errors import LustreEventsError
from lustre_events.jobs.messages import queue_of_instance
from lustre_events.node import logs, process_metrics
from lustre_events.node.systemd import Notifier
from workers import approvals, cgroups, listing, trial
from workers.container import ContainerRuntime
from workers.no_atime import quietly
from workers.wiring import (
    actions_in,
    files_of,
    for_queue,
    installed,
    job_seconds,
    rights_of,
    rq_prefix,
    runtime_of,
    worker,
)

log = logging.getLogger("workers")
_YEAR_3000 = 32_503_680_000.0


def _moment(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < _YEAR_3000:
        raise ValueError(text)
    return seconds


Load = Callable[[], Settings]
"""What the actions are given: how to get the settings (`--help` needs none)."""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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
            _work(context.obj, until, instance, as_mounted=as_mounted)
        except LustreEventsError as exc:
            log.error("%s", exc)  # noqa: TRY400 - an expected failure is one sentence
            sys.exit(exc.exit_code)


def _work(get: Load, until: float | None, instance: str, *, as_mounted: bool) -> None:
    settings = for_queue(get(), queue_of_instance(instance))
    again = [sys.executable, "-P", "-m", "workers", *sys.argv[1:], "--as-mounted"]
    prefix = rq_prefix(settings.worker)
    if prefix != RQ_KEY_PREFIX:  # RQ reads it when it is imported
        os.execve(again[0], again[:-1], {**os.environ, "RQ_KEY_PREFIX": prefix})  # noqa: S606 - this process itself
    if not as_mounted and (command := quietly(settings.filesystem.mount, again)):
        os.execvp(command[0], command)  # noqa: S606 - this process itself, in a namespace of its own
    for number in (signal.SIGTERM, signal.SIGINT):  # until RQ's own handlers are there
        signal.signal(number, lambda *_: sys.exit(0))
    notifier = Notifier()
    cgroups.settle()
    own = worker(settings, until, notifier.beat)
    (queue,) = own.queue_names()
    process_metrics.serve(settings.metrics.listen, "worker", queue)
    notifier.beat(f"takes jobs of the queue {queue}")
    own.work(logging_level="WARNING")


@cli.command("try")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")
@click.argument("target", metavar="FOLDER|NAME")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.pass_obj
def try_(get: Load, target: str, files: Sequence[str], *, as_json: bool) -> None:
    """Run an extractor on files and print what it finds."""
    own = get().worker
    manifest = trial.find(target, lambda: installed(own)[0])
    runtime, rights = runtime_of(own), rights_of(own)
    paths = [os.fsencode(path) for path in files]
    sys.exit(trial.attempt(manifest, paths, runtime, job_seconds(own), trial.say, as_json=as_json, rights=rights))


@cli.command()
@click.argument("target", metavar="FOLDER|NAME")
@click.pass_obj
def validate(get: Load, target: str) -> None:
    """Check an extractor's folder."""
    own = get().worker
    manifest = trial.find(target, lambda: installed(own)[0])
    sys.exit(trial.validate(manifest, runtime_of(own), job_seconds(own), trial.say))


@cli.command()
@click.option("--kind", type=click.Choice(approvals.KINDS), help="What it is, where both have this name.")
@click.argument("target", metavar="NAME")
@click.pass_obj
def approve(get: Load, target: str, *, kind: str | None) -> None:
    """Let an extractor or an action run as the owner of each file."""
    settings = get()
    own = settings.worker
    known = {"extractor": lambda: installed(own)[0], "action": lambda: actions_in(settings)}
    manifest = trial.find_one(target, {each: known[each] for each in ([kind] if kind else known)})
    approvals.write(Path(own.approved), manifest, runtime_of(own).provenance(manifest)["image_digest"])
    trial.say(f"{own.approved}: {manifest.identity} {manifest.version} may run as the owner of each file")


@cli.command()
@click.pass_obj
def look(get: Load) -> None:
    """Answer questions about directories, as lines of JSON."""
    sys.exit(listing.serve(sys.stdin, lambda line: print(line, flush=True), files_of(get())))  # noqa: T201


@cli.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.pass_obj
def unpack(get: Load, names: Sequence[str]) -> None:
    """Unpack images; a worker does that by itself."""
    os.nice(19)
    own = get().worker
    runtime, known = runtime_of(own), installed(own)[0]
    chosen = [known[name] for name in names if name in known]
    for sentence in runtime.unpack(chosen) if isinstance(runtime, ContainerRuntime) else ():
        log.warning("%s", sentence, extra={"action": "unpack"})


def main() -> None:
    """Run the command line and exit with the code that errors.py names."""
    try:
        cli.main(prog_name="python -P -m workers")
    except LustreEventsError as exc:
        click.echo(f"lustre-events: {exc}", err=True)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
