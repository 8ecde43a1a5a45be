"""Who is asked about actions and runs: the dispatcher, by who may ask it, or a server, by a user with a token."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from lustre_events.cli.options import SearchSource
from lustre_events.config.settings import Settings
from lustre_events.domain.action_run import DEAD, HELD
from lustre_events.index.remote import action_answers as answers
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.node import wiring
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


Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Asks for rules and endpoints (`actions`), or to release one (`release_action`)."""


@contextlib.contextmanager
def opened_server(settings: Settings, server: str | None) -> Iterator[RemoteSearch | None]:
    """Give the server that is named, here or in the settings; None: none is."""
    if not (server or settings.client.server):
        yield None
        return
    with SearchSource(settings, None, server).opened() as asking:
        assert isinstance(asking, RemoteSearch)  # noqa: S101 - a server was named
        yield asking


@contextlib.contextmanager
def asked_of(settings: Settings, server: str | None) -> Iterator[Ask]:
    """Give what knows rules of actions: a server where one is named, else the dispatcher."""
    with opened_server(settings, server) as remote:
        yield wiring.requests(settings).ask if remote is None else partial(ask_server, remote)


def ask_server(remote: RemoteSearch, action: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask a server, which knows and releases the user's own rules; an admin's all."""
    if action == "actions":
        found: Mapping[str, Any] = msgspec.to_builtins(remote.get(answers.ActionsAnswer, "/actions"))
        return found
    done = remote.send(answers.HeldAnswer, "POST", "/actions/release", body=dict(arguments))
    return {"kind": done.kind, "released": True}


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
