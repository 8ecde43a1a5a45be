"""`lustre-events explain`: everything that happened to one file, from record to document."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from lustre_events.cli.options import SearchSource, resolve, with_search
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.history import formatting
from lustre_events.index import Search
from lustre_events.index.mount import Mount
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.search.asking import Asking
from lustre_events.index.search.hits import printable
from lustre_events.index.visibility import user_name
from lustre_events.inspect import explain, history
from lustre_events.inspect.explain import Circumstances, Sentence
from lustre_events.inspect.status import Status
from lustre_events.node import status_report, wiring

DEEDS = 5
"""The last deeds in the history that are told; `lustre-events history` tells all."""


@click.command("explain")
@click.argument("target", metavar="FID|PATH")
@with_search
@click.option("--json", "as_json", is_flag=True, help="One JSON object per sentence.")
def explain_command(target: str, *, source: SearchSource, as_json: bool) -> None:
    """Say what happened to a file, and what it waits for.

    It begins with the record and ends with the document. A server says what it knows of a file that you may see;
    rules, queues and workers are shown on a node of the service only.
    """
    with source.opened() as index:
        found = _from_outside if isinstance(index, RemoteSearch) else _from_inside
        for each in found(cast("Any", index), os.fsencode(target), source):
            told = {"sentence": each.text, "waits_for": each.waits_for}
            click.echo(json.dumps(told) if as_json else each.line())


def _named(index: Asking, target: bytes, source: SearchSource) -> bytes:
    return target if target.lstrip(b"[").startswith(b"0x") else source.typed(index, target)


def _from_outside(index: RemoteSearch, target: bytes, source: SearchSource) -> Iterator[Sentence]:
    named = _named(index, target, source)
    done: list[Sentence] = []
    with contextlib.suppress(ConfigError):  # none is kept there, or it tells nothing of this file
        deeds = index.history(named, {}, most=DEEDS).deeds
        done = [Sentence(f"history: {formatting.time_text(each['time_ns'])}  {each['sentence']}") for each in deeds]
    known = Circumstances(Status(time_ns=time.time_ns()), None, None)
    try:
        view = index.show(resolve(index, named, None, Mount(b"")))
    except ConfigError:
        yield from explain.unknown(named, known.status)
        yield from done
        return
    yield from done
    yield from explain.sentences(view, known)
    yield Sentence(explain.FROM_OUTSIDE)


def _from_inside(index: Search, target: bytes, source: SearchSource) -> Iterator[Sentence]:
    settings, named = source.settings, _named(index, target, source)
    deeds = history.last_deeds(Path(settings.history.folder), index, named, None, DEEDS)
    done = [Sentence(f"history: {formatting.line(deed, printable, user_name)}") for deed in deeds]
    try:
        view = index.show(resolve(index, named, None, Mount(b"")))
    except ConfigError:
        yield from explain.unknown(named, _circumstances(settings, ()).status, there=_is_there(named, settings))
        yield from done
        return
    yield from done
    known = _circumstances(settings, {row.job for row in view.pending if row.job is not None})
    if known.rules is not None:  # the index has those of files in directories, too
        here = [glob for glob in index.left_out() if glob not in known.rules.left_out]
        known = replace(known, rules=known.rules.leaving_out(here, written=False))
    yield from explain.sentences(view, known)


def _is_there(named: bytes, settings: Settings) -> bool:
    """Return whether the file system may have what was named; where it is not mounted, or closed, it may."""
    mount = settings.filesystem.mount
    if named.lstrip(b"[").startswith(b"0x") or not os.path.isdir(mount):  # noqa: PTH112
        return True
    try:
        os.lstat(Mount.at(mount).whole(named))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def _circumstances(settings: Settings, jobs: Collection[str]) -> Circumstances:
    status, states = status_report.standing(settings, jobs)
    try:
        return Circumstances(status, states, wiring.load_rules(settings))
    except LustreEventsError as exc:
        return Circumstances(status, states, None, str(exc))
