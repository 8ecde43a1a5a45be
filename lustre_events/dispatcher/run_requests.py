"""Requests about runs of actions: list, retry, release, drop or cancel them.

The site's people may ask it of all runs. A user may have runs of rules of that user's own tried again, released or
dropped (`user` and `uid`), within what the site grants: a rule or an endpoint that is held stays held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lustre_events.actions import run_transitions
from lustre_events.actions.job_handles import job_of
from lustre_events.changelog.fid import FID
from lustre_events.config.nearest import nearest
from lustre_events.dispatcher.action_runs import ActionRuns
from lustre_events.dispatcher.run_writing import put_runs
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import DEAD, HELD, OPEN, SENT, STATES, WAITING, Run, RunsWanted
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.rules.action_rules import user_of
from lustre_events.domain.rules.containers import action_of
from lustre_events.domain.rules.grants import Author
from lustre_events.errors import ConfigError
from lustre_events.jobs.requests import arguments_as

LISTED = 500
PORTIONS = 20


class _Runs(msgspec.Struct):
    """Which runs somebody asks about. `user`, `uid`: only those of this user's own rules."""

    rule: str | None = ""
    states: tuple[str, ...] | None = ()
    fid: str | None = ""
    key: str | None = ""
    keys: list[str] | None = None
    limit: int = LISTED
    user: str | None = ""
    uid: int | None = None


