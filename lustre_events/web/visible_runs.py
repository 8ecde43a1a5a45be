"""The runs of actions that a viewer may see: those of files that the viewer may see, with their present paths.

A file that is gone has no rights that could be asked about, so its runs are for those who see everything. That a
query found a document is for those who may read the document. Endpoints, and what they answered, are for admins.

Runs of a user's own rules are that user's: they are shown without the file where it is no longer visible, and with
what the dispatcher says of them, so that their owner can have them tried again or dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import DEAD, HELD, Maker
from lustre_events.domain.rules.action_rules import user_of
from lustre_events.domain.rules.file_workers import tells_author
from lustre_events.domain.triggers import DOCUMENT
from lustre_events.index.search.hits import ObjectView
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer

MOST = 200
OF_OWN_RULES = {"actions": "own_rules", "release_action": "release_own_rule"}
"""What a user asks for instead of what an admin does."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the dispatcher tells it; the paths of its object from the mount point on; whether that is there.

    `own`: it is one of the viewer's own rules. `made_by`: the run that has made its object.
    """

    run: Mapping[str, Any]
    paths: tuple[bytes, ...]
    there: bool
    own: bool = False
    made_by: Maker | None = None


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Who looks: a name, what that user may see, and whether it is an admin."""

    name: str
    viewer: Viewer
    admin: bool

    def owns(self, run: Mapping[str, Any]) -> bool:
        """Whether a run is one of this user's own rules."""
        return bool(self.name) and user_of(run["rule"]) == self.name and run.get("uid") == self.viewer.uid


def visible(index: Search, runs: Iterable[Mapping[str, Any]], who: Onlooker) -> list[RunView]:
    """Return those of the runs that somebody may see, in their order."""
    found, viewer = list(runs), who.viewer
    views = index.show_many({FID.parse(run["fid"]) for run in found}, visible_to=viewer)
    there = {str(view.fid): view for view in views if view.paths}
    seen = (_seen(run, there.get(run["fid"]), who) for run in found)
    return [each for each in seen if each is not None]


def _seen(run: Mapping[str, Any], view: ObjectView | None, who: Onlooker) -> RunView | None:
    own = who.owns(run)
    told = run if who.admin else {**run, **_for_others(run, own=own)}
    if view is None and who.viewer.sees_all:
        gone = tuple(str(path).lstrip("/").encode() for path in run["paths"])
        return RunView(told, gone, there=False, own=own)
    if view is None or (DOCUMENT in {run["trigger"], run.get("because")} and not view.documents):
        return RunView({**told, "paths": [], "jobid": None}, (), there=False, own=True) if own else None
    job = told["jobid"] if view.facts is not None and view.facts.jobid is not None else None
    return RunView({**told, "jobid": job}, view.paths, there=True, own=own, made_by=view.made_by)


def outputs_of(index: Search, view: RunView, viewer: Viewer) -> list[tuple[bytes, FID]]:
    """Return the files that a run's container has made: those that are there, still its own, and to be seen."""
    told = view.run.get("outputs") if view.run.get("makes") and view.run["ended_ns"] else None
    paths = [os.fsencode(str(path).lstrip("/")) for path in told or ()]
    found = {fid: path for path in paths if (fid := index.fid_of_path(path, visible_to=viewer)) is not None}
    views = index.show_many(found, visible_to=viewer)
    own = [each for each in views if each.made_by is not None and each.made_by.key == view.run["key"]]
    return [(found[each.fid], each.fid) for each in own]


def _for_others(run: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
    """Return what others than admins are told: of an own run where it goes, why nothing was sent, own words."""
    theirs = tells_author(run["rule"], run["endpoint"])
    ours = own and (theirs or run["state"] == HELD or (run["state"] == DEAD and not run["attempts"]))
    endpoint = run["endpoint"] if own else ""
    return {"error": run["error"] if ours else "", "endpoint": endpoint, "status": run["status"] if own else 0}


def with_key(views: Iterable[RunView], key: str) -> RunView | None:
    """Return the first run whose key begins with a given text."""
    return next((each for each in views if key and str(each.run["key"]).startswith(key)), None)


def story(views: Iterable[RunView], key: str) -> tuple[RunView | None, list[RunView], list[RunView]]:
    """Return the run with a key, and those of the same object that came before and after it, in their order."""
    ordered = sorted(views, key=lambda each: (each.run["event_ns"], each.run["made_ns"]))
    place = next((number for number, each in enumerate(ordered) if each.run["key"] == key), None)
    if place is None:
        return None, [], []
    return ordered[place], ordered[:place], ordered[place + 1 :]


def changing(who: Onlooker, keys: Iterable[str], views: Iterable[RunView]) -> dict[str, Any]:
    """Return what to ask the dispatcher: the keys of those runs that somebody sees and may change."""
    may = {each.run["key"] for each in views if who.admin or each.own}
    chosen = [key for key in dict.fromkeys(keys) if key in may]
    whose = {} if who.admin else {"user": who.name, "uid": who.viewer.uid}
    return {"keys": chosen, **whose}


def about_rules(who: Onlooker, action: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what to ask the dispatcher: for admins about all rules and endpoints, for others about their own."""
    if who.admin:
        return action, {**arguments}
    return OF_OWN_RULES[action], {**arguments, "user": who.name, "uid": who.viewer.uid}
