"""`lustre-events report`: what is in the file system, or what goes on there, summed up."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import SearchSource, index_of, with_search, with_viewer
from lustre_events.errors import ConfigError
from lustre_events.history.archive import Archive
from lustre_events.history.formatting import coverage_remarks, gap_sentence
from lustre_events.history.whereabouts import Whereabouts
from lustre_events.index import open_search
from lustre_events.index.search.hits import name_text, printable
from lustre_events.index.visibility import Viewer, user_name
from lustre_events.inspect import activity, inventory
from lustre_events.inspect.history import moment


@click.command("report")
@click.argument("path", default="/")
@with_search
@with_viewer
@click.option("--query", default="", metavar="QUERY", help="Only files that this query finds, as in `search`.")
@click.option(
    "--activity", "of_activity", is_flag=True, help="Report users, jobs and directories with most changes instead."
)
@click.option(
    "--since", default="now-1d", show_default=True, metavar="TIME", help="With --activity: only from this time on."
)
@click.option(
    "--until", default="now", show_default=True, metavar="TIME", help="With --activity: only up to this time."
)
@click.option("--most", default=10, show_default=True, type=click.IntRange(1, 1_000), help="Rows of each kind.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def report_command(
    path: str,
    *,
    source: SearchSource,
    viewer: Viewer | None,
    query: str,
    of_activity: bool,
    since: str,
    until: str,
    most: int,
    as_json: bool,
) -> None:
    """Sum up what is below PATH.

    It counts users, groups, types, extensions, sizes, ages and directories, and lists the largest files. With
    --activity it says from the history who changed most, where, and how much per hour. That reads all records of
    that time, some 200,000 a second; standard error says what the history lacks.
    """
    if of_activity:
        if source.server or viewer is not None or query or path != "/":
            raise ConfigError("--activity covers the whole history on this machine; leave PATH out")
        _activity(source, (since, until), most, as_json=as_json)
        return
    with source.opened() as index:
        mount = source.mount(index)
        inside = source.typed(index, os.fsencode(path)) if path != "/" else b""
        found = inventory.placed(inventory.take(index, inside, mount.query(query), most, viewer), mount)
    if as_json:
        click.echo(json.dumps(inventory.as_json(found)))
        return
    for line in inventory.as_lines(found, bars=sys.stdout.isatty()):
        click.echo(line)


def _activity(source: SearchSource, times: tuple[str, str], most: int, *, as_json: bool) -> None:
    settings, (since, until) = source.settings, times
    span = (moment("--since", since)[0], moment("--until", until)[1])
    archive = Archive(Path(settings.history.folder))
    found = activity.count(archive.everything(span))
    coverage = archive.coverage
    top = [fid for fid, _ in found.directories.most_common(most)]
    with open_search(index_of(settings, source.index_url)) as search, search.moment() as (reading, _):
        whereabouts = Whereabouts(archive, reading.links)
        whereabouts.learn(top)
        paths = {fid: whereabouts.directory(fid, span[1]) for fid in top}

    def shown(fid: FID) -> str:
        return printable(paths[fid])

    if as_json:
        click.echo(json.dumps(activity.as_json(found, most, lambda fid: name_text(paths[fid]))))
    else:
        for line in activity.as_lines(found, most, user_name, printable, shown):
            click.echo(line)
    gaps = map(gap_sentence, coverage.gaps_within(*span))
    for remark in [*gaps, *coverage_remarks(coverage, span[0])]:
        click.echo(remark, err=True)
