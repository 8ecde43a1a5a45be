"""The outcomes of results: the one value that is handed on when a document or facts are in the index.

A follower is called with the outcomes of a batch in the transaction that writes them, after all that they change:
it sees the objects as they are now, and what it writes is committed together with them. A result that does not
count (its job does not hold the row any more, its object was removed) has no outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from lustre_events.dispatcher.turn import Turn
from lustre_events.index.interface import ObjectRow


class ResultOutcome(msgspec.Struct, frozen=True, gc=False):
    """The outcome of one result. `row` is its object as it was before.

    `status` is one of a Result's; `reason` is why the work was pending.
    """

    row: ObjectRow
    extractor: str
    generation: int
    serial: int
    status: str
    reason: str = ""


Follow = Callable[[Turn, Sequence[ResultOutcome]], None]
"""Takes the outcomes of a batch of results."""


def nobody(_turn: Turn, _outcomes: Sequence[ResultOutcome]) -> None:
    """Follow nothing."""
