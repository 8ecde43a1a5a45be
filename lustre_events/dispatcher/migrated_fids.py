"""Objects with several FIDs: what the index has under an old one comes under the present one.

A MIGRT record says that an object, a file or a directory, has a new FID (namespace.py). What comes later is written
under the present FID at once. What was written before is brought over here: an object's names with the record, for
they are few; what is in a directory in portions, for it can be a million names. Until then these have no path, like
those of a record that is still to come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lustre_events.changelog.fid import FID
from lustre_events.domain.batch import Batch
from lustre_events.domain.namespace import Link, Move, followed, rivals
from lustre_events.index.interface import Transaction

NAMES = 500
"""Most names that are moved at once."""

MOVES = 500
ROUNDS = 20
"""Most portions in one step."""


def present_fids(transaction: Transaction, batch: Batch, moves: Sequence[Move]) -> dict[FID, FID]:
    """Remember migrations, and return the present FIDs of all that a batch is about and that has another one."""
    if moves:
        transaction.put_moves(moves)
    return transaction.moved(batch.fids())


def bring_names(
    transaction: Transaction, moves: Sequence[Move], present: Mapping[FID, FID], batch: Batch
) -> None:  # fmt: skip
    """Give all names of the objects that migrated to their present FIDs, and doubt them."""
    old = {fid for move in moves for fid in (move.fid, move.target) if fid in present}
    found = transaction.take_names(old) if old else []
    for link in found:
        # Its last record is of the old FID: perhaps of an MDT whose clock is ahead.
        batch.contest((link.fid, present[link.fid] if link.fid else None), link.stamp)
    if found:
        transaction.set_links(followed(found, transaction.moved(_fids(found))).values())


def bring_children(transaction: Transaction, batch: Batch, skew_ns: int) -> int:
    """Bring a portion of what is in directories with old FIDs under the present ones; return how many names."""
    old = transaction.open_moves(MOVES)
    if not old:
        return 0
    present = transaction.moved(old)
    found = transaction.take_children(present.keys(), NAMES)
    if found:
        links = followed(found, present | transaction.moved(_fids(found)))
        for place, known in transaction.links(links).items() if skew_ns else ():
            if rivals(known.stamp, links[place].stamp, skew_ns):
                batch.contest((known.fid, links[place].fid), max(known.stamp, links[place].stamp))
        transaction.set_links(links.values())
    if len(found) < NAMES:
        transaction.close_moves(old)
    return len(found) + (len(old) == MOVES)


def _fids(links: Sequence[Link]) -> set[FID]:
    return {fid for link in links for fid in (link.parent, link.fid) if fid is not None}
