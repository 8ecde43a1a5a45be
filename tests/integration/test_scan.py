"""A tree that was there before: scanned by workers, merged with records, whatever happens meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.config.settings import DispatcherSettings
from lustre_events.domain.times import SECOND_NS
from lustre_events.jobs.messages import SCAN, Job, Result
from tests.support.model.dispatcher import Rig, answers, csv_rig
from tests.support.model.tree_workers import TreeWorkers
from tests.support.records import builders as b

SETTINGS = DispatcherSettings(settle_seconds=0, skew_seconds=1)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path / "top"
    for folder in ("a/b", "c"):
        (made / folder).mkdir(parents=True)
    for name in ("x.csv", "a/y.csv", "a/b/z.txt"):
        (made / name).write_text("1,2\n")
    os.link(made / "x.csv", made / "c" / "again")
    (made / "a" / "link").symlink_to("b")
    os.mkfifo(made / "c" / os.fsdecode(b"\xff\n"))
    return made


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = csv_rig(tmp_path / "index.db", settings=SETTINGS, now_ns=time.time_ns())
    yield made
    made.close()


def test_a_scan_finds_every_name_and_fact(rig: Rig, top: Path) -> None:
    """Hard links, links and fifos are there, facts are known without `stat`, and rules were asked."""
    workers = TreeWorkers(rig, top)
    scan = workers.scan()
    workers.settle()

    assert workers.names() == workers.truth()
    at = rig.ask("scan-progress", scan=scan)
    assert (at["directories"], at["files"], at["left"], at["unreadable"]) == (4, 6, 0, [])
    facts = rig.select("SELECT type, size, nlink FROM object WHERE fid = ?", workers.fid("x.csv").pack())
    assert facts == [("f", 4, 2)]
    jobs = []
    while taken := rig.queue.take():  # what is not full waits for what is before it in the queue
        jobs += taken
        rig.settle()
    assert {job.extractor for job in jobs} == {"tabular"}
    assert {item.fid for job in jobs for item in job.items} == {workers.fid("x.csv"), workers.fid("a/y.csv")}


def test_a_second_scan_changes_nothing_but_what_changed(rig: Rig, top: Path) -> None:
    """What no record has told is found: a name gone, one that came, content that changed."""
    workers = TreeWorkers(rig, top)
    workers.scan()
    workers.settle()
    rig.answer(rig.queue.take())
    (top / "a" / "y.csv").write_text("1,2,3\n")
    (top / "c" / "again").rename(top / "a" / "moved")
    (top / "a" / "b" / "z.txt").unlink()
    rig.pass_seconds(10)
    workers.scan()
    workers.settle()

    assert workers.names() == workers.truth()
    assert rig.select("SELECT count(*) FROM object WHERE fid NOT IN (SELECT fid FROM link WHERE fid NOT NULL)") == [
        1
    ]
    [job] = rig.queue.take()
    assert [item.fid for item in job.items] == [workers.fid("a/y.csv")]
    assert rig.dispatcher._counters["healed"] == 2


def test_a_scan_finds_what_was_rewritten_with_its_old_size_and_time(rig: Rig, top: Path) -> None:
    """What nobody can put back is the time of the change; files that were only read are not extracted again."""
    workers = TreeWorkers(rig, top)
    workers.scan()
    workers.settle()
    rig.answer(rig.queue.take())
    before = (top / "a" / "y.csv").stat()
    time.sleep(max(0.0, before.st_ctime + 2.1 - time.time()))
    (top / "a" / "y.csv").write_text("3,4\n")
    os.utime(top / "a" / "y.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    (top / "x.csv").read_text()
    rig.pass_seconds(10)
    workers.scan()
    workers.settle()

    [job] = [job for job in rig.queue.take() if job.extractor == "tabular"]
    assert [item.fid for item in job.items] == [workers.fid("a/y.csv")]


def test_a_scan_finds_a_document_of_what_was_there_before(rig: Rig, top: Path) -> None:
    """`stat` saw a file's last change, its extractor had read it before: it is read once more.

    A later record about something else does not tell of the change.
    """
    workers = TreeWorkers(rig, top)
    workers.scan()
    workers.settle()
    written_ns = (top / "a" / "y.csv").stat().st_ctime_ns
    begun = {workers.fid("a/y.csv"): written_ns - SECOND_NS, workers.fid("x.csv"): written_ns + 60 * SECOND_NS}
    while jobs := [job for job in rig.queue.take() if job.extractor == "tabular"]:
        for job in jobs:
            rig.results.put(
                [
                    msgspec.structs.replace(each, provenance={"job": job.id, "time_ns": begun[each.fid]})
                    for each in answers(job)
                ]
            )
        rig.settle()
    assert rig.select("SELECT count(*) FROM document") == [2]
    rig.feed(b.sattr(workers.fid("a/y.csv"), time_ns=written_ns + 30 * SECOND_NS))
    workers.settle()
    for later in (True, False):
        rig.pass_seconds(10)
        workers.scan()
        workers.settle()

        jobs = [job for job in rig.queue.take() if job.extractor == "tabular"]
        assert [item.fid for job in jobs for item in job.items] == [workers.fid("a/y.csv")] * later
        rig.answer(jobs, provenance={"time_ns": written_ns + 60 * SECOND_NS})


def test_a_scan_goes_on_after_any_crash(rig: Rig, top: Path) -> None:
    """The dispatcher dies between steps, jobs are lost: what is left is in the index."""
    workers = TreeWorkers(rig, top)
    scan = workers.scan()
    for turn in range(12):
        rig.settle()
        if turn % 3 == 0:
            rig.queue.take()  # lost
            rig.pass_seconds(1_000)
        else:
            workers.work(most=1)
        rig.restart()
    workers.settle()

    assert workers.names() == workers.truth()
    assert rig.ask("scan-progress", scan=scan)["left"] == 0


def test_what_happens_while_a_directory_is_listed_wins(rig: Rig, top: Path) -> None:
    """Records of changes behind the asking win over a listing from before them, whichever comes first."""
    workers = TreeWorkers(rig, top)
    x, root = workers.fid("x.csv"), ROOT_FID
    workers.scan()
    rig.settle()
    workers.work()  # the root is listed, and its listing waits
    after_ns = rig.now_ns + 10**9
    record = b.rename(x, root, b"x.csv", to_parent=root, to=b"renamed", index=1, time_ns=after_ns)
    rig.feed(record)
    (top / "x.csv").rename(top / "renamed")
    workers.settle()

    assert workers.names() == workers.truth()


def test_a_name_that_was_removed_and_swept_does_not_come_back(rig: Rig, top: Path) -> None:
    """While a listing is under way nothing is swept that it could bring back."""
    workers = TreeWorkers(rig, top)
    x = workers.fid("x.csv")
    rig.pass_seconds(4_000)  # the dispatcher sweeps by now
    workers.scan()
    rig.settle()
    workers.work()
    results, rig.store.results = rig.store.results, type(rig.store.results)()
    (top / "x.csv").unlink()
    rig.feed(b.unlink(x, ROOT_FID, b"x.csv", index=1, time_ns=rig.now_ns + 10**9, last=False),
             b.sattr(x, index=2, time_ns=rig.now_ns + 60 * 10**9))  # fmt: skip
    rig.settle()
    rig.store.results = results
    workers.settle()

    assert workers.names() == workers.truth()


def test_a_directory_renamed_meanwhile_is_listed_at_its_new_place(rig: Rig, top: Path) -> None:
    """Its row is gone on with once the record of the rename, or its parent's listing, says where it is."""
    workers = TreeWorkers(rig, top)
    scan = workers.scan()
    rig.settle()
    workers.work()
    rig.settle()
    (top / "a").rename(top / "c" / "a")
    rig.feed(b.rename(workers.fid("c/a"), ROOT_FID, b"a", to_parent=workers.fid("c"), to=b"a", index=1,
                      time_ns=rig.now_ns + 10**9))  # fmt: skip
    for _ in range(3):
        workers.settle()
        rig.pass_seconds(60)

    assert workers.names() == workers.truth()
    assert rig.ask("scan-progress", scan=scan)["left"] == 0


