"""A Redis whose data folder is put back to an older copy, long after its records were taken under newer epochs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.jobs.messages import HEAL, Job, Result
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Block
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import MDT0, Rig, answers, csv_rig, number
from tests.support.records import builders as b
from tests.support.records.builders import fid_of, raw


@dataclass
class Site:
    """A real Redis, its reader and a dispatcher over an index; time goes by when a test says so."""

    server: RedisServer
    rig: Rig
    copy: Path
    log: list[ChangelogRecord] = field(default_factory=list)

    def store(self, epoch: int, records: list[ChangelogRecord]) -> None:
        """Be the reader: store records as one block."""
        with connect(self.server.url, 5.0) as client:
            reader = RedisReaderStream(client, MDT0)
            reader.lease(60.0)
            block = Block(MDT0, epoch, records[0].index, records[-1].index, len(records), raw(*records))
            reader.append(block, reader.tail())
            reader.release()

    def dispatch(self) -> None:
        """Be a dispatcher that has just started: take what there is, and sweep what is not needed any more."""
        with connect(self.server.url, 5.0) as client:
            self.rig.dispatcher = self.rig.make(self.rig.writer, RedisRecordStreams(client))
            self.rig.settle()
            self.rig.pass_seconds(3_700)
            self.rig.settle()
            while jobs := self.rig.queue.take():
                for job in jobs:
                    self.rig.results.put(self._found(job))
                self.rig.settle()

    def _found(self, job: Job) -> list[Result]:
        """Be a worker: only what has a name in the end is there."""
        found = []
        for each in answers(job):
            name = LIVING.get(each.fid)
            if job.extractor == HEAL:
                names = [[str(ROOT_FID), name]] if name else []
                found.append(msgspec.structs.replace(each, document={"names": names, "whole": True}))
            else:
                found.append(each if name else msgspec.structs.replace(each, status="gone", document={}))
        return found

    def keep(self) -> None:
        """Copy the data folder, as a backup does."""
        self.server.stop()
        shutil.copytree(self.server.directory, self.copy)
        self.server.start()

    def lose(self) -> None:
        """Lose all that is in Redis."""
        with connect(self.server.url, 5.0) as client:
            client.flushall()

    def put_back(self) -> None:
        """Put the data folder back to the copy."""
        self.server.stop()
        shutil.rmtree(self.server.directory)
        shutil.copytree(self.copy, self.server.directory)
        self.server.start()

    def names(self) -> list[bytes]:
        """Return the names that the index has."""
        return sorted(bytes(name) for name in self.rig.select("SELECT name FROM link WHERE fid IS NOT NULL"))

    def tombstones(self) -> int:
        """Return how many removed names it remembers."""
        return int(self.rig.select("SELECT count(*) FROM link WHERE fid IS NULL")[0])


@pytest.fixture
def site(redis_server: RedisServer, index_place: IndexPlace, tmp_path: Path) -> Iterator[Site]:
    rig = csv_rig(index_place)
    yield Site(redis_server, rig, tmp_path / "copy")
    rig.close()


LOG = number(
    [
        b.create(fid=1, name=b"a"),
        b.create(fid=2, name=b"b"),
        b.rename(fid=1, name=b"a", to=b"c"),
        b.unlink(fid=2, name=b"b"),
        b.rename(fid=1, name=b"c", to=b"d"),
        b.create(fid=3, name=b"e"),
    ],
    0,
)
LIVING = {fid_of(1): "d", fid_of(3): "e"}


def test_what_a_newer_epoch_has_taken_is_never_applied_again(site: Site) -> None:
    """Names that were removed and swept stay away when the older copy's records are drained; new ones come."""
    site.store(1, LOG[:1])
    site.dispatch()
    site.store(1, LOG[1:3])  # stored, not yet taken
    site.keep()
    site.lose()
    site.store(2, LOG[1:5])
    site.dispatch()
    assert (site.names(), site.tombstones()) == ([b"d"], 0)

    site.put_back()
    site.dispatch()
    assert site.names() == [b"d"]
    assert site.rig.writer.counters()["repeated"] == 2
    site.store(1, LOG[3:])  # the reader goes on behind the copy's end
    site.dispatch()
    assert site.names() == [b"d", b"e"]
    assert site.rig.writer.counters()["records"] == len(LOG)


def test_records_that_no_epoch_has_brought_come_late(site: Site) -> None:
    """They are applied, and the objects' names are asked of the file system, as later ones may be swept."""
    site.store(1, LOG[:1])
    site.dispatch()
    site.store(1, LOG[1:2])
    site.keep()
    site.lose()
    site.store(2, LOG[2:])
    site.dispatch()
    assert (site.names(), site.tombstones()) == ([b"d", b"e"], 0)

    site.put_back()
    site.dispatch()
    assert site.rig.writer.counters()["late"] == 1
    assert site.names() == [b"d", b"e"]