class RunRequests:
    """Carries these requests out."""

    def __init__(self, runs: ActionRuns) -> None:
        self._runs = runs

    def handlers(self) -> dict[str, Any]:
        """Return what carries requests out, by their names."""
        return {
            "runs": self.find, "retry_runs": self.retry, "release_runs": self.release, "drop_runs": self.drop,
            "cancel_runs": self.cancel,
        }  # fmt: skip

    @staticmethod
    def find(turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return runs, the newest first."""
        asked = arguments_as(_Runs, arguments)
        found = turn.transaction.find_runs(_wanted(asked, asked.states), max(0, min(asked.limit, LISTED)))
        paths = turn.transaction.paths({run.fid for run in found})
        return {"runs": [shown_run(run, paths[run.fid]) for run in found]}

    def retry(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Retry dead and held runs."""
        return self._begin_again(turn, arguments, (DEAD, HELD))

    def release(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Let held runs continue."""
        return self._begin_again(turn, arguments, (HELD,))

    def drop(self, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Drop dead and held runs."""
        _, found = _chosen(turn, arguments, (DEAD, HELD))
        put_runs(turn, found, [run_transitions.dropped(run, turn.now_ns) for run in found])
        return {"runs": len(found)}

    @staticmethod
    def cancel(turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Cancel runs that have not been sent."""
        _, found = _chosen(turn, arguments, tuple(state for state in OPEN if state != SENT))
        put_runs(
            turn, found, [run_transitions.cancelled(run, turn.now_ns, "somebody cancelled it") for run in found]
        )
        return {"runs": len(found)}

    def _begin_again(self, turn: Turn, arguments: Mapping[str, Any], states: tuple[str, ...]) -> dict[str, Any]:
        begun = 0
        for _ in range(PORTIONS):  # where none begins there may be more behind
            user, found = _chosen(turn, arguments, states)
            if user:
                found = self._within_quota(turn, found)
            after = self._runs.newest_only(turn, [run_transitions.released(run, turn.now_ns) for run in found])
            put_runs(turn, found, after)
            begun = sum(run.is_open for run in after)
            if begun or len(found) < LISTED:
                break
        return {"runs": begun}

    def _within_quota(self, turn: Turn, runs: Sequence[Run]) -> list[Run]:
        """Return the held ones, which count already, and as many dead ones as the site grants room for.

        Runs of a rule that is gone go on to be cancelled: they need no room.
        """
        known = [rule for run in runs if (rule := self._runs.rules.by_name.get(run.rule)) is not None]
        author = known[0].author if known else None
        if author is None:
            return list(runs)
        dead = [run for run in runs if run.state == DEAD]
        held = [run for run in runs if run.state != DEAD]
        room = self._room_of(turn, author)
        if dead and not room and not held:
            raise ConfigError(
                f"{author.allowance.runs} of your runs wait, the most that the site grants; try again when some of "
                "them are done, or drop some"
            )
        return [*held, *dead[:room]]

    def _room_of(self, turn: Turn, author: Author) -> int:
        most, own = author.allowance.runs, self._runs.rules.users.get(author.uid, ())
        states = (WAITING, SENT, HELD)
        return max(
            0, most - sum(turn.transaction.count_runs(state, each.name, most) for each in own for state in states)
        )


def _chosen(turn: Turn, arguments: Mapping[str, Any], states: tuple[str, ...]) -> tuple[str, list[Run]]:
    """Return the user who asks, empty: the site; and runs in one of these states that are chosen."""
    asked = arguments_as(_Runs, arguments)
    user = asked.user or ""
    found = _named(turn, asked, states) if asked.keys is None else _with_keys(turn, asked.keys, states)
    return user, [run for run in found if not user or _is_of(run, user, asked.uid)]


def _is_of(run: Run, user: str, uid: int | None) -> bool:
    """Whether a run is one of a user's own rule; whoever had the name before had another uid."""
    return user_of(run.rule) == user and run.uid is not None and run.uid == uid


def _with_keys(turn: Turn, keys: Sequence[str], states: tuple[str, ...]) -> list[Run]:
    found = {
        run.id: run
        for key in keys[:LISTED]
        for run in turn.transaction.find_runs(RunsWanted(states=states, key=key or "-"), LISTED)
    }
    return list(found.values())


def _named(turn: Turn, asked: _Runs, states: tuple[str, ...]) -> list[Run]:
    wanted = _wanted(asked, states)
    if not (wanted.rule or wanted.key or wanted.fid):
        raise ConfigError("no run is named; give a key, a rule or a file")
    found = list(turn.transaction.find_runs(wanted, LISTED))
    if not found and wanted.key:
        raise ConfigError(f"no run {wanted.key!r} is {' or '.join(states)}; see: lustre-events runs list")
    return found


def _wanted(asked: _Runs, states: tuple[str, ...] | None) -> RunsWanted:
    for state in states or ():
        if state not in STATES:
            raise ConfigError(f"no run is {state!r}{nearest(state, STATES)}")
    return RunsWanted(asked.rule or "", states or (), FID.parse(asked.fid) if asked.fid else None, asked.key or "")


def shown_run(run: Run, paths: Sequence[bytes]) -> dict[str, Any]:
    """Return a run for a person or a script; its body may be long, so it is told by its size."""
    known = paths or (run.before.paths if run.before is not None else ())
    return {
        "key": run.key, "rule": run.rule, "trigger": run.trigger, "state": run.state, "action": run.action,
        "endpoint": run.endpoint, "uid": run.uid, "fid": str(run.fid),
        "paths": [text_of_path(path) for path in known],
        "event_ns": run.event_ns, "made_ns": run.made_ns, "due_ns": run.due_ns,
        "ended_ns": run.ended_ns, "attempts": run.attempts, "status": run.status, "error": run.error,
        "bytes": len(run.body), "merged": run.merged, "ready_ns": run.ready_ns, "failed_ns": run.failed_ns,
        "jobid": None if run.jobid is None else run.jobid.decode("utf-8", "backslashreplace"),
        "record": _record(run.stamp), "handle": run.handle, "job": job_of(run.handle),
        "parent": run.parent, "because": run.because,
        "outputs": None if run.outputs is None else [text_of_path(path) for path in run.outputs], "made": run.made,
        "makes": bool(action_of(run.endpoint)),
    }  # fmt: skip


def _record(stamp: bytes) -> dict[str, Any] | None:
    """Return which record a run is about; None: no record of an MDT."""
    if not stamp or OrderKey.unpack(stamp).index <= 0:
        return None
    found = OrderKey.unpack(stamp)
    return {
        "mdt": f"MDT{found.mdt_number:04x}",
        "epoch": found.epoch,
        "index": found.index,
        "time_ns": found.eff_time,
    }


def text_of_path(path: bytes) -> str:
    """Return a path from the mount point on, bytes that are no UTF-8 escaped."""
    return "/" + path.decode("utf-8", "backslashreplace")
