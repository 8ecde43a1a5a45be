"""`python -m bench [STAGE...]`: run measurements and print their figures; `make bench` runs all of them."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from bench import comparison, stages
from bench.options import Options
from lustre_events.errors import LustreEventsError
from lustre_events.node.sandbox import default_images


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--images", default=default_images, type=click.Path(path_type=Path), help="Folder of the built images."
)
@click.option("--records", default=500_000, show_default=True, help="Records for the stages without files.")
@click.option("--files", default=1_000_000, show_default=True, help="Files in the index that is searched.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write the figures as JSON to this file.")
@click.option(
    "--against", type=click.Path(path_type=Path, exists=True), help="Print the figures of this file beside them."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
def main(
    names: tuple[str, ...],
    *,
    images: Path,
    records: int,
    files: int,
    output: Path | None,
    against: Path | None,
    as_json: bool,
) -> None:
    """Measure the stages NAMES (all if none is named)."""
    before = {} if against is None else comparison.read(against)
    logging.getLogger().setLevel(logging.WARNING)  # a line per block is for services
    figures = stages.run(list(names), Options(images, records, files))
    if output is not None:
        output.write_text(stages.to_json(figures) + "\n", encoding="utf-8")
    if as_json:
        click.echo(stages.to_json(figures))
        return
    for line in comparison.lines(figures, before, stages.circumstances()):
        click.echo(line)
    click.echo(", ".join(f"{key} {value}" for key, value in stages.circumstances().items()))


try:
    main(prog_name="python -m bench")
except LustreEventsError as exc:
    click.echo(f"bench: {exc}", err=True)
    sys.exit(exc.exit_code)
