"""How long the dispatcher waits: what is under way is not kept waiting, and quiet costs nothing."""

from __future__ import annotations

from lustre_events.dispatcher.pauses import SHARE, UNDER_WAY_SECONDS, Pauses

SECOND = 1_000_000_000


def test_waits_are_short_while_something_is_under_way() -> None:
    """A step that did something is followed at once; then waits are short, and long again when all is quiet."""
    pauses = Pauses(0.1)
    quiet = pauses.after(0, done=False)
    at_once = pauses.after(SECOND, done=True)
    under_way = pauses.after(2 * SECOND, done=False)
    late = pauses.after(int((1 + UNDER_WAY_SECONDS) * SECOND), done=False)
    clock_set_back = pauses.after(0, done=False)

    assert (quiet, at_once, under_way, late, clock_set_back) == (0.1, 0.0, 0.1 / SHARE, 0.1, 0.1)
