"""The index heals itself: what workers find otherwise is asked of the file system, and corrected."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.jobs.messages import HEAL, STAT
from tests.support.model.dispatcher import MDT0, MDT1, Rig, csv_rig
from tests.support.model.tree_workers import TreeWorkers
from tests.support.records import builders as b

SECOND_NS = 10**9
SETTINGS = DispatcherSettings(settle_seconds=0, retry_seconds=1)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = csv_rig(tmp_path / "index.db", settings=SETTINGS, now_ns=time.time_ns())
    yield made
    made.close()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path / "top"
    (made / "d").mkdir(parents=True)
    (made / "a").touch()
    return made


def scanned(rig: Rig, top: Path, *, tells: bool) -> TreeWorkers:
    workers = TreeWorkers(rig, top, tells=tells)
    workers.scan()
    workers.settle()
    rig.pass_seconds(60)
    return workers


def drain(rig: Rig, workers: TreeWorkers) -> None:
    """Work until no question about the file system is left."""
    for _ in range(20):
        workers.settle()
        if not rig.pending():
            return
        rig.pass_seconds(20)
    raise AssertionError(rig.pending())


def healed(rig: Rig) -> int:
    return rig.dispatcher._counters["healed"]


@pytest.mark.parametrize("tells", [True, False])
def test_a_rename_that_no_record_told_is_found_by_the_next_stat(rig: Rig, top: Path, *, tells: bool) -> None:
    """By fid2path at once; where there is none, the old name's directory is listed; a scan finds the new one."""
    workers = scanned(rig, top, tells=tells)
    (top / "a").rename(top / "d" / "b")
    rig.feed(b.sattr(workers.fid("d/b"), index=1, time_ns=rig.now_ns))
    drain(rig, workers)

    assert healed(rig) == (2 if tells else 1)
    if not tells:
        workers.scan()
        drain(rig, workers)
    assert workers.names() == workers.truth()


def test_one_of_two_names_that_is_wrong_is_corrected(rig: Rig, top: Path) -> None:
    """A hard link removed without a record: the other name stays."""
    os.link(top / "a", top / "d" / "other")
    workers = scanned(rig, top, tells=True)
    (top / "a").rename(top / "c")
    rig.feed(b.sattr(workers.fid("c"), index=1, time_ns=rig.now_ns))
    drain(rig, workers)

    assert workers.names() == workers.truth()


def test_records_of_two_mdts_in_the_wrong_order_are_put_right(rig: Rig, top: Path) -> None:
    """MDT1's clock is behind: its rename seems to be older than the creation; the object is asked for."""
    workers = TreeWorkers(rig, top, tells=True)
    a, d, now_ns = workers.fid("a"), workers.fid("d"), rig.now_ns
    rig.feed(b.mkdir(d, ROOT_FID, b"d", index=1, time_ns=now_ns - 9 * SECOND_NS), mdt=MDT1)
    rig.feed(b.create(a, ROOT_FID, b"a", index=1, time_ns=now_ns), mdt=MDT0)
    (top / "a").rename(top / "d" / "a")
    rig.feed(b.rename(a, ROOT_FID, b"a", to_parent=d, to=b"a", index=2, time_ns=now_ns - 2 * SECOND_NS), mdt=MDT1)
    rig.settle()
    assert (a, HEAL) in rig.pending()
    drain(rig, workers)

    assert workers.names() == workers.truth()
    assert healed(rig) == 1


def test_records_of_one_mdt_contest_nothing(rig: Rig, top: Path) -> None:
    """Within an MDT the order is known: no question is asked."""
    workers = TreeWorkers(rig, top, tells=True)
    a = workers.fid("a")
    renamed = b.rename(a, ROOT_FID, b"x", to_parent=ROOT_FID, to=b"a", index=2, time_ns=rig.now_ns - SECOND_NS)
    rig.feed(b.create(a, ROOT_FID, b"x", index=1, time_ns=rig.now_ns), renamed)
    rig.settle()

    assert {name for _, name in rig.pending()} == {STAT}


def test_an_object_that_is_gone_without_a_record_leaves_the_index(rig: Rig, top: Path) -> None:
    """Its name is found to lead nowhere, then the object goes too."""
    workers = scanned(rig, top, tells=True)
    a = workers.fid("a")
    (top / "a").unlink()
    rig.feed(b.sattr(a, index=1, time_ns=rig.now_ns))
    drain(rig, workers)

    assert workers.names() == workers.truth()
    assert rig.select("SELECT count(*) FROM object WHERE fid = ?", a.pack()) == [0]


def test_who_lost_its_name_without_a_record_leaves_the_index(rig: Rig, top: Path) -> None:
    """A file that another was renamed over, with no record of it, is looked for, and found to be gone."""
    (top / "d" / "b").touch()
    workers = scanned(rig, top, tells=True)
    a, b_fid = workers.fid("a"), workers.fid("d/b")
    (top / "d/b").rename(top / "a")
    rig.feed(b.sattr(b_fid, index=1, time_ns=rig.now_ns))
    drain(rig, workers)

    assert workers.names() == workers.truth()
    assert rig.select("SELECT fid FROM object WHERE fid = ?", a.pack()) == []


def test_nonsense_is_no_answer(rig: Rig, top: Path) -> None:
    """An answer that cannot be understood is a failed attempt, and writes nothing."""
    workers = scanned(rig, top, tells=True)
    (top / "a").rename(top / "b")
    rig.feed(b.sattr(workers.fid("b"), index=1, time_ns=rig.now_ns))
    rig.settle()
    rig.pass_seconds(1)
    rig.settle()
    workers.work([STAT])
    rig.settle()
    rig.pass_seconds(60)
    rig.settle()
    before = workers.names()
    rig.answer(rig.queue.take(extractor=HEAL), document={"names": [["no FID", "a"]], "whole": True})

    assert workers.names() == before
    assert rig.dispatcher._counters["results_failed"] == 1


def test_the_old_fid_of_a_split_directory_is_gone(rig: Rig, top: Path) -> None:
    """A FID for which fid2path gives the path of another directory is a stripe: gone, not failed."""
    workers = TreeWorkers(rig, top, tells=True)
    stripe = b.fid_of(77)
    workers.stripes[stripe] = b"d/"
    rig.feed(b.mkdir(stripe, name=b"old", index=1, time_ns=rig.now_ns))
    rig.settle()
    rig.pass_seconds(60)
    drain(rig, workers)

    assert rig.select("SELECT count(*) FROM document WHERE failure IS NOT NULL") == [0]
    assert rig.select("SELECT count(*) FROM object WHERE fid = ?", stripe.pack()) == [0]