def test_a_large_directory_comes_in_portions_and_is_gone_on_with(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Portions stand for themselves; one that was lost is asked for again, and a job's memory is bounded."""
    monkeypatch.setattr("workers.scan.PORTION_NAMES", 7)
    monkeypatch.setattr("workers.scan.MOST_NAMES", 30)
    top = tmp_path / "large"
    top.mkdir()
    for number in range(100):
        (top / f"{number}").touch()
    workers = TreeWorkers(rig, top)
    scan = workers.scan()
    rig.settle()
    workers.work()
    del rig.store.results[sorted(rig.store.results)[1]]  # lost
    workers.settle()

    assert workers.names() == workers.truth()
    assert rig.ask("scan-progress", scan=scan)["left"] == 0


def test_an_unreadable_directory_is_named(rig: Rig, top: Path) -> None:
    """It is counted, and the rest is scanned."""
    workers = TreeWorkers(rig, top)
    scan = workers.scan()
    rig.settle()
    workers.work()
    rig.settle()
    [job] = rig.queue.take(extractor=SCAN)
    for item in job.items:
        document: dict[str, object] = (
            {"error": "Permission denied"} if item.path == b"a" else {"entries": [], "after": ""}
        )
        rig.results.put([listing(job, item.fid, document)])
    workers.settle()

    at = rig.ask("scan-progress", scan=scan)
    assert at["unreadable"] == [["a", "Permission denied"]]
    assert at["left"] == 0


def listing(job: Job, fid: FID, document: dict[str, object]) -> Result:
    return Result(fid=fid, extractor=SCAN, serial=1, generation=0, status="ok", document=document,
                  provenance={"job": job.id})  # fmt: skip


def test_a_result_of_a_job_that_holds_nothing_is_dropped(rig: Rig, top: Path) -> None:
    """A listing that is delivered twice, or after its lease, changes nothing."""
    workers = TreeWorkers(rig, top)
    workers.scan()
    rig.settle()
    workers.work()
    results = dict(rig.store.results)
    workers.settle()
    before = rig.select("SELECT * FROM link ORDER BY parent, name")
    (top / "x.csv").unlink()
    rig.store.results.update(results)
    rig.settle()

    assert rig.select("SELECT * FROM link ORDER BY parent, name") == before
    assert {name for _, name in rig.pending()} <= {"tabular"}
