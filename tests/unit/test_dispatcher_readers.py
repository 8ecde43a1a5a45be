"""What the dispatcher gives out when: bounded readers, jobs of lost nodes, and files that lie on tape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lustre_events.config.settings import DispatcherSettings, WorkerSettings
from lustre_events.domain.rules.rule_file import parse as parse_rules
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import STAT, Job
from tests.support.model.dispatcher import CSV_RULES, FACTS, HDF5, Rig, number
from tests.support.records import builders as b

FEW = Identity("tabular", "1", "sha256:1", most_jobs=2)
RULES = {
    "": CSV_RULES,
    "facts": '[[rule]]\nname = "tables"\nextensions = ["csv"]\nextractor = "tabular"\nmin_size = "1"\n',
}
MakeRig = Callable[..., Rig]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeRig]:
    """Build a rig and close it."""
    made: list[Rig] = []

    def build(extractor: Identity, rules: str = CSV_RULES, **settings: object) -> Rig:
        parsed = parse_rules(rules, "rules", ("tabular", "hdf5", STAT))
        chosen = DispatcherSettings(**settings)  # type: ignore[arg-type]
        made.append(Rig(tmp_path / "index.db", rules=parsed, settings=chosen, extractors=(extractor, HDF5)))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


def tables(jobs: list[Job]) -> list[Job]:
    """Return the jobs of `tabular`."""
    return [job for job in jobs if job.extractor == "tabular"]


def test_no_more_jobs_read_than_the_manifest_allows(make: MakeRig) -> None:
    """Of an extractor with `jobs = 2` two jobs are out at once, waiting ones too; others are not held up."""
    rig = make(FEW, job_files=1)
    rig.feed(*number([b.create(fid=fid, name=b"%d.csv" % fid) for fid in range(1, 6)], 0))
    rig.settle()
    jobs = rig.queue.take()
    rig.queue.running = {job.id for job in jobs}

    assert len(tables(jobs)) == 2
    assert sum(len(job.items) for job in jobs if job.extractor == STAT) == 5
    rig.pass_seconds(5)
    assert tables(rig.play()) == []

    rig.queue.running -= {tables(jobs)[0].id}
    rig.answer(tables(jobs)[:1])
    rig.pass_seconds(5)
    rig.settle()
    assert len(tables(rig.queue.take())) == 1


def test_bound_is_learned_again_after_a_restart(make: MakeRig) -> None:
    """A new dispatcher counts the jobs of the one before when their leases are prolonged."""
    rig = make(FEW, job_files=1)
    rig.feed(*number([b.create(fid=fid, name=b"%d.csv" % fid) for fid in range(1, 9)], 0))
    rig.settle()
    before = tables(rig.queue.take())
    rig.queue.running = {job.id for job in before}
    rig.restart()
    rig.settle()
    after = tables(rig.queue.take())
    rig.queue.running |= {job.id for job in after}
    rig.pass_seconds(41)
    rig.settle()

    assert len(after) == 2
    assert tables(rig.queue.take()) == []
    rig.queue.running -= {job.id for job in after}
    rig.answer(after)
    rig.pass_seconds(5)
    rig.settle()
    assert tables(rig.queue.take()) == []


@pytest.mark.parametrize("lost_after", [1, 11, 39, 41, 55, 200])
def test_files_of_a_lost_node_are_given_out_again_within_a_minute(make: MakeRig, lost_after: int) -> None:
    """With the default settings, whenever its node is lost, each file of a job is in a new one within 60 s."""
    rig = make(Identity("tabular", "1", "sha256:1"))
    jobs = tables(rig.play(b.create(fid=1, name=b"a.csv"), b.create(fid=2, name=b"b.csv")))
    rig.queue.running = {job.id for job in jobs}
    promised = lost_after + WorkerSettings().worker_ttl_seconds
    found: set[str] = set()
    for second in range(lost_after + 61):
        if second >= promised:
            rig.queue.running.clear()  # the worker's promise to be alive is over
        assert second >= lost_after or not found
        rig.pass_seconds(1)
        rig.settle()
        found |= {str(item.fid) for job in tables(rig.queue.take()) for item in job.items}

    assert found == {str(item.fid) for job in jobs for item in job.items}


def on_tape(rig: Rig, *, released: bool) -> None:
    """Let HSM say something about file 1, and `stat` see it."""
    jobs = rig.play(b.hsm(fid=1))
    rig.answer([job for job in jobs if job.extractor == STAT], document=dict(FACTS) | {"released": released})


@pytest.mark.parametrize("rules", RULES)
def test_restored_file_is_extracted_at_last(make: MakeRig, rules: str) -> None:
    """A file that was released before anybody had read it has no failure; when it is restored it is extracted."""
    rig = make(Identity("tabular", "1", "sha256:1"), RULES[rules])
    first = rig.play(b.create(fid=1, name=b"a.csv"))
    rig.answer([job for job in first if job.extractor == STAT], document=dict(FACTS) | {"released": True})
    rig.pass_seconds(5)
    rig.answer(tables(first) or tables(rig.play()), "released")
    assert rig.pending() == set()
    assert rig.select("SELECT count(*) FROM document") == [0]

    on_tape(rig, released=True)
    rig.pass_seconds(5)
    rig.answer(tables(rig.play()), "released")  # rules that want facts are asked again with each new fact
    on_tape(rig, released=False)
    rig.pass_seconds(5)

    (again,) = tables(rig.play())
    rig.answer([again])
    assert rig.pending() == set()
    assert rig.select("SELECT count(*) FROM document") == [1]


def test_restored_file_with_a_document_is_left_alone(make: MakeRig) -> None:
    """A file that was extracted before it went to tape is not read again when it comes back."""
    rig = make(Identity("tabular", "1", "sha256:1"))
    rig.answer(rig.play(b.create(fid=1, name=b"a.csv")))

    on_tape(rig, released=True)
    on_tape(rig, released=False)
    rig.pass_seconds(5)

    assert tables(rig.play()) == []
    assert rig.pending() == set()
