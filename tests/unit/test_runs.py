"""A run of a program over several files: what is true of it however it is launched."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.changelog.fid import FID
from lustre_events.jobs.messages import JobItem
from tests.support.rows import each_row
from tests.support.service.images import write_extractor
from workers.child_process import Ended
from workers.files import OpenFile
from workers.runs import Launch, ProgramRun, run_contract

WELL = Ended(0, "", "")
FILES = [OpenFile(JobItem(FID(1, number, 0), 1, b"%d.csv" % number), -1, b"/%d.csv" % number) for number in (1, 2)]


def launch(*, seconds: float = 0.0, swapped: frozenset[str] = frozenset(), ended: Ended = WELL) -> Launch:
    """Return a launch of a program that takes so long and has a document for each file."""

    def run(start: ProgramRun) -> tuple[Ended, frozenset[str]]:
        time.sleep(seconds)
        asked = [json.loads(line) for line in start.stdin.splitlines()]
        for one in asked:
            start.on_line(json.dumps({"id": one["id"], "document": {"a": 1}}).encode(), True)
        start.on_line(json.dumps({"end": len(asked)} if asked else {"a": 1}).encode(), True)
        return ended, swapped & {one.id for one in start.inputs}

    return run


def told(folder: Path, contract: str, how: Launch, seconds: float = 60.0) -> Sequence[tuple[str, str]]:
    """Return status and error of each file."""
    manifest = write_extractor(folder, "x", "", contract=f'"{contract}"')
    return [(found.status, found.error) for found in run_contract(manifest, FILES, seconds, how, "/in")]


@pytest.mark.parametrize("contract", ["batch", "single"])
def test_a_file_that_was_swapped_has_no_document(tmp_path: Path, contract: str) -> None:
    """What was said of a file that was not the one that had been opened is of another file: it is gone."""
    assert told(tmp_path, contract, launch(swapped=frozenset({"0002"}))) == [("ok", ""), ("gone", "")]


def test_files_that_a_job_has_no_time_for_are_said(tmp_path: Path) -> None:
    """With a run for each file, the time of the job is that of all: who comes late is not run, and told why."""
    late = "no answer: the job's 0.05 s were used up by other files"
    assert told(tmp_path, "single", launch(seconds=0.1), 0.05) == [("ok", ""), ("failed", late)]


@pytest.mark.parametrize("ended", [replace(WELL, killed="it took longer than 1 s"), replace(WELL, exit_code=3)])
def test_a_program_that_failed_has_no_document(tmp_path: Path, ended: Ended) -> None:
    """What a program printed before it ended badly does not count where it has one file."""
    assert [status for status, _ in told(tmp_path, "single", launch(ended=ended))] == ["failed", "failed"]


@each_row(("code", "final"), [(65, True), (1, False), (3, False)])
def test_a_program_for_one_file_says_by_its_exit_code_what_is_final(tmp_path: Path, code: int, final: bool) -> None:
    """Exit code 65 (EX_DATAERR) says that another try would fail alike; others say nothing of it."""
    manifest = write_extractor(tmp_path, "x", "", contract='"single"')
    found = run_contract(manifest, FILES, 60, launch(ended=replace(WELL, exit_code=code)), "/in")
    assert [one.final for one in found] == [final, final]
