"""Who is asked about runs of actions: the dispatcher, by who may ask it, or a server, by a user with a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lustre_events.domain.action_run import DEAD, HELD
from lustre_events.index.remote import action_answers as answers
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.streams.interface import Requests

MOST = 200
"""Runs about which a server is asked together."""
PATHS = {"retry_runs": ("retry", (DEAD, HELD)), "release_runs": ("release", (HELD,)),
         "drop_runs": ("drop", (DEAD, HELD))}  # fmt: skip
"""Where a server takes each change, and the states of the runs that it is for."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Finds runs by rule, states, fid and limit; changes those of a key or of a rule and returns how many."""

    find: Callable[[Mapping[str, Any]], list[dict[str, Any]]]
    change: Callable[[str, str, str], int]


def by_dispatcher(requests: Requests) -> Runs:
    """Ask the dispatcher."""
    return Runs(
        lambda asked: list(requests.ask("runs", asked)["runs"]),
        lambda action, key, rule: int(requests.ask(action, {"key": key, "rule": rule})["runs"]),
    )


def by_server(server: RemoteSearch) -> Runs:
    """Ask a server, which changes runs of the user's own rules; an admin's all."""

    def find(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        narrowed = [("rule", asked["rule"]), ("fid", asked["fid"]), ("limit", str(min(asked["limit"], MOST)))]
        found = [
            run
            for state in asked["states"] or [""]
            for run in server.get(answers.RunsAnswer, "/runs", [*narrowed, ("state", state)]).runs
        ]
        found.sort(key=lambda run: run.event_ns, reverse=True)
        return [msgspec.to_builtins(run) for run in found[: asked["limit"]]]

    def change(action: str, key: str, rule: str) -> int:
        name, states = PATHS[action]
        if key:
            keys = [server.get(answers.RunStoryAnswer, f"/runs/{key}").run.key]
        else:
            asked = {"rule": rule, "fid": "", "limit": MOST, "states": states}
            keys = [run["key"] for run in find(asked) if run["key"]]
        body = {"keys": keys}
        return server.send(answers.RunsChangedAnswer, "POST", f"/runs/{name}", body=body).runs if keys else 0

    return Runs(find, change)
