"""`lustre-events explain`: everything that happened to one file, from record to document."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import click

from lustre_events.cli.options import here, index_of, resolve, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.history import formatting
from lustre_events.index import Search, open_search
from lustre_events.index.mount import Mount
from lustre_events.index.visibility import user_name
from lustre_events.inspect import explain, history
from lustre_events.inspect.explain import Circumstances, Sentence
from lustre_events.node import status_report, wiring

DEEDS = 5
"""Most entries of the history that are shown; `lustre-events history` shows all."""


@click.command("explain")
@click.argument("target", metavar="FID|PATH")
@with_settings
@with_index
@click.option("--json", "as_json", is_flag=True, help="One JSON object per sentence.")
def explain_command(target: str, *, settings: Settings, index_url: str | None, as_json: bool) -> None:
    """Say what happened to a file, from record to document, and what it waits for."""
    with open_search(index_of(settings, index_url)) as search:
        for each in _sentences(search, os.fsencode(target), settings):
            told = {"sentence": each.text, "waits_for": each.waits_for}
            click.echo(json.dumps(told) if as_json else each.line())


def _sentences(search: Search, target: bytes, settings: Settings) -> Iterator[Sentence]:
    mount = Mount.at(settings.filesystem.mount)
    named = target if target.lstrip(b"[").startswith(b"0x") else mount.inside(target, here())
    deeds = history.last_deeds(Path(settings.history.folder), search, named, None, DEEDS)
    done = [Sentence(f"history: {formatting.line(deed, _shown, user_name)}") for deed in deeds]
    try:
        view = search.show(resolve(search, named, None, Mount(b"")))
    except ConfigError:
        yield from explain.unknown(named, _circumstances(settings, ()).status)
        yield from done
        return
    yield from done
    known = _circumstances(settings, {row.job for row in view.pending if row.job is not None})
    yield from explain.sentences(view, known)


def _shown(name: bytes) -> str:
    """Return a path as text; `Sentence.line` makes it safe for a terminal."""
    return name.decode("utf-8", "surrogateescape")


def _circumstances(settings: Settings, jobs: Collection[str]) -> Circumstances:
    status, states = status_report.standing(settings, jobs)
    try:
        return Circumstances(status, states, wiring.load_rules(settings))
    except LustreEventsError as exc:
        return Circumstances(status, states, None, str(exc))
