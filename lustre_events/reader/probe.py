"""The probe: whether the MDT's index is still the one whose records the stream holds.

After a restart of the MDT without a changelog user the index begins anew, and a reader that resumes at its old
place would wait for ever, or take the new records for the continuation. Two looks through a handle of their own
tell: an MDT forgets records from the oldest on, so while any record up to the anchor (the last one stored) is
left, the anchor is left too, and is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from lustre_events.changelog import record
from lustre_events.sources.interface import Source

_ATTEMPTS = 2
"""How often to look again, since another user's clear can take the anchor away between the two looks."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the MDT has: the index of the oldest record left (0: none), and whether the index is the same one.

    Where every record up to the anchor is gone nothing speaks against it, and it counts as the same.
    """

    oldest_index: int
    same: bool


def look(source: Source, anchor_index: int, anchor_digest: str) -> Look:
    """Compare the MDT with the anchor; index 0: there is none, digest "": any record with that index will do.

    Raises:
        ChangelogBroken, ChangelogUnavailable: the MDT does not answer.
    """
    oldest_index = 0
    for _ in range(_ATTEMPTS):
        oldest = source.peek(0)
        oldest_index = record.index_of(oldest) if oldest else 0
        if not anchor_index or not oldest or oldest_index > anchor_index:
            return Look(oldest_index, same=True)
        found = source.peek(anchor_index)
        if found and record.index_of(found) == anchor_index:
            return Look(oldest_index, same=anchor_digest in ("", record.digest(found)))
    return Look(oldest_index, same=False)
