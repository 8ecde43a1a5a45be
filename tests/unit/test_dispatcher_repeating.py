"""What people ask for again: new versions over old files, failed files once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.config.settings import DispatcherSettings
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Identity
from tests.support.model.dispatcher import HDF5, Rig, csv_rig, number
from tests.support.records.builders import create, fid_of, mkdir, unlink

SETTINGS = DispatcherSettings(settle_seconds=0.0, reprocess_rows=4, queue_jobs=20, job_files=2)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = csv_rig(tmp_path / "index.db", settings=SETTINGS)
    rig.feed(
        *number(
            [*(create(fid=each, name=b"%d.csv" % each) for each in range(1, 7)), create(fid=7, name=b"7.txt")], 0
        )
    )
    done(rig)
    yield rig
    rig.close()


def done(rig: Rig) -> int:
    """Let workers do what there is; return how many files `tabular` was given."""
    files = 0
    rig.settle()
    while jobs := rig.queue.take():
        files += sum(len(job.items) for job in jobs if job.extractor == "tabular")
        rig.answer(jobs)
    return files


def fids(*numbers: int) -> list[str]:
    return [str(fid_of(number)) for number in numbers]


def test_files_are_extracted_again_in_portions(rig: Rig) -> None:
    """Only a number of rows are pending at once; the answer says how many files of the portion were taken."""
    asked = fids(1, 2, 3, 4, 5, 6)
    first = rig.ask("reprocess", name="tabular", fids=asked)
    again = rig.ask("reprocess", name="tabular", fids=asked[4:])

    assert first == {"taken": 4, "rows": 4, "pending": 4, "waits": ""}
    assert again == {"taken": 0, "rows": 0, "pending": 4, "waits": ""}
    assert done(rig) == 4
    assert rig.ask("reprocess", name="tabular", fids=asked[4:])["taken"] == 2


def test_asking_twice_makes_no_more_work(rig: Rig) -> None:
    """A request that was carried out and whose answer was lost can be sent again."""
    rig.ask("reprocess", name="tabular", fids=fids(1, 2))

    assert rig.ask("reprocess", name="tabular", fids=fids(1, 2))["rows"] == 0


def test_only_files_that_it_concerns(rig: Rig) -> None:
    """A file that no rule gives to the extractor, and that has no document of it, is left alone; others are not."""
    rig.play(mkdir(fid=20, name=b"d"), unlink(fid=2, name=b"2.csv"))

    asked = fids(1, 2, 7, 20)
    assert rig.ask("reprocess", name="tabular", fids=asked) == {"taken": 4, "rows": 1, "pending": 1, "waits": ""}
    assert rig.ask("reprocess", name="hdf5", fids=fids(1))["rows"] == 0


def test_a_file_with_a_document_is_concerned_whatever_the_rules_say(rig: Rig) -> None:
    """Documents of an extractor whose rule is gone are brought up to date too."""
    rig.rules = type(rig.rules)()
    rig.restart()

    assert rig.ask("reprocess", name="tabular", fids=fids(1))["rows"] == 1


def test_fresh_work_goes_first(rig: Rig) -> None:
    """What is reprocessed has a low priority, and takes only a small part of a queue's places."""
    rig.ask("reprocess", name="tabular", fids=fids(1, 2, 3, 4))
    rig.settle()

    assert [len(job.items) for job in rig.queue.take()] == [2, 2]
    assert set(rig.select("SELECT priority FROM pending WHERE extractor = 'tabular'")) == {-1000}


def test_a_change_meanwhile_makes_it_fresh_work(rig: Rig) -> None:
    """A file that changes while it waits to be reprocessed is extracted as soon as any other."""
    rig.ask("reprocess", name="tabular", fids=fids(1))
    rig.feed(create(fid=1, name=b"1.csv", index=100, time_ns=rig.now_ns))
    rig.settle()

    assert (0, "create") in rig.select("SELECT priority, reason FROM pending WHERE extractor = 'tabular'")


def test_a_new_version_replaces_documents(rig: Rig) -> None:
    """After a new version reprocessed files carry its serial."""
    rig.extractors = (Identity("tabular", "2", "sha256:2"), HDF5)
    rig.restart()
    rig.ask("reprocess", name="tabular", fids=fids(1))
    done(rig)

    serials = (
        "SELECT serial FROM document JOIN object ON object = object.id WHERE fid = ? AND extractor = 'tabular'"
    )
    assert rig.select(serials, fid_of(1).pack()) == [2]


@pytest.mark.parametrize(
    ("name", "sentence"), [("tabluar", "did you mean tabular"), ("stat", "lustre-events scan")]
)
def test_unknown_extractors_are_refused(rig: Rig, name: str, sentence: str) -> None:
    """An extractor must be installed; facts are read again by a scan."""
    with pytest.raises(ConfigError, match=sentence):
        rig.ask("reprocess", name=name, fids=[])


@pytest.fixture
def failed(rig: Rig) -> Rig:
    """A rig in which `tabular` has failed for file 8 for good."""
    rig.feed(create(fid=8, name=b"8.csv", index=200, time_ns=rig.now_ns))
    for _ in range(8):
        rig.pass_seconds(100)
        rig.settle()
        jobs = rig.queue.take()
        rig.answer([job for job in jobs if job.extractor != "tabular"])
        rig.answer([job for job in jobs if job.extractor == "tabular"], "failed", error="no table")
    assert rig.select("SELECT count(*) FROM document WHERE failure IS NOT NULL") == [1]
    return rig


def test_a_failed_file_is_tried_again(failed: Rig) -> None:
    """It has all its tries again, at once; the failure stays until there is a document."""
    works = [[str(fid_of(8)), "tabular"]]

    assert failed.ask("retry", works=works) == {"rows": 1}
    assert failed.ask("retry", works=works) == {"rows": 0}
    assert failed.select("SELECT count(*) FROM document WHERE failure IS NOT NULL") == [1]
    assert done(failed) == 1
    assert failed.select("SELECT count(*) FROM document WHERE failure IS NOT NULL") == [0]


def test_failures_can_be_forgotten(failed: Rig) -> None:
    """What was dropped is gone, good documents stay."""
    works = [[str(fid_of(8)), "tabular"], [str(fid_of(1)), "tabular"]]
    before = failed.select("SELECT count(*) FROM document WHERE body IS NOT NULL")

    assert failed.ask("drop", works=works) == {"dropped": 1}
    assert failed.ask("drop", works=works) == {"dropped": 0}
    assert failed.select("SELECT count(*) FROM document WHERE body IS NULL") == [0]
    assert failed.select("SELECT count(*) FROM document WHERE body IS NOT NULL") == before


def test_too_many_at_once_are_refused(rig: Rig) -> None:
    """A portion is bounded, so that no request holds up a step."""
    with pytest.raises(ConfigError, match="arguments of a request are wrong"):
        rig.ask("drop", works=[[str(fid_of(1)), "tabular"]] * 1001)
