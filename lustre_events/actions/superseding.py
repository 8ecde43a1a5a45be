"""Which run takes the place of another one of the same rule, trigger and object that was not delivered.

Content, attributes and documents are states: only the newest counts. A name that is made, changed or removed is an
event, and each of them is told. What a guard holds is not delivered, either.
"""

from __future__ import annotations

from lustre_events.actions import run_transitions
from lustre_events.domain.action_run import HELD, SETTLING, WAITING, Run
from lustre_events.domain.triggers import ATTRIBUTES, CONTENT, DIRECTORY, DOCUMENT, HSM, XATTR

STATES = frozenset({CONTENT, ATTRIBUTES, XATTR, HSM, DOCUMENT})


def supersedes(newer: Run, older: Run) -> bool:
    """Whether an older run ends now that there is a newer one.

    A newer one that may turn out to be nothing new ends none before it is made: else nothing would be told.
    """
    if newer.id == older.id or not newer.is_open or newer.because != older.because:
        return False
    found = older.state == HELD and bool(older.hold)
    if newer.hold:  # a person may drop it
        return found and newer.trigger in {*STATES, DIRECTORY}
    if is_in_doubt(newer) or run_transitions.may_have_job(older):
        return False
    # The record of what a listing had found is newer in any case.
    return found or (older.state in {WAITING, HELD} and _is_newer(newer, older))


def _is_newer(newer: Run, older: Run) -> bool:
    if newer.began == DOCUMENT:  # documents of one content are one event, however many there are
        return newer.generation > older.generation
    return newer.began == DIRECTORY or (newer.began in STATES and newer.stamp > older.stamp)


def is_in_doubt(run: Run) -> bool:
    """Whether a run that settles may have nothing new: perhaps nobody wrote, or the directory is not complete."""
    return run.state == SETTLING and (
        run.trigger == DIRECTORY or (run.trigger == CONTENT and run.before is not None)
    )
