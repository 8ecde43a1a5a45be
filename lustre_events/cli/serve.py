"""Commands that run a part of the service: reader, dispatcher, worker, run, replay."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from lustre_events.cli.main import index_of, stop_on_signals, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.inspect import status
from lustre_events.node import process_metrics, wiring
from lustre_events.node.supervisor import Supervisor
from lustre_events.node.systemd import Notifier
from lustre_events.reader import Reader
from lustre_events.repair import replay


@click.command("reader")
@click.option("--mdt", help="The MDT to read, e.g. lustre-MDT0000.")
@click.option("--all", "every", is_flag=True, help="All MDTs of this node, one process each; later ones too.")
@with_settings
@click.pass_context
def reader_command(ctx: click.Context, *, mdt: str | None, every: bool, settings: Settings) -> None:
    """Read one MDT's changelog, or all of this node's, into Redis until stopped."""
    if (mdt is None) is not every:
        raise ConfigError("name one MDT with --mdt lustre-MDT0000, or read those of this node with --all")
    if mdt is None:
        running: Reader | Supervisor = wiring.readers(settings, ctx.obj["config_path"])
    else:
        running = wiring.reader(settings, mdt, Notifier().beat)
        process_metrics.serve(settings.metrics.listen, "reader", mdt)
    stop_on_signals(running.stop)
    running.run()


@click.command("dispatcher")
@with_settings
@with_index
def dispatcher_command(*, settings: Settings, index_url: str | None) -> None:
    """Keep the index and hand out jobs until stopped. One is active; a later one takes over."""
    dispatcher = wiring.dispatcher(settings, index_of(settings, index_url), Notifier().beat)
    process_metrics.serve(settings.metrics.listen, "dispatcher")
    stop_on_signals(dispatcher.stop)
    dispatcher.run()


@click.command("worker")
@click.option("--config", "config_path", envvar="LUSTRE_EVENTS_CONFIG", metavar="FILE", help="Settings (TOML).")
@click.option("--until", metavar="EPOCH_SECONDS", help="Leave in good time before this moment (a Slurm job's end).")
def worker_command(*, config_path: str | None, until: str | None) -> None:
    """Run extractors for one queue until stopped."""
    given = {"--config": config_path, "--until": until}
    options = [word for name, value in given.items() if value is not None for word in (name, value)]
    argv = [sys.executable, "-P", "-m", "workers", *options]
    os.execv(argv[0], argv)  # noqa: S606 - the service names the workers, and never imports them


@click.command("run")
@with_settings
@with_index
@click.pass_context
def run_command(ctx: click.Context, *, settings: Settings, index_url: str | None) -> None:
    """Run readers, dispatcher and a worker on this node, with a private Redis where none is named."""
    with wiring.node(settings, index_of(settings, index_url), ctx.obj["config_path"]) as supervisor:
        stop_on_signals(supervisor.stop)
        supervisor.run()


@click.command("replay")
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--mdt", "files", multiple=True, metavar="NAME=FILE", help="Replay FILE as MDT NAME; may be repeated."
)
@click.option("--sequential", is_flag=True, help="One MDT after the other, in the order given, not interleaved.")
@with_settings
@with_index
def replay_command(
    folder: Path | None, files: tuple[str, ...], *, sequential: bool, settings: Settings, index_url: str | None
) -> None:
    """Put recorded changelogs through reader, stream, dispatcher and index.

    FOLDER holds <MDT>.raw files, gzipped or not.
    """
    logging.getLogger().setLevel(logging.WARNING)  # a line per block is for services
    recordings = replay.recordings(folder, dict(_pair(word) for word in files))
    counters = replay.replay_files(settings, index_of(settings, index_url), recordings, sequential=sequential)
    click.echo("\n".join(status.sums(counters)))


def _pair(word: str) -> tuple[str, Path]:
    name, equals, path = word.partition("=")
    if not equals or not path:
        raise ConfigError(f"--mdt {word}: write it as --mdt lustre-MDT0000=FILE")
    return name, Path(path)
