"""`lustre-events history`: who did what to a file or in a directory, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import click

from lustre_events.cli.options import SearchSource, with_search, with_viewer
from lustre_events.history import formatting
from lustre_events.index.remote.answers import FormerAnswer, HistoryAnswer
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.search.asking import Asking
from lustre_events.index.search.hits import printable
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from lustre_events.inspect import history
from lustre_events.inspect.history import ChosenDeeds

_EVERYTHING = 1 << 62


@click.command("history")
@click.argument("target", metavar="FID|PATH|DIRECTORY/**")
@click.option(
    "--since", default="", metavar="TIME", help="Only from this time on: 2026-11-22, 2026-11-22T10:00, now-7d."
)
@click.option(
    "--until", default="", metavar="TIME", help="Only up to this time; a day or a minute counts as a whole."
)
@click.option("--user", default="", help="Only what this user did: a name or a UID.")
@click.option("--job", default="", metavar="JOBID", help="Only what this job did; * and ? stand for anything.")
@click.option("--types", default="", help="Only these record types, e.g. UNLNK,RENME.")
@click.option("--as-of", default="", metavar="TIME", help="List what was in a directory at this time.")
@with_viewer
@with_search
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
def history_command(
    target: str, *, as_of: str, viewer: Viewer | None, source: SearchSource, as_json: bool, **narrowed: str
) -> None:
    """Say who did what to a file, and when.

    DIRECTORY/** means a directory and all below it. Each line has the time (UTC), what
    happened, the path at that time, and the user, job and client as far as the records have them. The path may be
    one that is gone; renames are followed in both directions. A line says where records are missing; standard
    error says how far back the history reaches.
    """
    with source.opened() as index:
        path = target.encode("utf-8", "surrogateescape")
        if not target.lstrip("[").startswith("0x"):
            path = source.typed(index, path)
        if as_of:
            former = _former(index, source, viewer, path, as_of)
        else:
            told = _told(index, source, viewer, path, narrowed)
    if as_of:
        _print_former(former, as_json=as_json)
        return
    for time_ns, sentence, deed in _timeline(told):
        text = f"{formatting.time_text(time_ns) if time_ns else '-':19}  {_shown(sentence)}"
        if as_json and deed is not None:
            click.echo(json.dumps(deed))
        else:
            click.echo(text, err=as_json)
    before = [f"{told.before} entries came before these; narrow the time"] if told.before else []
    _remark([*before, *told.remarks])


def _told(
    index: Asking, source: SearchSource, viewer: Viewer | None, path: bytes, narrowed: dict[str, str]
) -> HistoryAnswer:
    if isinstance(index, RemoteSearch):
        return index.history(path, narrowed, visible_to=viewer)
    choice = ChosenDeeds.of(**narrowed)
    with history.teller(_folder(source), cast("Search", index), viewer) as teller:
        return history.happened(teller, path, choice, _EVERYTHING)


def _former(index: Asking, source: SearchSource, viewer: Viewer | None, path: bytes, as_of: str) -> FormerAnswer:
    if isinstance(index, RemoteSearch):
        return index.former(path, as_of, visible_to=viewer)
    at_ns = history.moment("--as-of", as_of)[1] - 1
    with history.teller(_folder(source), cast("Search", index), viewer) as teller:
        return history.stood(teller, path, at_ns)


def _folder(source: SearchSource) -> Path:
    return Path(source.settings.history.folder)


def _timeline(told: HistoryAnswer) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
    """Yield (time, sentence, deed; None: a gap) of deeds, with the gaps where they begin."""
    for each in formatting.timeline(
        told.deeds, told.gaps, lambda deed: int(deed["time_ns"]), lambda gap: gap.after_ns or 0
    ):
        if isinstance(each, dict):
            sentence = each.pop("sentence")
            yield each["time_ns"], sentence, each
        else:
            yield each.after_ns or 0, each.sentence, None


def _print_former(former: FormerAnswer, *, as_json: bool) -> None:
    for each in former.entries:
        click.echo(json.dumps(each) if as_json else f"{each['fid']}  {_shown(each['name'])}")
    _remark([*(gap.sentence for gap in former.gaps), *former.remarks])


def _remark(remarks: Sequence[str]) -> None:
    for remark in remarks:
        click.echo(_shown(remark), err=True)


def _shown(text: str) -> str:
    return printable(text.encode("utf-8", "surrogateescape"))
