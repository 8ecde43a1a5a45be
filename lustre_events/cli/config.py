"""`lustre-events config`: show every setting, check a file."""

from __future__ import annotations

from pathlib import Path

import click

from lustre_events.config.settings import example, load
from lustre_events.node import wiring


@click.group("config")
def config_command() -> None:
    """Show or check the settings."""


@config_command.command("example")
def print_example() -> None:
    """Print every setting, with its default and what it means."""
    click.echo(example(), nl=False)


@config_command.command("check")
@click.argument("path", type=click.Path(path_type=Path))
def check(path: Path) -> None:
    """Check a settings file, and the rules file that it names."""
    settings = load(path)
    rules = wiring.load_rules(settings)
    click.echo(f"{path}: ok, rules for {', '.join(sorted(rules.extractors)) or 'nothing but the built-in stat'}")
