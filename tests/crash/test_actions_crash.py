"""Actions whose processes are killed at any moment: no run is lost, and what arrives twice has the same key."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lustre_events.actions.delivery import Delivery
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.index.sqlite.writer import SqliteTransaction, SqliteWriter
from tests.chaos.actions import ActionSite, run
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ActionRig, MemoryLink, action_rig
from tests.support.model.dispatcher import MDT0, number
from tests.support.records import builders as b

KILLS = 6


def test_killed_parts_lose_no_run_and_repeat_only_keys(tmp_path: Path) -> None:
    """Whatever part is killed, Redis too: each creation and removal arrives, and what comes again has one key."""
    with ActionSite(tmp_path) as site:
        account = run(site, KILLS, seed=1)
        assert account.wrong == [], site.service.last_words()
        assert account.kills.total() == KILLS
        assert account.events > KILLS


# The same in one process, at each step


class Killed(BaseException):
    """The process ended here."""


class MortalLink(MemoryLink):
    """A link on which the dispatcher dies before or behind a call."""

    moment = ""

    def _die(self, moment: str) -> None:
        if self.moment == moment:
            self.moment = ""
            raise Killed(moment)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries, or die."""
        if deliveries:
            self._die("before put")
        super().put(deliveries)
        if deliveries:
            self._die("behind put")

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Acknowledge, or die."""
        self._die("before acknowledge")
        super().acknowledge(ids)
        self._die("behind acknowledge")


LIFE_RULE = '[[rule]]\nname = "tell"\non = ["content", "removed"]\naction = "webhook"\nendpoint = "beamline"\n'
RIG_RULE = '[[rule]]\nname = "tell"\naction = "webhook"\nendpoint = "beamline"\n'


@pytest.mark.parametrize("moment", ["before put", "behind put", "before acknowledge", "behind acknowledge"])
def test_killed_around_a_delivery(index_place: IndexPlace, moment: str) -> None:
    """Killed before or behind handing out, or acknowledging an answer: the run ends once, with one key."""
    rig = action_rig(index_place, RIG_RULE)
    link = MortalLink()
    rig.link = link
    rig.restart()
    link.moment = moment
    keys: Counter[str] = Counter()
    try:
        rig.tell(b.create())
        deliver(rig, keys)
    except Killed:
        rig.restart()
    rig.tell()
    for _ in range(3):
        rig.pass_seconds(100)
        rig.settle()
        deliver(rig, keys)
    assert rig.states() == {"done": 1}
    assert len(keys) == 1
    assert link.entries == []
    counted = rig.writer.counters()
    assert (counted["runs_made"], counted["runs_done"]) == (1, 1)
    rig.close()


class KilledAtCommit(SqliteWriter):
    """An index where the commit of one transaction is the end; 0: of none."""

    left = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """Begin; be killed in the last one."""
        with super().transaction() as transaction:
            yield transaction
            self.left -= 1
            if self.left == 0:
                raise Killed


def test_killed_at_each_commit_of_a_life(tmp_path: Path) -> None:
    """Killed in any transaction from the record to the end: a run ends once, with one key, and is counted once."""
    for last in itertools.count(1):
        rig, keys = action_rig(tmp_path / f"{last}.db", LIFE_RULE), Counter[str]()
        rig.writer.close()
        rig.writer = writer = KilledAtCommit(tmp_path / f"{last}.db")
        rig.dispatcher = rig.make(writer)
        rig.settle()
        writer.left = last
        killed = live(rig, keys, b.create(), b.close()) + live(rig, keys, b.unlink())
        assert rig.states() == {"done": 2}, last
        assert len(keys) == 2, last
        counted = rig.writer.counters()
        assert (counted["runs_made"], counted["runs_done"]) == (2, 2), last
        rig.close()
        if not killed:
            break
    assert last > 5


DIRECTORY_RULE = (
    '[[rule]]\nname = "tell"\non = "directory"\ndirectories = ["/d"]\ncomplete = { marker = "done" }\n'
    'action = "webhook"\nendpoint = "beamline"\n'
)


def test_killed_at_each_commit_of_a_directory(tmp_path: Path) -> None:
    """Killed in any transaction while a directory becomes complete: its run ends once, with one key."""
    for last in itertools.count(1):
        rig, keys = action_rig(tmp_path / f"{last}.db", DIRECTORY_RULE), Counter[str]()
        rig.directories = {b.fid_of(9)}
        rig.tell(b.mkdir(fid=9, name=b"d"))
        rig.writer.close()
        rig.writer = writer = KilledAtCommit(tmp_path / f"{last}.db")
        rig.dispatcher = rig.make(writer)
        rig.settle()
        writer.left = last
        killed = live(rig, keys, b.create(parent=9), b.create(fid=2, parent=9, name=b"done"))
        assert rig.states() == {"done": 1}, last
        assert len(keys) == 1, last
        rig.close()
        if not killed:
            break
    assert last > 5


CHAIN_RULES = RIG_RULE + '[[rule]]\nname = "then"\nafter = "tell"\naction = "webhook"\nendpoint = "other"\n'


def test_killed_at_each_commit_of_a_chain(tmp_path: Path) -> None:
    """Killed in any transaction from the first success to the end of a chain: each rule has one run, one key."""
    for last in itertools.count(1):
        rig, keys = action_rig(tmp_path / f"{last}.db", CHAIN_RULES), Counter[str]()
        rig.tell(b.create())
        rig.writer.close()
        rig.writer = writer = KilledAtCommit(tmp_path / f"{last}.db")
        rig.dispatcher = rig.make(writer)
        rig.settle()
        writer.left = last
        killed = live(rig, keys, b.mkdir(fid=7, name=b"d"))  # which fires nothing
        assert sorted((run.rule, run.state) for run in rig.runs()) == [("tell", "done"), ("then", "done")], last
        assert keys.keys() == {run.key for run in rig.runs()}, last
        counted = rig.writer.counters()
        assert (counted["runs_made"], counted["runs_done"]) == (2, 2), last
        rig.close()
        if not killed:
            break
    assert last > 8


def live(rig: ActionRig, keys: Counter[str], *records: ChangelogRecord) -> int:
    """Let records come, and all that they cause, with a new dispatcher after a kill; return how often it was."""
    killed, due = 0, sum(rig.states().values()) + 1
    rig.feed(*number(records, rig.store.tail(MDT0).last_index))
    for _ in range(5):
        try:
            rig.tell()
            deliver(rig, keys)
        except Killed:
            killed += 1
            rig.restart()
            rig.pass_seconds(2000)
        if rig.states() == {"done": due}:
            break
    return killed


def deliver(rig: ActionRig, keys: Counter[str]) -> None:
    """Be the courier for what waits."""
    found = rig.take()
    keys.update(parcel.key for delivery in found for parcel in delivery.events)
    rig.reply(found)
