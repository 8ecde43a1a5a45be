"""Commands that show what it does and how fast: demo, bench."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from lustre_events import bench, demo
from lustre_events.sandbox import default_images

images_option = click.option(
    "--images", default=default_images, type=click.Path(path_type=Path), help="Folder of the built images."
)


@click.command("demo")
@images_option
@click.option("--keep", is_flag=True, help="Keep it running afterwards, to drop files in.")
def demo_command(*, images: Path, keep: bool) -> None:
    """Run the main job on this machine: write files, wait, search, change them, search again."""
    demo.run(images, click.echo, keep=keep)


@click.command("bench")
@click.argument("names", nargs=-1)
@images_option
@click.option("--records", default=500_000, show_default=True, help="Records for the stages without files.")
@click.option("--files", default=1_000_000, show_default=True, help="Files in the index that is searched.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write the figures as JSON to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
def bench_command(
    names: tuple[str, ...], *, images: Path, records: int, files: int, output: Path | None, as_json: bool
) -> None:
    """Measure the stages NAMES (all if none is named)."""
    logging.getLogger().setLevel(logging.WARNING)  # a line per block is for services
    figures = bench.run(list(names), bench.Options(images, records, files))
    if output is not None:
        output.write_text(bench.to_json(figures) + "\n", encoding="utf-8")
    if as_json:
        click.echo(bench.to_json(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:34}{value:14,.2f}")
    click.echo(", ".join(f"{key} {value}" for key, value in bench.circumstances().items()))
