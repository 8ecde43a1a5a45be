"""Whether the required viewers of what a run sends may still see it: when it is made, and when it goes out."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from lustre_events.actions import bodies, run_transitions
from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.user_runs import FACTS_WAIT_NS
from lustre_events.dispatcher.viewers import UserView, seen_by_all
from lustre_events.domain.action_run import Run, Seen
from lustre_events.domain.rules import templates
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.triggers import DOCUMENT


def asks_documents(rule: ActionRule) -> bool:
    """Whether what is sent names a key of a document."""
    return templates.asks_documents(rule.body) or templates.asks_documents(rule.settings)


def gone_as_seen(rule: ActionRule, run: Run, sights: Sequence[UserView]) -> Seen:
    """Return what was known of what is gone; an audience must be allowed to see its directory now.

    What a user's own rule may tell was looked at when the name was there (user_runs.owners_view).
    """
    before = run.before or Seen()
    if not rule.audience:
        return before
    paths = tuple(path for path in before.paths if all(sight.sees(path) for sight in sights))
    return replace(before, paths=paths, mime=None)


def without_old_names(rule: ActionRule, run: Run) -> Run:
    """Return a run for an audience: nobody knows whether it saw the old names."""
    if not rule.audience or run.before is None:
        return run
    return replace(run, before=replace(run.before, paths=()))


def as_seen_now(turn: Turn, rule: ActionRule, run: Run, sights: Sequence[UserView]) -> Run:
    """Return a run as it is if all who must see it still do; in doubt it waits, else it is cancelled."""
    fid = run.fid
    paths = seen_by_all(sights, fid, turn.transaction.paths([fid]).get(fid, ()))
    sees = any(bodies.place_of(path) == run.place for path in paths)
    of_document = rule.query or run.because == DOCUMENT
    reads = not (of_document or asks_documents(rule)) or all(sight.reads(fid) for sight in sights)
    if sees and reads and _is_own(turn, rule, fid):
        return run
    if any(sight.in_doubt for sight in sights) and fid in turn.transaction.objects([fid]):
        return run_transitions.later(run, turn.now_ns + FACTS_WAIT_NS)
    return run_transitions.cancelled(
        run, turn.now_ns, "it is not there any more for all who must be allowed to see it"
    )


def _is_own(turn: Turn, rule: ActionRule, fid: FID) -> bool:
    """Whether a file is still one of the user's whose own rule it is."""
    known = turn.transaction.facts([fid]).get(fid)
    return rule.author is None or (known is not None and known[1].uid == rule.author.uid)
