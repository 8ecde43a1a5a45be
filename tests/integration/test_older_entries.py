"""What an earlier version stored in Redis is still read, and appended to."""

from __future__ import annotations

import zstandard

from lustre_events.config.settings import ReaderSettings
from lustre_events.reader import Reader
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from tests.support.model.fakes import MDT, indexes_of, records
from tests.support.service.reader_driver import FileSource

EPOCH = 1_700_000_000_000_000_000


def test_entries_without_later_fields_are_read_and_appended_to(redis_url: str) -> None:
    """A stream of the first version, without anchor: a reader goes on behind it, and all of it is read."""
    with connect(redis_url, 5.0) as client:
        client.sadd(keys.MDTS, MDT)
        client.rpush(keys.epochs(MDT), EPOCH)
        for first, codec, data in ((1, "zstd", zstandard.compress(records(1, 2, 3))), (4, "raw", records(4, 5, 6))):
            fields = {"codec": codec, "first": first, "count": 3, "data": data}
            client.xadd(keys.stream(MDT, EPOCH), fields, id=f"{first + 2}-0")

        source = FileSource(MDT, records(*range(1, 10)))
        Reader(source, RedisReaderStream(client, MDT), ReaderSettings()).run()

        streams = RedisRecordStreams(client)
        positions = {(MDT, epoch): 0 for epoch in streams.epochs(MDT)}
        blocks = streams.read(positions, 1 << 20, 0.0)
        assert sorted(set(indexes_of(blocks))) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert indexes_of([block for block in blocks if block.epoch == EPOCH])[:6] == [1, 2, 3, 4, 5, 6]
