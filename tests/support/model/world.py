"""A model of a file system with everything behind it: streams, a dispatcher, an index, and workers."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from urllib.parse import quote_from_bytes

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.config.settings import DispatcherSettings
from lustre_events.domain.rules.rule_file import parse as parse_rules
from lustre_events.jobs.messages import HEAL, STAT, Job, Result
from lustre_events.streams.interface import Tail
from lustre_events.streams.memory import MemoryEpoch, MemoryRecordStreams
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import FACTS, MDT0, MDT1, Rig, answers, append
from tests.support.model.model import Inode, Lustre, Move, Place, pieces
from tests.support.records.builders import raw

RULES = '[[rule]]\nextensions = ["csv"]\nextractor = "tabular"\n'
SETTINGS = DispatcherSettings(attempts=3, settle_seconds=0, retry_seconds=1)


class Unacknowledged(MemoryRecordStreams):
    """Streams of a dispatcher that dies before it acknowledges: what it has committed comes again."""

    def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Copy:
    """What Redis had of one MDT at some time."""

    epochs: list[int]
    streams: dict[tuple[str, int], MemoryEpoch]
    committed: dict[tuple[str, int], int]
    dropped: Tail


class World:
    """A model, its streams, a dispatcher and workers that see the model as it is now.

    The dispatcher's clock is right; those of the MDSs are off by `skew_ns`.
    """

    def __init__(self, place: IndexPlace, seed: int, skew_ns: tuple[int, int] = (0, 0)) -> None:
        self.chance = random.Random(seed)
        self.system = Lustre(self.chance, skew_ns)
        self.rig = Rig(
            place,
            rules=parse_rules(RULES, "rules", ("tabular", "hdf5", STAT)),
            # Sometimes a step is one transaction, sometimes many, which begin in the middle of blocks.
            settings=replace(SETTINGS, batch_records=1 + seed % 9),
            now_ns=self.system.now_ns,
            mdts=(MDT0, MDT1),
            timer=(lambda: 0.0) if seed % 2 else itertools.count().__next__,
        )
        self.sent = [0, 0]
        self.epochs = [1, 1]
        self.made = 1
        self.copies: tuple[list[Copy], list[Copy]] = ([], [])
        self.kept: set[int] = set()
        self.extracted: Counter[tuple[int, int]] = Counter()

    def do(self, moves: Iterable[Move]) -> None:
        """Do something in the file system."""
        self.system.do(moves)
        self.rig.now_ns = self.system.now_ns

    def pass_seconds(self, seconds: float) -> None:
        """Let time go by."""
        self.system.now_ns += int(seconds * 1e9)
        self.rig.now_ns = self.system.now_ns

    def send(self, mdt: int, count: int) -> None:
        """Let the reader of an MDT store the next records in blocks cut anywhere; caught up, it says so."""
        log = self.system.logs[mdt]
        for block in pieces(log[self.sent[mdt] : self.sent[mdt] + count], self.chance):
            self._append(mdt, block)
            self.sent[mdt] += len(block)
        if self.sent[mdt] == len(log):
            self.rig.store.reader_states[(MDT0, MDT1)[mdt]] = {
                "caught_up_epoch": str(self.epochs[mdt] if log else 0),
                "caught_up_index": str(log[-1].index if log else 0),
                "caught_up_time_ns": str(self.system.now_ns),
            }

    def lose_redis(self, mdt: int) -> None:
        """Read records again under a new epoch, from somewhere on; what was not committed comes now."""
        name = (MDT0, MDT1)[mdt]
        if not self.sent[mdt] or self.rig.store.epochs.get(name, [0])[-1] != self.epochs[mdt]:
            return
        self.copies[mdt].append(self._copy(name))
        if self.chance.random() < 0.5:  # and the stream was lost, too
            stream = self.rig.store.streams[name, self.epochs[mdt]]
            stream.blocks.clear()
            stream.last_index = self.rig.store.committed.get((name, self.epochs[mdt]), 0)
        committed = self._committed(mdt)
        self.sent[mdt] = self.chance.randrange(committed + 1)
        if self.chance.random() < 0.5:  # with all the others; the MDT still has a record that the index has, too
            self.sent[mdt] = self.chance.randrange(committed or 1)
            self.rig.store.dropped.pop(name, None)
            for epoch in self.rig.store.epochs.pop(name):
                self.rig.store.streams.pop((name, epoch), None)
        self.made += 1
        self.epochs[mdt] = self.made

    def restore_redis(self, mdt: int) -> None:
        """Put an MDT's streams back to an older copy; its reader goes on behind the copy's end.

        What was committed may have been cleared on the MDT meanwhile.
        """
        if not self.copies[mdt]:
            return
        name, store = (MDT0, MDT1)[mdt], self.rig.store
        copy = self.chance.choice(self.copies[mdt])
        for epoch in store.epochs.get(name, []):
            store.streams.pop((name, epoch), None)
        store.epochs[name] = list(copy.epochs)
        store.streams |= deepcopy(copy.streams)
        for key in [key for key in store.committed if key[0] == name]:
            del store.committed[key]
        store.committed |= copy.committed
        store.dropped[name] = copy.dropped
        self.epochs[mdt] = copy.epochs[-1]
        tail = store.tail(name).last_index
        stored = sum(record.index <= tail for record in self.system.logs[mdt])
        self.sent[mdt] = self.chance.randint(stored, max(stored, self._committed(mdt)))

    def step(self) -> None:
        """Let the dispatcher take a step, perhaps as its last one."""
        if self.chance.random() < 0.2:
            self.rig.make(self.rig.writer, Unacknowledged(self.rig.store)).step()
            self.rig.restart()
        self.rig.dispatcher.step()

    def work(self, share: float = 1.0) -> None:
        """Let workers answer (a share of) the jobs; the others are lost."""
        for job in self.rig.queue.take():
            if self.chance.random() < share:
                self._answer(job)
        self.rig.dispatcher.step()
        self.kept |= {number for number, _ in self.documents().values()}

    def settle(self) -> None:
        """Send everything and work until nothing is left to do."""
        while any(self.sent[mdt] < len(self.system.logs[mdt]) for mdt in (0, 1)):
            mdt = self.chance.randrange(2)
            self.send(mdt, self.chance.choice([1, 5, 50]))
            if self.chance.random() < 0.3:
                self.step()
        for mdt in (0, 1):  # caught up, some time later
            self.pass_seconds(10)
            self.send(mdt, 1)
        busy = True
        while busy:
            self.rig.settle()
            self.work()
            busy = bool(self.rig.pending())
            self.pass_seconds(130)
            for name in (MDT0, MDT1):
                self.rig.store.reader_states[name]["caught_up_time_ns"] = str(self.rig.now_ns)
        self.rig.settle()

    def names(self) -> dict[Place, FID]:
        """Return what each name means to the index."""
        rows = self.rig.select("SELECT parent, name, fid FROM link WHERE fid IS NOT NULL")
        return {(FID.unpack(parent), name): FID.unpack(fid) for parent, name, fid in rows}

    def tombstones(self) -> int:
        """Return how many removed names the index keeps of records; those of answers go with later records."""
        stamps = self.rig.select("SELECT stamp FROM link WHERE fid IS NULL")
        return sum(bytes(stamp)[10:] != bytes(16) for stamp in stamps)

    def objects(self) -> set[FID]:
        """Return the objects that the index has."""
        return {FID.unpack(fid) for fid in self.rig.select("SELECT fid FROM object")}

    def mtimes_ns(self) -> dict[FID, int]:
        """Return when each object was changed last, as far as the index knows."""
        return {FID.unpack(fid): mtime_ns for fid, mtime_ns in self.rig.select("SELECT fid, mtime_ns FROM object")}

    def failed(self) -> set[FID]:
        """Return the objects with a failed attempt."""
        rows = self.rig.select(
            "SELECT fid FROM document JOIN object ON object.id = object WHERE failure IS NOT NULL"
        )
        return {FID.unpack(fid) for fid in rows}

    def documents(self) -> dict[FID, tuple[int, int]]:
        """Return which inode and content each object's document is of."""
        rows = self.rig.select(
            "SELECT fid, body FROM document JOIN object ON object.id = object WHERE body IS NOT NULL"
        )
        bodies = {FID.unpack(fid): json.loads(body) for fid, body in rows}
        return {fid: (body["inode"], body["content"]) for fid, body in bodies.items()}

    def _committed(self, mdt: int) -> int:
        """Return how many records of an MDT the index has."""
        name = (MDT0, MDT1)[mdt]
        cursors = self.rig.writer.cursors().values()
        position = max((cursor.position for cursor in cursors if cursor.mdt == name), default=0)
        return sum(record.index <= position for record in self.system.logs[mdt])

    def _copy(self, name: str) -> Copy:
        store = self.rig.store
        return Copy(
            list(store.epochs[name]),
            deepcopy({key: stream for key, stream in store.streams.items() if key[0] == name}),
            {key: index for key, index in store.committed.items() if key[0] == name},
            store.dropped.get(name, Tail(0, 0)),
        )

    def _answer(self, job: Job) -> None:
        living = self.system.living()
        for item, found in zip(job.items, answers(job), strict=True):
            inode = living.get(item.fid)
            self.rig.results.put([self._result(job, found, inode)])

    def _result(self, job: Job, found: Result, inode: Inode | None) -> Result:
        if job.extractor == HEAL:
            names = [] if inode is None else self.system.names(inode)
            places = [[str(parent), quote_from_bytes(name)] for parent, name in names]
            return msgspec.structs.replace(found, document={"names": places, "whole": True})
        if inode is None:
            return msgspec.structs.replace(found, status="gone", document={})
        if job.extractor == STAT:
            facts = {**FACTS, "type": inode.type, "mtime_ns": self.system.mtime_ns(inode)}
            return msgspec.structs.replace(found, document=facts)
        if self.chance.random() < 0.1:
            return msgspec.structs.replace(found, status="failed", document={}, error="a bad moment")
        self.extracted[inode.number, inode.content] += 1
        return msgspec.structs.replace(found, document={"inode": inode.number, "content": inode.content})

    def _append(self, mdt: int, block: list[ChangelogRecord]) -> None:
        append(
            self.rig.store, (MDT0, MDT1)[mdt], raw(*block), block[0].index, block[-1].index, len(block),
            epoch=self.epochs[mdt],
        )  # fmt: skip
