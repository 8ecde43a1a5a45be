"""`lustre-events worker`: run extractors."""

from __future__ import annotations

import os
import sys

import click


@click.command("worker")
@click.option("--config", "config_path", envvar="LUSTRE_EVENTS_CONFIG", metavar="FILE", help="Settings (TOML).")
@click.option("--until", metavar="EPOCH_SECONDS", help="End before this moment, e.g. the end of a Slurm job.")
@click.option(
    "--instance",
    metavar="NAME",
    help="`builtin` serves the queue of `stat`, `heal` and `scan` alone, `actions` runs actions, `transfers` makes "
    "copies; `transfers-2` is one more of these. Any other name is just a name.",
)
def worker_command(*, config_path: str | None, until: str | None, instance: str | None) -> None:
    """Run extractors for one queue until stopped.

    Each node with workers also needs one with --instance builtin.
    """
    given = {"--config": config_path, "--until": until, "--instance": instance}
    options = [word for name, value in given.items() if value is not None for word in (name, value)]
    argv = [sys.executable, "-P", "-m", "workers", *options]
    os.execv(argv[0], argv)  # noqa: S606 - the service names the workers, and never imports them
