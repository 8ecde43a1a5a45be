"""Extractors that fail for everything, and those that somebody suspends or disables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.config.settings import DispatcherSettings
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import STAT, Job
from tests.support.model.dispatcher import HDF5, Rig, answers, csv_rig
from tests.support.records.builders import create, fid_of

SETTINGS = DispatcherSettings(job_files=1, settle_seconds=0.0, breaker_jobs=3)
NO_IMAGE = "base: the image of tabular is not there"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = csv_rig(tmp_path / "index.db", settings=SETTINGS)
    yield rig
    rig.close()


def tabular(rig: Rig, count: int = 1) -> list[Job]:
    """Make this number of new files, and return the jobs of `tabular` for them."""
    first = rig.select("SELECT count(*) FROM object")[0] + 1
    jobs = rig.play(*[create(fid=number, name=b"%d.csv" % number) for number in range(first, first + count)])
    rig.answer([job for job in jobs if job.extractor == STAT])
    return [job for job in jobs if job.extractor == "tabular"]


def more(rig: Rig, seconds: float = 20.0) -> list[Job]:
    """Let time pass, and return the jobs of `tabular` that this makes due."""
    rig.pass_seconds(seconds)
    rig.settle()
    return rig.queue.take(extractor="tabular")


def blame(rig: Rig, jobs: list[Job]) -> None:
    """Answer jobs as a worker without the image."""
    for job in jobs:
        provenance = {"job": job.id}
        rig.results.put(answers(job, "failed", error=NO_IMAGE, blame="extractor", provenance=provenance))
    rig.settle()


def attempts(rig: Rig) -> set[int]:
    return set(rig.select("SELECT attempts FROM pending WHERE extractor = 'tabular'"))


def state(rig: Rig) -> tuple[str | None, int]:
    return rig.select("SELECT suspended, failing FROM extractor WHERE name = 'tabular'")[0]


def test_an_extractor_that_fails_for_everything_is_suspended(rig: Rig) -> None:
    """Three jobs in a row without anybody's fault suspend it, with the reason; its rows wait with all tries."""
    blame(rig, tabular(rig, 3))

    assert state(rig) == (f"3 jobs in a row failed, with every file: {NO_IMAGE}", 3)
    assert attempts(rig) == {0}
    assert more(rig, 30) == []


def test_fewer_jobs_do_not_suspend_it(rig: Rig) -> None:
    """Two failed jobs and a good one are no row of three."""
    blame(rig, tabular(rig, 2))
    rig.answer(tabular(rig))
    blame(rig, tabular(rig, 2))

    assert state(rig) == (None, 2)


def test_results_of_one_job_count_once(rig: Rig) -> None:
    """A job whose results come in pieces is one job."""
    (job,) = tabular(rig)
    for _ in range(5):
        blame(rig, [job])

    assert state(rig) == (None, 1)


def test_a_file_that_alone_breaks_the_runtime_uses_its_tries(rig: Rig) -> None:
    """Where others succeed in between, blaming the extractor does not keep a file for ever."""
    poison = tabular(rig)
    for _ in range(SETTINGS.attempts):
        blame(rig, poison)
        rig.answer(tabular(rig))
        poison = more(rig, 100)

    assert (fid_of(1), "tabular") not in rig.pending()
    assert "image" in rig.select("SELECT failure FROM document WHERE failure IS NOT NULL")[0]


def test_others_go_on(rig: Rig) -> None:
    """While one extractor is suspended, facts are read as usual."""
    blame(rig, tabular(rig, 3))

    assert {job.extractor for job in rig.play(create(fid=9, name=b"9.csv"))} == {STAT}


def test_one_job_tries_whether_it_works_again(rig: Rig) -> None:
    """After the wait one job goes out; a failure waits again, a success resumes everything."""
    blame(rig, tabular(rig, 5))

    probe = more(rig, 61)
    assert len(probe) == 1
    blame(rig, probe)
    assert more(rig, 30) == []
    probe = more(rig, 61)
    assert len(probe) == 1
    rig.answer(probe)

    assert state(rig) == (None, 0)
    assert len(more(rig)) == 4


