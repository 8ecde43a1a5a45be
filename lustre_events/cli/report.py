"""`lustre-events report`: what goes on in the file system, summed up."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.history.archive import Archive
from lustre_events.history.formatting import coverage_remarks, gap_sentence
from lustre_events.history.whereabouts import Whereabouts
from lustre_events.index import open_search
from lustre_events.index.search.hits import name_text, printable
from lustre_events.index.visibility import user_name
from lustre_events.inspect import activity
from lustre_events.inspect.history import moment


@click.command("report")
@click.option("--activity", "of_activity", is_flag=True, help="Users, jobs and directories with most changes.")
@click.option("--since", default="now-1d", show_default=True, metavar="TIME", help="From then on.")
@click.option("--until", default="now", show_default=True, metavar="TIME", help="Up to then.")
@click.option("--most", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Rows of each kind.")
@with_settings
@with_index
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def report_command(
    *,
    of_activity: bool,
    since: str,
    until: str,
    most: int,
    settings: Settings,
    index_url: str | None,
    as_json: bool,
) -> None:
    """Sum up what goes on. With --activity: from the history, who changed most, where, and how much per hour.

    It reads everything of that time, at some 200,000 records a second. Standard error says what the history lacks.
    """
    if not of_activity:
        raise ConfigError("say what to report: --activity")
    span = (moment("--since", since)[0], moment("--until", until)[1])
    archive = Archive(Path(settings.history.folder))
    found = activity.count(archive.everything(span))
    coverage = archive.coverage
    top = [fid for fid, _ in found.directories.most_common(most)]
    with open_search(index_of(settings, index_url)) as search, search.moment() as (reading, _):
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
