"""Records for the tests of the binding: built ones, and those of the captures."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

from lustre_events import llapi
from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import (
    EXTRA_UIDGID,
    FLAG_EXTRA,
    FLAG_VERSION,
    ChangelogRecord,
    RecordType,
    boundaries,
    encode_record,
    iter_records,
)
from tests.support.servers.standin import FUTURE_BYTES, FUTURE_EXTENSION

CAPTURES = Path(__file__).parents[2] / "data" / "captures"


def capture(folder: str, mdt: str, kind: str = "raw") -> bytes:
    """Return the raw records of one MDT of a capture folder."""
    return gzip.decompress((CAPTURES / folder / f"{mdt}.{kind}.gz").read_bytes())


def create(index: int, name: bytes = b"file", **fields: Any) -> bytes:
    """Return a raw CREAT record with uid and gid."""
    values: dict[str, Any] = {
        "flags": FLAG_VERSION | FLAG_EXTRA,
        "extra_flags": EXTRA_UIDGID,
        "uid": 1000,
        "gid": 100,
        **fields,
    }
    return encode_record(
        ChangelogRecord(
            index=index, type=RecordType.CREAT, time_ns=index * 1_000_000_000, target=FID(0x200000401, index),
            parent=FID(0x200000007, 1), name=name, **values,
        )
    )  # fmt: skip


def creates(first: int, last: int) -> bytes:
    """Return raw CREAT records with the indexes first to last."""
    return b"".join(create(index) for index in range(first, last + 1))


def from_the_future(index: int, name: bytes = b"file") -> bytes:
    """Return a raw record with an extension that lustre_events does not know."""
    raw = bytearray(create(index, name))
    struct.pack_into("<Q", raw, 64, EXTRA_UIDGID | FUTURE_EXTENSION)
    return bytes(raw[: 64 + 8 + 16] + b"?" * FUTURE_BYTES + raw[64 + 8 + 16 :])


def indexes(raw: bytes) -> list[int]:
    """Return the indexes of raw records."""
    return [record.index for record in iter_records(raw)]


def as_recv_gives(raw: bytes) -> list[bytes]:
    """Return the records one by one, with the version flag that recv adds (raw RENME and MIGRT lack it)."""
    records = []
    for offset, size in boundaries(raw):
        record = bytearray(raw[offset : offset + size])
        flags = struct.unpack_from("<H", record, 2)[0]
        struct.pack_into("<H", record, 2, flags | FLAG_VERSION)
        records.append(bytes(record))
    return records


def all_records(changelog: llapi.Changelog) -> list[bytes]:
    """Return what recv gives until its end."""
    return list(iter(changelog.recv, None))