def test_the_breaker_survives_a_restart(rig: Rig) -> None:
    """A new dispatcher knows what is suspended, and tries one job at once."""
    blame(rig, tabular(rig, 4))
    rig.restart()
    rig.pass_seconds(20)

    rig.settle()
    assert len(rig.queue.take(extractor="tabular")) == 1
    assert state(rig)[1] == 4


def test_a_new_version_lifts_the_breaker(rig: Rig) -> None:
    """Whoever fixes the extractor need not resume it."""
    blame(rig, tabular(rig, 3))
    rig.extractors = (Identity("tabular", "2", "sha256:9"), HDF5)
    rig.restart()

    assert state(rig) == (None, 0)
    assert len(more(rig, 20)) == 3


def test_a_person_suspends_and_resumes(rig: Rig) -> None:
    """Its work waits until it is resumed, over restarts and new versions; nothing probes it."""
    assert rig.ask("suspend", name="tabular", reason="maintenance") == {
        "changed": True,
        "suspended": "maintenance",
        "disabled": False,
    }
    assert tabular(rig, 2) == []
    rig.extractors = (Identity("tabular", "2", "sha256:9"), HDF5)
    rig.restart()
    assert more(rig, 600) == []
    assert rig.ask("suspend", name="tabular", reason="maintenance")["changed"] is False

    rig.ask("resume", name="tabular")
    assert len(more(rig)) == 2


def test_a_disabled_extractor_gets_no_work(rig: Rig) -> None:
    """Rules pass it over; what waited before waits on, what changes meanwhile is not kept for it."""
    rig.ask("suspend", name="tabular")
    tabular(rig)
    rig.ask("disable", name="tabular")
    rig.ask("resume", name="tabular")
    tabular(rig)

    assert more(rig) == []
    rig.ask("enable", name="tabular")
    assert [job.items[0].fid for job in more(rig)] == [fid_of(1)]


@pytest.mark.parametrize(
    ("action", "name", "sentence"),
    [("suspend", "tabluar", "did you mean tabular"), ("disable", STAT, "suspended, not disabled")],
)
def test_what_cannot_be_is_refused(rig: Rig, action: str, name: str, sentence: str) -> None:
    """An unknown name and the built-in `stat` are refused with a sentence."""
    with pytest.raises(ConfigError, match=sentence):
        rig.ask(action, name=name)


def test_states_are_published(rig: Rig) -> None:
    """What is suspended stands in the dispatcher's state, for `status` and `extractor list`."""
    rig.ask("suspend", name="tabular", reason="r")
    rig.pass_seconds(2)
    rig.settle()

    found = json.loads(rig.streams.state()["extractors"])
    assert found["tabular"] == {"version": "1", "suspended": "r", "disabled": False, "failing": 0}


def test_many_rows_that_wait_are_not_looked_at(rig: Rig) -> None:
    """What others do does not get slower by the rows of a suspended extractor: no index walks over them."""
    plan = rig.select(
        "EXPLAIN QUERY PLAN SELECT * FROM pending WHERE queue = 'q' AND priority = 0 AND extractor = 'x'"
        " AND due_ns <= 5 ORDER BY due_ns LIMIT 9"
    )

    assert "pending_due (queue=? AND priority=? AND extractor=? AND due_ns<?)" in plan[0][3]


def test_a_file_that_is_given_back_is_tried_again_an_hour_later_and_blames_nobody(rig: Rig) -> None:
    """However often a pool's workers may not read a file, it has all its tries, and its extractor goes on."""
    jobs = tabular(rig, 3)
    for _ in range(5):
        for job in jobs:
            provenance = {"job": job.id}
            rig.results.put(answers(job, "failed", error="may not read", blame="worker", provenance=provenance))
        rig.settle()
        assert state(rig) == (None, 0)
        assert attempts(rig) == {0}
        assert set(rig.select("SELECT error FROM pending WHERE extractor = 'tabular'")) == {"may not read"}
        assert more(rig, 3_000) == []
        jobs = more(rig, 601)
        assert sum(len(job.items) for job in jobs) == 3
