"""The reader on a real Redis, with the real clock."""

from __future__ import annotations

import time
from pathlib import Path

from lustre_events.changelog.record import scan
from lustre_events.config.settings import ReaderSettings
from lustre_events.reader import Reader
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from tests.support.model.fakes import MDT
from tests.support.records.builders import capture
from tests.support.service.reader_driver import FileSource

RAW = "11-random-defmask/lustre-MDT0000.raw"


def test_a_recording_is_stored_and_cleared(redis_url: str, tmp_path: Path) -> None:
    """Everything is in the stream, and cleared once, after Redis's disk had the time that it needs."""
    raw, clears = capture(RAW), tmp_path / "clears"
    with connect(redis_url, 5.0) as client:
        begun = time.monotonic()
        settings = ReaderSettings(user="cl1", block_bytes=100_000)
        Reader(FileSource(MDT, raw, clears), RedisReaderStream(client, MDT), settings).run()

        span, streams = scan(raw), RedisRecordStreams(client)
        (epoch,) = streams.epochs(MDT)
        state = streams.reader_state(MDT)
        assert 3.0 <= time.monotonic() - begun < 60
        assert clears.read_text().split() == [str(span.last_index)]
        assert state["mark"] == state["cleared_index"] == state["stored_index"] == str(span.last_index)
        assert state["records_read"] == state["records_stored"] == str(span.count)
        assert b"".join(block.data for block in streams.read({(MDT, epoch): 0}, 1 << 30, 0)) == raw


def test_two_mdts_share_a_redis(redis_url: str) -> None:
    """Each MDT has its own stream, lease and state."""
    with connect(redis_url, 5.0) as client:
        streams = RedisRecordStreams(client)
        for mdt in ("lustre-MDT0000", "lustre-MDT0001"):
            raw = capture(f"11-random-defmask/{mdt}.raw")
            Reader(FileSource(mdt, raw), RedisReaderStream(client, mdt), ReaderSettings()).run()
            (epoch,) = streams.epochs(mdt)

            assert b"".join(block.data for block in streams.read({(mdt, epoch): 0}, 1 << 30, 0)) == raw
            assert streams.tail(mdt, epoch) == scan(raw).last_index
        assert streams.mdts() == ["lustre-MDT0000", "lustre-MDT0001"]
