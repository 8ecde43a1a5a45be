"""What the dispatcher tells the journal."""

from __future__ import annotations

import logging
import os

import pytest

from lustre_events.cli.main import main
from lustre_events.dispatcher.journal import status_sentence, step_sentence


def test_a_step_says_what_and_how_much() -> None:
    """The sentence of a step names records and how far they go, results, and jobs with their files."""
    counters = {"records": 812, "results": 40, "jobs": 3, "job_files": 120}
    assert step_sentence(counters, [("lustre-MDT0000", 4711)]) == (
        "committed 812 records (lustre-MDT0000 up to 4711), 40 results; gave out 3 jobs of 120 files"
    )
    assert step_sentence({"results": 2}, ()) == "committed 2 results"
    assert "812 records and 40 results" in status_sentence(counters)


def test_what_ends_a_process_is_an_error_in_the_journal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where stderr leads to the journal the last sentence of a process goes there as an error, not as a notice."""
    stderr = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")

    with pytest.raises(SystemExit):
        main(["status", "--config", "/nowhere.toml"])

    assert [(each.levelno, "/nowhere.toml" in each.getMessage()) for each in caplog.records] == [
        (logging.ERROR, True)
    ]
