"""Tags: a file's `user.` attributes as `stat` and `scan` report them, kept as the document of `xattr`.

So tags are found, counted and seen as keys of documents are, by who can read the file: `xattr.project:halo`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.turn import Turn
from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.jobs.messages import TAGS, Result

_Name = Annotated[str, msgspec.Meta(max_length=255)]
_Value = Annotated[str, msgspec.Meta(max_length=4_096)]


Tags = Annotated[dict[_Name, _Value], msgspec.Meta(max_length=65)]
"""By name without `user.`; `partial` among them says that some are left out."""


class SeenFacts(Facts, frozen=True, kw_only=True, gc=False):
    """Facts as they travel. `xattr` None: nobody looked; otherwise all tags."""

    xattr: Tags | None = None


def keep(turn: Turn, found: Collection[tuple[ObjectRow, Result, Tags]]) -> None:
    """Write the tags that results of `stat` tell of stored objects; newer ones that are stored stay."""
    tagged = [(row, said, tags) for row, said, tags in found if tags]
    documents = [(row, msgspec.structs.replace(said, extractor=TAGS, document=tags)) for row, said, tags in tagged]
    if documents:
        turn.transaction.put_documents(documents)
    # What `stat` sees for the first time has none.
    _forget(turn, {row.fid: said.generation for row, said, tags in found if row.known and not tags})


def _forget(turn: Turn, none: Mapping[FID, int]) -> None:
    """Remove the tags of objects that have none in a generation."""
    before = turn.transaction.documents(none) if none else {}
    old = [work for work, generation in before.items() if work[1] == TAGS and generation <= none[work[0]]]
    if old:
        turn.transaction.remove_outdated(old)


def untold(turn: Turn, seen: Mapping[FID, SeenFacts]) -> set[FID]:
    """Return the objects that have tags and no document of them: `stat` is to look at them."""
    tagged = {fid for fid, facts in seen.items() if facts.xattr}
    told = {fid for fid, name in turn.transaction.documents(tagged) if name == TAGS} if tagged else set()
    return tagged - told
