"""What follows results: it is told in the transaction that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.result_outcome import ResultOutcome
from lustre_events.dispatcher.turn import Turn
from lustre_events.jobs.messages import STAT
from tests.support.model.dispatcher import answers, csv_rig
from tests.support.records.builders import create, fid_of


def test_outcomes_are_told_once_and_with_the_document(tmp_path: Path) -> None:
    """Each result that counts has one outcome, told when its document is there; one that comes again has none."""
    told: list[tuple[str, str, bool]] = []

    def follow(turn: Turn, outcomes: Sequence[ResultOutcome]) -> None:
        there = turn.transaction.documents([each.row.fid for each in outcomes])
        told.extend((each.extractor, each.status, (each.row.fid, each.extractor) in there) for each in outcomes)

    rig = csv_rig(tmp_path / "index.db", follow=follow, settings=DispatcherSettings(settle_seconds=0.0))
    jobs = {job.extractor: job for job in rig.play(create(fid=1, name=b"a.csv"))}
    rig.answer([jobs[STAT]])
    job = jobs["tabular"]
    for _ in range(2):
        rig.results.put(answers(job, document={"k": 1}))
        rig.settle()
    rig.close()

    assert told == [(STAT, "ok", False), ("tabular", "ok", True)]
    assert fid_of(1) == job.items[0].fid
