"""`lustre-events du`: sums of a tree."""

from __future__ import annotations

import click

from lustre_events.cli.options import SearchSource, with_search, with_viewer
from lustre_events.cli.output import as_csv, as_json, print_facets, print_hints
from lustre_events.index.visibility import Viewer


@click.command("du")
@click.argument("path")
@with_search
@with_viewer
@click.option(
    "--by", default="owner", show_default=True, help="owner, group, ext, extractor, type, mime, or a key."
)
@as_json
@as_csv
def du_command(
    path: str,
    *,
    source: SearchSource,
    viewer: Viewer | None,
    by: str,
    style: str | None,
) -> None:
    """Sum up files and bytes of PATH and all below it.

    A file with several names counts once.
    """
    with source.opened() as index:
        found = index.du(source.typed(index, path.encode("utf-8", "surrogateescape")), by, visible_to=viewer)
        print_facets({by: found}, style)
        if not found:
            print_hints(index.hints("*", fields=[by], visible_to=viewer))
