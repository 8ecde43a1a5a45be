"""`lustre-events history`: who did what to a file or in a directory, and when."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from lustre_events.cli.options import index_of, with_index, with_settings, with_viewer
from lustre_events.config.settings import Settings
from lustre_events.history import formatting
from lustre_events.history.lookup import Former, Teller
from lustre_events.index import open_search
from lustre_events.index.search.hits import printable
from lustre_events.index.visibility import Viewer, user_name
from lustre_events.inspect import history
from lustre_events.inspect.history import ChosenDeeds


@click.command("history")
@click.argument("target", metavar="FID|PATH|DIRECTORY/**")
@click.option("--since", default="", metavar="TIME", help="From then on: 2026-11-22, 2026-11-22T10:00, now-7d.")
@click.option("--until", default="", metavar="TIME", help="Up to then, that day or minute too.")
@click.option("--user", default="", help="Only what this user did: a name or a UID.")
@click.option("--job", default="", metavar="JOBID", help="Only what this job did; * and ? stand for anything.")
@click.option("--types", default="", help="Only these record types, e.g. UNLNK,RENME.")
@click.option("--as-of", default="", metavar="TIME", help="List what was in a directory then.")
@with_viewer
@with_settings
@with_index
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
def history_command(
    target: str,
    *,
    since: str,
    until: str,
    user: str,
    job: str,
    types: str,
    as_of: str,
    viewer: Viewer | None,
    settings: Settings,
    index_url: str | None,
    as_json: bool,
) -> None:
    """Say who did what to a file, or in a directory and all below it (DIRECTORY/**), and when.

    Each line has the time (UTC), what happened, the path at that time, and the user, job and client as far as the
    records say. A path may be one that is gone; renames are followed both ways. Standard error says where the
    history does not reach, or records are missing.
    """
    choice = ChosenDeeds.of(since, until, user, job, types)
    at_ns = history.moment("--as-of", as_of)[1] - 1 if as_of else 0
    path = _below(target, settings.filesystem.mount)
    with (
        open_search(index_of(settings, index_url)) as search,
        history.teller(Path(settings.history.folder), search, viewer) as teller,
    ):
        if as_of:
            _print_former(teller, path, at_ns, as_json=as_json)
            return
        story = history.story(teller, path)
    for deed in choice.of_story(story):
        click.echo(json.dumps(formatting.as_json(deed)) if as_json else formatting.line(deed, printable, user_name))
    for remark in formatting.remarks(story, choice.since_ns):
        click.echo(remark, err=True)


def _print_former(teller: Teller, path: bytes, time_ns: int, *, as_json: bool) -> None:
    former, coverage = teller.as_of(history.objects(teller, path), time_ns)
    for each in former:
        click.echo(json.dumps(_former_json(each)) if as_json else f"{each.fid}  {printable(each.name)}")
    for remark in formatting.coverage_remarks(coverage, time_ns):
        click.echo(remark, err=True)


def _former_json(each: Former) -> dict[str, object]:
    name = each.name.decode("utf-8", "surrogateescape")
    return {"fid": str(each.fid), "name": name, "certain": each.certain}


def _below(target: str, mount: str) -> bytes:
    """Return a path as the index has it: also one that begins with the mount point will do."""
    return os.fsencode(target).removeprefix(os.fsencode(mount).rstrip(b"/") + b"/")
