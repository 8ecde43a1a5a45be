"""Histories for tests: a folder with the records of some MDTs, and what the index would know beside them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord, encode_record
from lustre_events.domain.namespace import Place
from lustre_events.history.archive import Archive
from lustre_events.history.lookup import Present, Teller
from lustre_events.history.segment_writer import SegmentWriter
from lustre_events.history.visibility import Access
from lustre_events.streams.interface import Block

DAY_NS = 86_400 * 10**9
NOW_NS = 20_000 * DAY_NS
Log = Sequence[ChangelogRecord]


def block_of(mdt: str, records: Log, epoch: int = 1) -> Block:
    """Return records as one block."""
    raw = b"".join(map(encode_record, records))
    return Block(mdt, epoch, records[0].index, records[-1].index, len(records), raw)


def blocks_of(mdt: str, records: Log, chance: random.Random) -> list[Block]:
    """Cut a log into blocks anywhere."""
    found, at = [], 0
    while at < len(records):
        size = chance.choice([1, 2, 7, 40])
        found.append(block_of(mdt, records[at : at + size]))
        at += size
    return found


def keep(folder: Path, logs: Mapping[str, Log], chance: random.Random, *, days: float = 90) -> Archive:
    """Write logs as a keeper would, with flushes in between, and return what reads them."""
    writer = SegmentWriter(folder, days, 1 << 40)
    for mdt, records in logs.items():
        for block in blocks_of(mdt, records, chance):
            writer.add(block)
            if chance.random() < 0.2:
                writer.flush(NOW_NS)
    writer.flush(NOW_NS)
    writer.close()
    return Archive(folder)


def present(truth: Mapping[Place, FID], access: Access | None = None, uid: int | None = None) -> Present:
    """Return an index that knows what each name means now."""

    def links(fids: object) -> list[tuple[FID, FID, bytes]]:
        return [(fid, *place) for place, fid in truth.items() if fid in fids]  # type: ignore[operator]

    def entries(directory: FID, after: bytes, limit: int) -> list[tuple[bytes, FID, str | None]]:
        names = sorted((name, fid) for (parent, name), fid in truth.items() if parent == directory and name > after)
        return [(name, fid, None) for name, fid in names[:limit]]

    return Present(links, lambda parent, name: truth.get((parent, name)), entries, access, uid)


def teller(archive: Archive, truth: Mapping[Place, FID]) -> Teller:
    """Return who tells the history to somebody who may know everything."""
    return Teller(archive, present(truth))
