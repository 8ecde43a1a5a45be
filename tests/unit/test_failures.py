"""Failed files picked out, and files reprocessed, over an index and a dispatcher in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lustre_events.config.settings import DispatcherSettings
from lustre_events.errors import ConfigError
from lustre_events.index import open_search
from lustre_events.index.search.failures import Choice, age_seconds, find
from lustre_events.jobs.requests import Request
from lustre_events.repair.reprocess import reprocess
from tests.support.model.dispatcher import Rig, csv_rig, number
from tests.support.records.builders import create
from tests.support.rows import each_row

SETTINGS = DispatcherSettings(settle_seconds=0.0, attempts=1, reprocess_rows=3)
ODD = b'we:ird "na(me)" *.csv'


class Asking:
    """Asks the dispatcher of a Rig, whose workers do everything between two requests."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.pauses = 0

    def ask(self, action: str, arguments: Mapping[str, Any], timeout_seconds: float = 0) -> dict[str, Any]:
        """See `interface.Requests`."""
        return self._rig.ask(action, **arguments)

    def read(self, limit: int) -> list[Request]:
        """See `interface.Requests`; the dispatcher has its own."""
        return []

    def answer(self, replies: Any) -> None:
        """See `read`."""

    def work(self, _seconds: float) -> None:
        """Let the workers work."""
        self.pauses += 1
        self._rig.settle()
        while jobs := self._rig.queue.take():
            self._rig.answer(jobs)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = csv_rig(tmp_path / "index.db", settings=SETTINGS)
    names = [b"a.csv", b"b.csv", ODD, b"c.csv", b"d.csv"]
    rig.feed(*number([create(fid=n, name=name) for n, name in enumerate(names, 1)], 0))
    Asking(rig).work(0)
    yield rig
    rig.close()


def fail(rig: Rig, *numbers: int, error: str = "no table", time_ns: int = 5) -> None:
    """Let `tabular` fail for files."""
    rig.feed(*number([create(fid=each, name=b"%d.csv" % each) for each in numbers], 6))
    rig.settle()
    while jobs := rig.queue.take():
        for job in jobs:
            if job.extractor == "tabular":
                rig.answer([job], "failed", error=error, provenance={"job": job.id, "time_ns": time_ns})
            else:
                rig.answer([job])


def found(rig: Rig, tmp_path: Path, **fields: Any) -> list[str]:
    with open_search(f"sqlite:///{tmp_path / 'index.db'}") as search:
        return sorted(each.line() for each in find(search, Choice(**fields)))


def test_an_error_is_shown_as_it_was_told(rig: Rig, tmp_path: Path) -> None:
    r"""Its backslashes are not doubled; what would move a cursor is escaped."""
    fail(rig, 21, error=r"can't decode b'\xff' " + "\x1b[2J")

    assert found(rig, tmp_path) == [r"/21.csv: tabular: can't decode b'\xff' \x1b[2J"]


def test_failures_are_picked_out(rig: Rig, tmp_path: Path) -> None:
    """By extractor, path, a part of the error in any case, and time."""
    fail(rig, 21, error="No Table here", time_ns=100)
    line = ["/21.csv: tabular: No Table here"]

    assert found(rig, tmp_path) == line
    assert found(rig, tmp_path, extractor="tab*", path="/*.csv", error="no table", since_ns=100) == line
    assert found(rig, tmp_path, extractor="hdf5") == []
    assert found(rig, tmp_path, path="/d/*") == []
    assert found(rig, tmp_path, error="other") == []
    assert found(rig, tmp_path, since_ns=101) == []


@pytest.mark.parametrize("word", ['we:ird "na(me)" *', "a b", "alice/tables", "[x", "AND", "a\\b"])
def test_any_text_can_be_asked_for(rig: Rig, tmp_path: Path, word: str) -> None:
    """What a user types is never taken for a part of the query language."""
    assert found(rig, tmp_path, extractor=word) == []
    assert found(rig, tmp_path, path=f"/{word}") == []


@each_row(("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("2w", 1209600)])
def test_spans_of_time(text: str, seconds: int) -> None:
    """A number with its unit."""
    assert age_seconds(text) == seconds


@each_row("text", ["", "7", "7 d", "-1h", "1y"])
def test_what_is_no_span_is_refused(text: str) -> None:
    """The sentence shows how to write one."""
    with pytest.raises(ConfigError, match="write it like 90s"):
        age_seconds(text)


def test_everything_that_matches_is_extracted_again(rig: Rig, tmp_path: Path) -> None:
    """Portion by portion, never more pending than allowed, until nothing is left; told at each turn."""
    asking = Asking(rig)
    with open_search(f"sqlite:///{tmp_path / 'index.db'}") as search:
        steps = list(reprocess(search, asking, "tabular", "type:f", asking.work))

    assert (steps[-1].total, steps[-1].asked, steps[-1].rows, steps[-1].done) == (5, 5, 5, 5)
    assert max(each.pending for each in steps) <= SETTINGS.reprocess_rows
    assert asking.pauses >= 2


def test_a_suspended_extractor_is_said(rig: Rig, tmp_path: Path) -> None:
    """Whoever waits learns for what."""
    asking = Asking(rig)
    rig.ask("suspend", name="tabular", reason="r")
    with open_search(f"sqlite:///{tmp_path / 'index.db'}") as search:
        assert next(reprocess(search, asking, "tabular", "type:f", asking.work)).waits == "it is suspended: r"


def test_nothing_that_matches_is_nothing_to_do(rig: Rig, tmp_path: Path) -> None:
    """It ends at once."""
    asking = Asking(rig)
    with open_search(f"sqlite:///{tmp_path / 'index.db'}") as search:
        (only,) = reprocess(search, asking, "tabular", "name:none", asking.work)

    assert (only.total, only.rows) == (0, 0)
