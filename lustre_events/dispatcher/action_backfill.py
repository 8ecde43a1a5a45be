"""Requests to run an action's rule for files that exist already: show what it would send, or make the runs.

A run of a backfill is like any other: conditions, guards and rates apply. Its key includes the request (`once`): an
endpoint that has seen the file accepts it again, and a repeated request makes it only once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from lustre_events.actions import run_transitions
from lustre_events.changelog.fid import FID
from lustre_events.config.nearest import nearest
from lustre_events.dispatcher.action_runs import ActionRuns
from lustre_events.dispatcher.run_requests import text_of_path
from lustre_events.dispatcher.run_settling import RunSettling
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import DEAD, Run, key_of
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.triggers import CONTENT, DOCUMENT, REMOVED
from lustre_events.errors import ConfigError
from lustre_events.index.interface import ObjectRow
from lustre_events.jobs.requests import arguments_as

MOST = 200
"""Most files of one request."""


class _Asked(msgspec.Struct):
    """A rule, files, and what distinguishes this request from others."""

    rule: str
    fids: list[str]
    once: str = ""


class Backfill:
    """Carries these requests out."""

    def __init__(self, runs: ActionRuns, settling: RunSettling) -> None:
        self._runs = runs
        self._settling = settling

    def handlers(self) -> dict[str, Any]:
        """Return what carries requests out, by their names."""
        return {"backfill": self._make, "rehearse_action": self._rehearse}

    def _make(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = arguments_as(_Asked, arguments)
        rule, rows = self._found(turn, asked)
        if not asked.once:
            raise ConfigError("a backfill needs a name of its own")
        trigger = next((each for each in (CONTENT, DOCUMENT) if each in rule.on), "")
        if not trigger:
            raise ConfigError(
                f"rule {rule.name!r} is on {', '.join(sorted(rule.on))}; only rules on content or document can be "
                "run again for files that exist"
            )
        made = [_run(turn, rule, fid, row, trigger, asked.once) for fid, row in rows.items()]
        known = turn.transaction.runs([run.id for run in made])
        new = [run for run in made if run.id not in known]
        for run in new:
            turn.counters.update(run_transitions.counted(None, run.state))
        turn.transaction.put_runs(new)
        return {"runs": len(made)}

    def _rehearse(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = arguments_as(_Asked, arguments)
        rule, rows = self._found(turn, asked)
        trigger = min((each for each in rule.on if each != REMOVED), default=REMOVED)
        found, paths = [], turn.transaction.paths(rows)
        for fid, row in rows.items():
            run = self._settling.rehearsed(turn, rule, _run(turn, rule, fid, row, trigger, "rehearsal"))
            why = "its conditions are not met" if run is None else run.error if run.state == DEAD else ""
            body = "" if run is None else run.body.decode("utf-8", "backslashreplace")
            path = text_of_path(paths[fid][0]) if paths[fid] else ""
            found.append({"fid": str(fid), "path": path, "why": why, "body": body})
        endpoint = self._runs.endpoints.get(rule.endpoint)
        where = "" if endpoint is None else endpoint.where
        return {"action": rule.action, "endpoint": rule.endpoint, "where": where, "files": found}

    def _found(self, turn: Turn, asked: _Asked) -> tuple[ActionRule, dict[FID, ObjectRow]]:
        rules = self._runs.rules.by_name
        rule = rules.get(asked.rule)
        if rule is None:
            near = nearest(asked.rule, tuple(rules) or ("none",))
            raise ConfigError(f"no rule of an action is named {asked.rule!r}{near}")
        if len(asked.fids) > MOST:
            raise ConfigError(f"{len(asked.fids)} files in one request; {MOST} are the most")
        return rule, dict(turn.transaction.objects([FID.parse(fid) for fid in asked.fids]))


def _run(  # noqa: PLR0917 - what a run is made of
    turn: Turn, rule: ActionRule, fid: FID, row: ObjectRow, trigger: str, once: str
) -> Run:
    again = f"{once}:{fid}"
    return Run(
        id=hashlib.sha256(f"{rule.name}\0{again}".encode()).hexdigest()[:32],
        key=key_of(rule.name, trigger, row.cause, again), rule=rule.name, digest=rule.digest, trigger=trigger,
        endpoint=rule.endpoint, action=rule.action, fid=fid, stamp=row.cause, event_ns=turn.now_ns,
        first_ns=turn.now_ns, generation=row.content, made_ns=turn.now_ns, due_ns=turn.now_ns,
    )  # fmt: skip
