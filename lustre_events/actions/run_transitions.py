"""What can become of a run: pure functions from a run, and what happened, to the run as it is then.

How long it waits after an attempt in vain: domain/retries.py.

All of them keep the key. The counters are made here too, so that they add up whatever happens:
runs_made + runs_reopened = those that are open + runs_done + runs_dead + ... (each end has one) + runs_forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from lustre_events.domain.action_run import (
    CANCELLED,
    DEAD,
    DONE,
    DROPPED,
    ENDS,
    EXPIRED,
    HELD,
    SENT,
    SETTLING,
    SUPERSEDED,
    WAITING,
    Run,
    key_of,
)
from lustre_events.domain.pending import due
from lustre_events.domain.retries import FIRST_RUN_RETRY_NS, RUN_RETRIED_NS, delay_asked_for, run_delay
from lustre_events.domain.rules import batch_scripts
from lustre_events.domain.times import SECOND_NS

MOST_ERROR = 500

MOST_JOBS = 10
"""Of one run, where each of them ends in vain."""
OK, AGAIN, REFUSED, ENDPOINT, UNTRIED, GONE = "ok", "again", "refused", "endpoint", "untried", "gone"
STARTED = "started"
"""How an attempt ends: taken; later; never (the event is wrong); held (the endpoint is wrong); it was not made; the
file is not there any more; a job does it, which is to be looked at later."""
OUTCOMES = (OK, AGAIN, REFUSED, ENDPOINT, UNTRIED, GONE, STARTED)
FIRST_LOOK_NS = 15 * SECOND_NS
"""Until a job is looked at again that could not be looked at."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt of one run ended. `together`: with how many other events it was sent.

    `handle`: of STARTED: the job, which is looked at again after `retry_after_ns`. `outputs`, `made`: see Run.
    `arrived`: of many files that a run copies, how many are there now. `error`: with OK a remark.
    """

    outcome: str
    status: int = 0
    error: str = ""
    retry_after_ns: int = 0
    together: int = 0
    handle: str = ""
    outputs: tuple[bytes, ...] | None = None
    made: int = 0
    arrived: int = 0


def again(run: Run, newer: Run, settle_ns: int, settle_max_ns: int) -> Run:
    """Return a run that is still settling, now that the same happened once more: the newest counts.

    What was known before the first time stays: the old name, the content. It is held only if all of it is to be.
    """
    first_ns = min(run.first_ns, newer.first_ns)
    latest = max(run, newer, key=_stamp)
    return replace(
        latest, id=run.id, made_ns=run.made_ns, first_ns=first_ns, before=run.before, merged=run.merged + 1,
        due_ns=due(first_ns, newer.event_ns, settle_ns, settle_max_ns),
        generation=max(run.generation, newer.generation), hold=run.hold if newer.hold else "",
    )  # fmt: skip


def _stamp(run: Run) -> bytes:
    return run.stamp


def later(run: Run, due_ns: int) -> Run:
    """Return a run that is looked at again at a given time."""
    return replace(run, due_ns=due_ns)


def ready(run: Run, body: bytes, place: bytes, uid: int | None, now_ns: int) -> Run:
    """Return a run whose rule holds, with what will be sent."""
    return replace(
        run, state=WAITING, body=body, place=place, uid=uid, ready_ns=now_ns, due_ns=now_ns,
        key=run.key or key_of(run.rule, run.trigger, run.stamp),
    )  # fmt: skip


def handed_out(run: Run, attempt: str, now_ns: int, lease_ns: int) -> Run:
    """Return a run that goes out now."""
    return replace(run, state=SENT, attempt=attempt, attempts=run.attempts + 1, due_ns=now_ns + lease_ns)


def looked_at(run: Run, attempt: str, now_ns: int, lease_ns: int) -> Run:
    """Return a run whose job is looked at now."""
    return replace(run, attempt=attempt, due_ns=now_ns + lease_ns)


def may_have_job(run: Run) -> bool:
    """Whether somewhere a job may wait for a run that waits itself: then it goes out again, whatever is newer."""
    return bool(run.attempts and batch_scripts.script_of(run.endpoint))


def lost(run: Run, now_ns: int) -> Run:
    """Return a run whose lease has ended without an answer: whether it arrived is not known, so it goes again."""
    return replace(run, state=WAITING, due_ns=now_ns, error="nobody answered in time", status=0)


def taken(run: Run, attempt: Attempt, now_ns: int) -> Run:
    """Return a run after an attempt."""
    if attempt.outcome == STARTED:
        return _goes_on(run, attempt, now_ns, attempt.retry_after_ns)
    if run.handle and attempt.outcome in {UNTRIED, ENDPOINT}:
        return _goes_on(run, attempt, now_ns, FIRST_LOOK_NS)
    return _tried(run, attempt, now_ns)


def _tried(run: Run, attempt: Attempt, now_ns: int) -> Run:
    if attempt.outcome == OK:
        if attempt.outputs is not None:
            run = replace(run, outputs=attempt.outputs, made=max(attempt.made, len(attempt.outputs)))
        return _ended(run, DONE, now_ns, attempt.error, attempt.status)
    if attempt.outcome == GONE:
        return _ended(run, CANCELLED, now_ns, attempt.error, attempt.status)
    if attempt.outcome == REFUSED and not attempt.together:
        return _ended(run, DEAD, now_ns, attempt.error, attempt.status)
    if attempt.outcome in {REFUSED, UNTRIED, ENDPOINT}:
        # Refused together with others: which one is wrong shows when each is sent alone. The endpoint is wrong: it
        # is held, and the run waits for it.
        return replace(
            run, state=WAITING, due_ns=now_ns + delay_asked_for(attempt.retry_after_ns),
            alone=run.alone or attempt.outcome == REFUSED,
            attempts=run.attempts - (attempt.outcome != REFUSED), error=attempt.error[:MOST_ERROR],
            status=attempt.status,
        )  # fmt: skip
    return _retry(run, attempt, now_ns)


def _goes_on(run: Run, attempt: Attempt, now_ns: int, after_ns: int) -> Run:
    """Return a run whose job is looked at again."""
    due_ns = now_ns + delay_asked_for(after_ns)
    begun = bool(attempt.handle) and not run.handle  # what failed before was its submission
    return replace(
        run, state=SENT, handle=attempt.handle or run.handle, due_ns=due_ns, attempt="",
        failed_ns=0 if begun else run.failed_ns,
        error=attempt.error[:MOST_ERROR], status=attempt.status,
    )  # fmt: skip


def comes_on(run: Run, attempt: Attempt) -> bool:
    """Whether an attempt of a run that copies many files brought more of them there than any before it."""
    return attempt.arrived > run.arrived


def _retry(run: Run, attempt: Attempt, now_ns: int) -> Run:
    if comes_on(run, attempt):  # it has not failed, it was not finished: the next attempt goes on
        return replace(
            run, state=WAITING, due_ns=now_ns + FIRST_RUN_RETRY_NS, failed_ns=0, arrived=attempt.arrived,
            error=attempt.error[:MOST_ERROR], status=attempt.status,
        )  # fmt: skip
    failed_ns = run.failed_ns or now_ns
    if now_ns - failed_ns >= RUN_RETRIED_NS or (run.handle and run.again + 1 >= MOST_JOBS):
        return _ended(run, DEAD, now_ns, attempt.error, attempt.status)
    wait_ns = max(run_delay(run), delay_asked_for(attempt.retry_after_ns))
    return replace(
        without_job(run), state=WAITING, due_ns=now_ns + wait_ns, failed_ns=failed_ns,
        error=attempt.error[:MOST_ERROR], status=attempt.status,
    )  # fmt: skip


def without_job(run: Run) -> Run:
    """Return a run whose job, if it had one, has ended in vain: the next one has another name."""
    return replace(run, handle="", again=run.again + 1) if run.handle else run


def superseded(run: Run, now_ns: int) -> Run:
    """Return a run whose content is not the newest any more."""
    return _ended(run, SUPERSEDED, now_ns, "newer content came before it was delivered", run.status)


def cancelled(run: Run, now_ns: int, why: str) -> Run:
    """Return a run that is not done any more."""
    return _ended(run, CANCELLED, now_ns, why, run.status)


def expired(run: Run, now_ns: int) -> Run:
    """Return a run that is too old to be sent."""
    return _ended(run, EXPIRED, now_ns, "it was too old when it could be sent", run.status)


def refused(run: Run, now_ns: int, why: str) -> Run:
    """Return a run that can never be sent, for a reason of its own."""
    return _ended(run, DEAD, now_ns, why, 0)


def held(run: Run, why: str) -> Run:
    """Return a run that a guard stopped."""
    return replace(run, state=HELD, error=why[:MOST_ERROR])


def dropped(run: Run, now_ns: int) -> Run:
    """Return a run that a person dropped."""
    return _ended(run, DROPPED, now_ns, run.error, run.status)


def released(run: Run, now_ns: int) -> Run:
    """Return a dead or held run that a person tries again, with all its tries."""
    state = WAITING if run.body else SETTLING
    return replace(
        without_job(run), state=state, due_ns=now_ns, ready_ns=now_ns, ended_ns=0, attempts=0, failed_ns=0,
        error="", status=0, hold="", arrived=0,
    )  # fmt: skip


def anew(run: Run, digest: str, now_ns: int) -> Run:
    """Return a run to be asked of a rule that was edited meanwhile, with all its tries.

    A job that may wait for what was asked before is not the one that is asked for now: that gets another name.
    """
    asked = replace(run, again=run.again + 1) if may_have_job(run) else run
    return replace(
        asked, state=SETTLING, digest=digest, body=b"", due_ns=now_ns, attempts=0, failed_ns=0, alone=False
    )


def _ended(run: Run, state: str, now_ns: int, error: str, status: int) -> Run:
    return replace(run, state=state, ended_ns=now_ns, error=error[:MOST_ERROR], status=status)


def kept(counters: Mapping[str, int]) -> int:
    """Return how many runs that have ended are in the ledger, from the counters."""
    ends = sum(counters.get(f"runs_{end}", 0) for end in ENDS)
    return ends - counters.get("runs_reopened", 0) - counters.get("runs_swept", 0)


def counted(before: str | None, after: str | None, runs: int = 1) -> Counter[str]:
    """Return what a change of runs adds to the counters, from their states; None: they were not, or are no more."""
    found: Counter[str] = Counter()
    if before == after or (before in ENDS and after is None):
        return found
    if before is None:
        found["runs_made"] += runs
    elif before in ENDS:
        found["runs_reopened"] += runs
    if after is None:
        found["runs_forgotten"] += runs
    elif after in ENDS:
        found[f"runs_{after}"] += runs
    return found
