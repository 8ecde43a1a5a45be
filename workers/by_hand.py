"""What `python -P -m workers` does by hand, and for others: one function for each command."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from lustre_events.config.settings import Settings
from workers import approvals, listing, trial
from workers.container import ContainerRuntime
from workers.wiring import actions_in, files_of, installed, job_seconds, rights_of, runtime_of

log = logging.getLogger("workers")

Load = Callable[[], Settings]
"""What the actions are given: how to get the settings (`--help` needs none)."""


@click.command("try")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")
@click.argument("target", metavar="FOLDER|NAME")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.pass_obj
def try_command(get: Load, target: str, files: Sequence[str], *, as_json: bool) -> None:
    """Run an extractor on files and print what it finds."""
    own = get().worker
    manifest = trial.find(target, lambda: installed(own)[0])
    runtime, rights = runtime_of(own), rights_of(own)
    paths = [os.fsencode(path) for path in files]
    sys.exit(trial.attempt(manifest, paths, runtime, job_seconds(own), trial.say, as_json=as_json, rights=rights))


@click.command("validate")
@click.argument("target", metavar="FOLDER|NAME")
@click.pass_obj
def validate_command(get: Load, target: str) -> None:
    """Check an extractor's folder."""
    own = get().worker
    manifest = trial.find(target, lambda: installed(own)[0])
    sys.exit(trial.validate(manifest, runtime_of(own), job_seconds(own), trial.say))


@click.command("approve")
@click.option(
    "--kind", type=click.Choice(approvals.KINDS), help="Whether NAME is an extractor or an action, if both exist."
)
@click.argument("target", metavar="NAME")
@click.pass_obj
def approve_command(get: Load, target: str, *, kind: str | None) -> None:
    """Let an extractor or an action run as the owner of each file."""
    settings = get()
    own = settings.worker
    known = {"extractor": lambda: installed(own)[0], "action": lambda: actions_in(settings)}
    manifest = trial.find_one(target, {each: known[each] for each in ([kind] if kind else known)})
    approvals.write(Path(own.approved), manifest, runtime_of(own).provenance(manifest)["image_digest"])
    trial.say(f"{own.approved}: {manifest.identity} {manifest.version} may run as the owner of each file")


@click.command("look")
@click.pass_obj
def look_command(get: Load) -> None:
    """Answer questions about directories, as lines of JSON."""
    sys.exit(listing.serve(sys.stdin, lambda line: print(line, flush=True), files_of(get())))  # noqa: T201


@click.command("unpack")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.pass_obj
def unpack_command(get: Load, names: Sequence[str]) -> None:
    """Unpack images; a worker does that by itself."""
    os.nice(19)
    own = get().worker
    runtime, known = runtime_of(own), installed(own)[0]
    chosen = [known[name] for name in names if name in known]
    for sentence in runtime.unpack(chosen) if isinstance(runtime, ContainerRuntime) else ():
        log.warning("%s", sentence, extra={"action": "unpack"})
