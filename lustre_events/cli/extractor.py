"""`lustre-events extractor`: a user's way to an extractor of their own: init, validate, try, list."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from lustre_events import manifest, starter
from lustre_events.cli.main import with_settings
from lustre_events.config import Settings

config_option = click.option(
    "--config", "config_path", envvar="LUSTRE_EVENTS_CONFIG", metavar="FILE", help="Settings (TOML)."
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")


@click.group("extractor")
def extractor_command() -> None:
    """Make, check, try and list extractors."""


@extractor_command.command("init")
@click.argument("folder", metavar="NAME", type=click.Path(path_type=Path))
@click.option(
    "--contract",
    type=click.Choice(manifest.CONTRACTS),
    default="batch",
    show_default=True,
    help="Many files per run, or one.",
)
def init(folder: Path, *, contract: str) -> None:
    """Make a folder with an extractor that works at once, to be changed. NAME may be a path."""
    for path in starter.write(folder, contract):
        click.echo(path)


@extractor_command.command("validate")
@click.argument("target", metavar="FOLDER|NAME")
@config_option
def validate(target: str, *, config_path: str | None) -> None:
    """Check an extractor: manifest, program, image, and what it makes of its samples."""
    _workers(config_path, "validate", target)


@extractor_command.command("try")
@click.argument("target", metavar="FOLDER|NAME")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@as_json_option
@config_option
def try_(target: str, files: tuple[str, ...], *, as_json: bool, config_path: str | None) -> None:
    """Run an extractor on files as a worker would, and print each document or why there is none."""
    _workers(config_path, "try", *(["--json"] if as_json else []), target, "--", *files)


@extractor_command.command("list")
@with_settings
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_(*, settings: Settings, as_json: bool) -> None:
    """List the installed extractors."""
    installed = manifest.load_all(manifest.folders(settings.worker.extractors))
    for each in sorted(installed.values(), key=lambda one: one.name):
        click.echo(manifest.to_json(each) if as_json else f"{each.name:<12} {each.version:<6} {each.description}")


def _workers(config_path: str | None, *words: str) -> NoReturn:
    argv = [sys.executable, "-m", "workers", *(["--config", config_path] if config_path else []), *words]
    os.execv(argv[0], argv)  # noqa: S606 - the service names the workers, and never imports them
