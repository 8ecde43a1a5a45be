"""Runs of actions as somebody may see them: those of files that the viewer may see, with the paths of now.

A file that is gone has no rights that could be asked about, so its runs are for those who see everything. That a
query found a document is for those who may read the document. Endpoints, and what they answered, are for admins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.domain.triggers import DOCUMENT
from lustre_events.index.search.hits import ObjectView
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer

MOST = 200


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the dispatcher tells it; the paths of its object from the mount point on; whether that is there."""

    run: Mapping[str, Any]
    paths: tuple[bytes, ...]
    there: bool


def visible(index: Search, runs: Iterable[Mapping[str, Any]], viewer: Viewer, *, admin: bool) -> list[RunView]:
    """Return those of the runs that a viewer may see, in their order."""
    found = list(runs)
    views = index.show_many({FID.parse(run["fid"]) for run in found}, visible_to=viewer)
    there = {str(view.fid): view for view in views if view.paths}
    seen = (_seen(run, there.get(run["fid"]), viewer, admin=admin) for run in found)
    return [each for each in seen if each is not None]


def _seen(run: Mapping[str, Any], view: ObjectView | None, viewer: Viewer, *, admin: bool) -> RunView | None:
    told = run if admin else {**run, "error": "", "endpoint": "", "status": 0}
    if view is None:
        gone = tuple(str(path).lstrip("/").encode() for path in run["paths"])
        return RunView(told, gone, there=False) if viewer.sees_all else None
    if run["trigger"] == DOCUMENT and not view.documents:
        return None
    job = told["jobid"] if view.facts is not None and view.facts.jobid is not None else None
    return RunView({**told, "jobid": job}, view.paths, there=True)


def with_key(views: Iterable[RunView], key: str) -> RunView | None:
    """Return the first run whose key begins so."""
    return next((each for each in views if key and str(each.run["key"]).startswith(key)), None)


def story(views: Iterable[RunView], key: str) -> tuple[RunView | None, list[RunView], list[RunView]]:
    """Return the run with a key, and those of the same object that came before and after it, in their order."""
    ordered = sorted(views, key=lambda each: (each.run["event_ns"], each.run["made_ns"]))
    place = next((number for number, each in enumerate(ordered) if each.run["key"] == key), None)
    if place is None:
        return None, [], []
    return ordered[place], ordered[:place], ordered[place + 1 :]
