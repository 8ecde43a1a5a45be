"""The pages of actions: runs of files and rules, one run with what caused it and what followed, what is held."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.wrappers import Response

from lustre_events.domain.action_run import DEAD, HELD, STATES
from lustre_events.errors import ConfigError, StreamError
from lustre_events.web import narrowing, signin
from lustre_events.web.visible_runs import (
    MOST,
    Onlooker,
    RunView,
    about_rules,
    changing,
    outputs_of,
    story,
    visible,
    with_key,
)

pages = flask.Blueprint("actions", __name__)

CHANGES = {"retry": "retry_runs", "release": "release_runs", "drop": "drop_runs"}


@pages.get("/actions")
def actions() -> str:
    """Show runs, the newest first: of a rule, in a state, of a file. Above them are own rules; admins see all."""
    given = flask.request.args
    asked = {name: given.get(name, "").strip() for name in ("rule", "state", "trigger", "fid")}
    wanted = {"rule": asked["rule"], "fid": asked["fid"], "states": [asked["state"]] if asked["state"] else []}
    found = None if asked["fid"] else _asked(*about_rules(_onlooker(), "actions", {}))
    views = [each for each in _visible(wanted) if asked["trigger"] in {"", each.run["trigger"]}]
    mine = signin.person().admin or any(each.own for each in views)
    return flask.render_template(
        "actions.html", views=views, asked=asked, states=STATES, actions=found, again=(DEAD, HELD), mine=mine,
        most=MOST, address=lambda narrowed: _address(asked, narrowed), **_beside(asked, views),
    )  # fmt: skip


def _beside(asked: dict[str, str], views: list[RunView]) -> dict[str, Any]:
    """Return what narrows the runs and what is asked already; one file is asked for from its page only."""
    beside = narrowing.counted(asked, (each.run for each in views))
    return {**beside, "facets": {name: found for name, found in beside["facets"].items() if name != "fid"}}


def _address(asked: dict[str, str], narrowed: str) -> str:
    """Return the address of the page with a field as `NAME:VALUE` says."""
    name, _, value = narrowed.partition(":")
    wanted: dict[str, Any] = {**asked, name: value}
    return flask.url_for("actions.actions", **wanted)


@pages.get("/actions/runs/<key>")
def run(key: str) -> str:
    """Show one run: the record that caused it, its rule, how it went, and the other runs of the same object."""
    first = with_key(_visible({"key": key}), key)
    others = _visible({"fid": first.run["fid"]}) if first is not None else []
    one, before, after = story(others, first.run["key"] if first is not None else "")
    if one is None:
        flask.abort(404, "There is no such run, or you may not see its file.")
    with flask.current_app.extensions["site"].search() as index:
        outputs = outputs_of(index, one, signin.person().viewer)
    return flask.render_template(
        "run.html", view=one, before=before, after=after, outputs=outputs, again=(DEAD, HELD)
    )


@pages.post("/actions/runs")
def change() -> Response:
    """Retry runs, let held ones continue, or drop them: admins all that they see, others those of own rules."""
    form, who = flask.request.form, _onlooker()
    action = CHANGES.get(form.get("action", ""), "retry_runs")
    keys = form.getlist("key")[:MOST]
    asked = changing(who, keys, [each for key in keys for each in _visible({"key": key})])
    if keys and not asked["keys"] and not who.admin:
        flask.abort(403, "You may change runs of your own rules; only admins ([web] admins) change others.")
    if asked["keys"]:
        done = _asked(action, asked)["runs"]
        flask.flash(f"{'Dropped' if action == 'drop_runs' else 'To be retried'}: {done} runs.")
    asked_for: dict[str, Any] = {name: form.get(name, "") for name in ("rule", "state", "trigger")}
    return flask.redirect(flask.url_for("actions.actions", **asked_for))


@pages.post("/actions/hold")
def hold() -> Response:
    """Hold or release a rule or an endpoint; for admins. Others release own rules that a guard holds."""
    form = flask.request.form
    arguments = {"name": form.get("name", ""), "kind": form.get("kind", "")}
    if form.get("action") == "release":
        _asked(*about_rules(_onlooker(), "release_action", arguments))
        flask.flash(f"{arguments['name']} is released: its runs go on.")
    else:
        _asked("hold_action", {**arguments, "why": f"{_admit().name} holds it"})
        flask.flash(f"{arguments['name']} is held: its runs wait until it is released.")
    return flask.redirect(flask.url_for("actions.actions"))


def _admit() -> signin.Person:
    person = signin.person()
    if not person.admin:
        flask.abort(403, "Only admins ([web] admins) may hold rules and endpoints.")
    return person


def _visible(wanted: dict[str, Any]) -> list[RunView]:
    site = flask.current_app.extensions["site"]
    found = _asked("runs", {**wanted, "limit": MOST})["runs"]
    with site.search() as index:
        return visible(index, found, _onlooker())


def _onlooker() -> Onlooker:
    person = signin.person()
    return Onlooker(person.name, person.viewer, person.admin)


def _asked(action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Ask the dispatcher, who has the ledger; what it refuses, or that it is away, is a page with the sentence."""
    try:
        answer: dict[str, Any] = flask.current_app.extensions["site"].ask(action, arguments)
    except StreamError as exc:
        flask.abort(503, str(exc))
    except ConfigError as exc:
        flask.abort(400, str(exc))
    return answer
