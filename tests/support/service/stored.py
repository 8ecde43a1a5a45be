"""What readers have stored."""

from __future__ import annotations

from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from tests.support.model.fakes import MDT


def stored(url: str) -> bytes:
    """Return all records in the MDT's stream, epoch by epoch."""
    with connect(url, 5.0) as client:
        streams = RedisRecordStreams(client)
        return b"".join(
            found.data for epoch in streams.epochs(MDT) for found in streams.read({(MDT, epoch): 0}, 1 << 30, 0)
        )
