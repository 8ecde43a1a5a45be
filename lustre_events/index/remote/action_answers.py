"""The answers of `/api/v1` about actions, as types; see answers.py."""

from __future__ import annotations

import msgspec

from lustre_events.domain.action_run import Maker


class RecordAnswer(msgspec.Struct, frozen=True):
    """The record that is the reason of a run."""

    mdt: str
    epoch: int
    index: int
    time_ns: int


class RunAnswer(msgspec.Struct, frozen=True):
    """One run of an action. `there`: its object is there, and to be seen.

    `parent`: the key of the run after whose success it was made; `because`: what began their chain.

    `endpoint`, `status` and `error` are for admins. Of a run of one's own rule they are told, too, but not what an
    endpoint answered.
    """

    key: str
    rule: str
    trigger: str
    state: str
    action: str
    endpoint: str
    fid: str
    paths: list[str]
    there: bool
    event_ns: int
    made_ns: int
    ready_ns: int
    due_ns: int
    ended_ns: int
    attempts: int
    merged: int
    status: int
    error: str
    jobid: str | None
    record: RecordAnswer | None
    parent: str | None = ""
    because: str | None = ""


class RunsAnswer(msgspec.Struct, frozen=True):
    """Runs of files that you may see, the newest first."""

    runs: list[RunAnswer]


class MadeFileAnswer(msgspec.Struct, frozen=True):
    """A file that a run has made, which is there and to be seen."""

    path: str
    fid: str


class RunStoryAnswer(msgspec.Struct, frozen=True):
    """A run, and those of the same object before and after it, by time.

    `made`: the files that its container has made, as far as you may see them. `made_by`: the run that has made the
    object that this one is about.
    """

    run: RunAnswer
    before: list[RunAnswer]
    after: list[RunAnswer]
    made: list[MadeFileAnswer] = []
    made_by: Maker | None = None


class RunsChangedAnswer(msgspec.Struct, frozen=True):
    """How many runs were changed."""

    runs: int


class ActionRuleAnswer(msgspec.Struct, frozen=True):
    """A rule of an action; `runs` by state; `held`: why, or nothing; `may_release`: you may release it.

    `per_minute`: runs that were done within the last minute; `p99_seconds`: 99 of 100 of the last ones were done so
    soon after the rule held (null: none was, since the dispatcher began).
    """

    rule: str
    on: list[str]
    action: str
    endpoint: str
    since_ns: int
    runs: dict[str, int]
    held: str
    may_release: bool
    per_minute: int = 0
    p99_seconds: float | None = None
    last_error: str = ""
    last_error_ns: int = 0


class EndpointAnswer(msgspec.Struct, frozen=True):
    """An endpoint; `held`: why, or nothing; `probed`: it fails, and is tried once a minute."""

    endpoint: str
    kind: str
    where: str
    held: str
    probed: bool


class ActionsAnswer(msgspec.Struct, frozen=True):
    """Rules of actions: an admin is told of all, and of endpoints; others of their own rules."""

    rules: list[ActionRuleAnswer]
    endpoints: list[EndpointAnswer]


class HeldAnswer(msgspec.Struct, frozen=True):
    """What is held now, or no longer held."""

    name: str
    kind: str
    held: bool
