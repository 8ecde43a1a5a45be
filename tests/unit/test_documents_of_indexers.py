"""What the dispatcher and workers do where indexers write documents, without a database server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from lustre_events.dispatcher.indexer import IDLE_SECONDS, LONGEST_SECONDS, Indexer, Portions
from lustre_events.dispatcher.indexer_outcomes import MOST_WAITING, NO_ROOM, WrittenDocuments
from lustre_events.dispatcher.pauses import SHARE
from lustre_events.dispatcher.results import ResultWriter
from lustre_events.errors import StreamForbidden
from lustre_events.index.interface import DocumentWriter, IndexWriter
from lustre_events.jobs.messages import BUILTIN_QUEUE, STAT, Result
from lustre_events.jobs.pools import new_job_id, queue_of
from lustre_events.node.pool_files import rights
from lustre_events.streams.documents import RoutedResults
from tests.support.index.written import jobs_for
from tests.support.model.dispatcher import Backlog, Rig, csv_rig
from tests.support.records import builders as b
from tests.support.records.builders import fid_of
from tests.support.rows import each_row


class Sink:
    """Keeps results, unless nobody may write here."""

    def __init__(self, *, closed: bool = False) -> None:
        self._closed = closed
        self.results: list[Result] = []

    def put(self, results: Sequence[Result]) -> None:
        """Store results."""
        if self._closed:
            raise StreamForbidden("NOPERM")
        self.results += results


def some(status: str, number: int = 1) -> Result:
    return Result(fid=fid_of(number), extractor="x", serial=1, generation=1, status=status)


def test_a_worker_gives_good_documents_to_indexers_and_all_else_to_the_dispatcher() -> None:
    """The dispatcher alone knows attempts, rules and the breaker."""
    documents, results = Sink(), Sink()
    RoutedResults(documents, results).put([some(each) for each in ("ok", "failed", "gone", "released", "ok")])
    assert [each.status for each in documents.results] == ["ok", "ok"]
    assert [each.status for each in results.results] == ["failed", "gone", "released"]


def test_a_worker_whose_login_is_older_gives_documents_to_the_dispatcher() -> None:
    """Where Redis does not let it write for indexers nothing is lost, whatever was upgraded first."""
    results = Sink()
    routed = RoutedResults(Sink(closed=True), results)
    for number in (1, 2):
        routed.put([some("ok", number)])
    assert [each.fid for each in results.results] == [fid_of(1), fid_of(2)]


def test_a_pools_login_may_append_documents() -> None:
    """As to its results: it may do nothing else with the list."""
    assert "(~le:pool:lab:results ~le:pool:lab:documents +rpush)" in rights("lab")


class Shared:
    """Portions of which an indexer has read some."""

    def __init__(self, sharing: int, *, more: bool) -> None:
        self.sharing = sharing
        self.more = more


@each_row(
    ("sharing", "done", "more", "seconds"),
    [
        (1, True, True, 0.0),
        (4, True, True, 0.0),
        (1, True, False, IDLE_SECONDS / SHARE),
        (4, True, False, 4 * IDLE_SECONDS / SHARE),
        (4, False, False, 4 * IDLE_SECONDS),
        (99, False, False, LONGEST_SECONDS),
    ],
)
def test_indexers_look_together_as_often_as_one_would(
    sharing: int, seconds: float, *, done: bool, more: bool
) -> None:
    """Who has taken all that there was waits for more, and the longer, the more share the work."""
    portions = cast("Portions", Shared(sharing, more=more))
    indexer = Indexer(portions, cast("DocumentWriter", None), clock=lambda: 0, chance=lambda: 0.5)
    assert indexer.pause_after(done=done) == pytest.approx(seconds)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return csv_rig(tmp_path / "index.db", backlog=Backlog())


def test_while_documents_wait_lost_jobs_of_what_is_built_in_are_found(rig: Rig) -> None:
    """Their results come another way, so facts of files do not wait for an indexer that does not run."""
    assert isinstance(rig.backlog, Backlog)
    rig.backlog.count = 5
    assert {job.extractor for job in rig.play(b.create(fid=1, name=b"1.csv"))} == {STAT, "tabular"}
    rig.pass_seconds(3600)
    rig.settle()
    assert rig.writer.counters()["files_of_lost_jobs"] == 1


def test_while_documents_of_a_pool_wait_lost_jobs_of_others_are_found(rig: Rig) -> None:
    """What a pool writes without end delays itself alone."""
    assert isinstance(rig.backlog, Backlog)
    assert len(jobs_for(rig)) == 1
    rig.backlog.of_pools["lab"] = 5
    rig.pass_seconds(3600)
    rig.settle()
    assert rig.writer.counters()["files_of_lost_jobs"] >= 1


def test_only_those_get_no_jobs_whose_documents_nobody_takes(rig: Rig) -> None:
    """A flood of one pool, or of the site's workers, holds up no queue of others, nor what is built in."""
    backlog = Backlog(of_pools={"lab": MOST_WAITING + 1, "other": MOST_WAITING})
    written = WrittenDocuments(_NoOutcomes(), backlog, _NOBODY, lambda: 0.0)  # type: ignore[arg-type]
    written.look(0)
    lengths = dict.fromkeys(("default", BUILTIN_QUEUE, queue_of("lab"), queue_of("other")), 3)
    assert written.held_up(lengths) == {**lengths, queue_of("lab"): NO_ROOM}
    assert not written.drained_of(new_job_id(queue_of("lab")), 0)
    assert written.drained_of(new_job_id("default"), 0)
    backlog.count, backlog.of_pools = MOST_WAITING + 1, {}
    written.look(0)
    assert written.held_up(lengths) == {**lengths, "default": NO_ROOM}


_NOBODY: ResultWriter | None = None


class _NoOutcomes:
    """An index without outcomes."""

    def outcomes(self, limit: int) -> list[IndexWriter]:
        """Return none."""
        return []
