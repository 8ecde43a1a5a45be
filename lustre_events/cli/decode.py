"""`lustre-events decode`: raw changelog records as text."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import BinaryIO, cast

import click

from lustre_events.changelog.text import decode_file


@click.command("decode")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
def decode_command(path: Path, *, as_json: bool) -> None:
    """Print raw changelog records as `lfs changelog` does. PATH may be gzipped; - is standard input."""
    out = sys.stdout.buffer
    with _opened(path) as stream:
        try:
            decode_file(stream, out.write, as_json=as_json)
        finally:
            out.flush()


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        return sys.stdin.buffer
    opener = gzip.open if path.suffix == ".gz" else open
    return cast("BinaryIO", opener(path, "rb"))
