"""Operations on actions: runs for files that the user may see; for admins, also all rules and endpoints."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from lustre_events.domain.action_run import STATES
from lustre_events.errors import ConfigError, NotAllowed
from lustre_events.index.remote import action_answers as answers
from lustre_events.web.api.calls import Call
from lustre_events.web.api.operation import Operation, Parameter
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


class RunKeys(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Runs, by their keys."""

    keys: Annotated[list[str], msgspec.Meta(max_length=MOST)]


class Named(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A rule of an action, or an endpoint: `kind` is `endpoint` where a rule has that name, too."""

    name: str
    kind: str = ""
    why: str = ""


def runs(call: Call) -> dict[str, Any]:
    """Answer with runs, the newest first."""
    given = call.given
    wanted = {"rule": given["rule"], "fid": given["fid"], "states": [given["state"]] if given["state"] else []}
    return {"runs": [_json(call, each) for each in _visible(call, wanted, given["limit"])]}


def run(call: Call) -> dict[str, Any]:
    """Answer with one run, and those of the same object before and after it."""
    key = call.given["key"]
    first = with_key(_visible(call, {"key": key}, 1), key)
    others = _visible(call, {"fid": first.run["fid"]}, MOST) if first is not None else []
    one, before, after = story(others, first.run["key"] if first is not None else "")
    if one is None:
        raise ConfigError(f"there is no run {key!r}, or you may not see its file")
    before_json, after_json = ([_json(call, each) for each in some] for some in (before, after))
    with call.search() as index:
        made = outputs_of(index, one, call.viewer)
    return {
        "run": _json(call, one), "before": before_json, "after": after_json,
        "made": [{"path": _path(call, path), "fid": str(fid)} for path, fid in made],
        "made_by": None if one.made_by is None else msgspec.to_builtins(one.made_by),
    }  # fmt: skip


def retry(call: Call) -> dict[str, Any]:
    """Retry dead and held runs."""
    return _change(call, "retry_runs")


def release_runs(call: Call) -> dict[str, Any]:
    """Let held runs continue."""
    return _change(call, "release_runs")


def drop(call: Call) -> dict[str, Any]:
    """Drop dead and held runs."""
    return _change(call, "drop_runs")


def actions(call: Call) -> dict[str, Any]:
    """Answer with rules and endpoints, their open runs, and what is held; only admins see others' rules."""
    found = call.site.ask(*about_rules(_onlooker(call), "actions", {}))
    return {"rules": found["rules"], "endpoints": found["endpoints"]}


def hold(call: Call) -> dict[str, Any]:
    """Hold a rule or an endpoint."""
    _admit(call)
    why = call.body.why or f"{call.user} holds it"
    done = call.site.ask("hold_action", {"name": call.body.name, "kind": call.body.kind, "why": why})
    return {"name": call.body.name, "kind": str(done["kind"]), "held": True}


def release(call: Call) -> dict[str, Any]:
    """Release a rule or an endpoint: admins any, others a rule of their own that a guard holds."""
    asked = {"name": call.body.name, "kind": call.body.kind}
    done = call.site.ask(*about_rules(_onlooker(call), "release_action", asked))
    return {"name": call.body.name, "kind": str(done["kind"]), "held": False}


def _change(call: Call, action: str) -> dict[str, Any]:
    keys = list(dict.fromkeys(call.body.keys))
    asked = changing(_onlooker(call), keys, [each for key in keys for each in _visible(call, {"key": key}, 1)])
    return {"runs": int(call.site.ask(action, asked)["runs"]) if asked["keys"] else 0}


def _onlooker(call: Call) -> Onlooker:
    return Onlooker(call.user, call.viewer, _admin(call))


def _admin(call: Call) -> bool:
    return call.viewer.sees_all or call.user in call.site.settings.admins


def _admit(call: Call) -> None:
    if not _admin(call):
        raise NotAllowed("only admins ([web] admins) may hold rules and endpoints")


def _visible(call: Call, wanted: dict[str, Any], limit: int) -> list[RunView]:
    found = call.site.ask("runs", {**wanted, "limit": limit})["runs"]
    with call.search() as index:
        return visible(index, found, _onlooker(call))


def _json(call: Call, view: RunView) -> dict[str, Any]:
    paths = [_path(call, path) for path in view.paths]
    known = {name: view.run.get(name) for name in answers.RunAnswer.__struct_fields__}
    return {**known, "paths": paths, "there": view.there}


def _path(call: Call, path: bytes) -> str:
    return call.mount.whole(path).decode("utf-8", "surrogateescape")


CHANGED = answers.RunsChangedAnswer
OPERATIONS = (
    Operation("GET", "/runs", "runs", "Runs of actions for files that you may see.", answers.RunsAnswer, runs, (
        Parameter("rule", "runs of this rule", ""),
        Parameter("state", "runs in this state", "", choices=("", *STATES)),
        Parameter("fid", "runs for this object", ""),
        Parameter("limit", "most runs to look at", 100, least=1, most=MOST),
    )),
    Operation("GET", "/runs/{key}", "run", "One run, what caused it, and what came before and after it.",
              answers.RunStoryAnswer, run, (Parameter("key", "the key of the run", needed=True, in_path=True),)),
    Operation("POST", "/runs/retry", "retry_runs", "Retry dead and held runs of your own rules; admins: of all.",
              CHANGED, retry, body=RunKeys, scope="act"),
    Operation("POST", "/runs/release", "release_runs", "Let held runs of your own rules continue; admins: of all.",
              CHANGED, release_runs, body=RunKeys, scope="act"),
    Operation("POST", "/runs/drop", "drop_runs", "Drop dead and held runs of your own rules; admins: of all.",
              CHANGED, drop, body=RunKeys, scope="act"),
    Operation("GET", "/actions", "actions", "Your own rules of actions; admins: all rules, and endpoints.",
              answers.ActionsAnswer, actions),
    Operation("POST", "/actions/hold", "hold", "Hold a rule or an endpoint (admins only).",
              answers.HeldAnswer, hold, body=Named, scope="act"),
    Operation("POST", "/actions/release", "release", "Release a rule of your own that a guard holds; admins: any.",
              answers.HeldAnswer, release, body=Named, scope="act"),
)  # fmt: skip
