"""`lustre-events replay`: recorded changelogs through the whole way."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.inspect import status
from lustre_events.repair import replay


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
    """Index recorded changelogs, as if they came from an MDT.

    They pass through reader, stream, dispatcher and index.

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
