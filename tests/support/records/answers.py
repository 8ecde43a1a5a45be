"""Names that an index should have after a capture was played."""

from __future__ import annotations

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID
from lustre_events.changelog.record import RecordType, iter_records
from tests.support.records import captures

NAMING = {
    RecordType.CREAT, RecordType.MKDIR, RecordType.HLINK, RecordType.SLINK, RecordType.MKNOD, RecordType.RENME,
    RecordType.MIGRT,
}  # fmt: skip


def named_by(folder: str) -> dict[FID, set[FID]]:
    """Return, for every FID that records of the folder place in the namespace, the parents it ever had."""
    parents: dict[FID, set[FID]] = {}
    for mdt in captures.mdts(folder):
        for record in iter_records(captures.read(folder, f"{mdt}.raw")):
            if record.type not in NAMING:
                continue
            moved = record.source if record.type == RecordType.RENME else record.target
            parent = record.source_parent if record.type == RecordType.MIGRT else record.parent
            if parent != NO_FID:
                parents.setdefault(moved, set()).add(parent)
    return parents


def answerable(fid: FID, parents: dict[FID, set[FID]]) -> bool:
    """Whether every possible chain of parents of `fid` is named by records, up to the root."""
    seen: set[FID] = set()
    waiting = [fid]
    while waiting:
        current = waiting.pop()
        if current == ROOT_FID or current in seen:
            continue
        seen.add(current)
        if current not in parents:
            return False
        waiting += parents[current]
    return True


def present_of(folder: str) -> dict[FID, FID]:
    """Return the FID that each object which migrated has now."""
    steps = {
        record.source: record.target
        for mdt in captures.mdts(folder)
        for record in iter_records(captures.read(folder, f"{mdt}.raw"))
        if record.type == RecordType.MIGRT and record.source not in {NO_FID, record.target}
    }

    def last(fid: FID) -> FID:
        return last(steps[fid]) if fid in steps else fid

    return {fid: last(fid) for fid in steps}
