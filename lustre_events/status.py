"""What `lustre-events status` shows: how far each MDT is, what waits, what went wrong; as JSON and as text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from lustre_events.errors import StreamError
from lustre_events.index.sqlite_search import Stats
from lustre_events.queues import RqQueues
from lustre_events.streams.records import RedisRecordStreams

Status = dict[str, Any]
SECOND_NS = 1_000_000_000


def of_index(stats: Stats) -> Status:
    """Return the index's part."""
    return {
        "objects": stats.objects,
        "links": stats.links,
        "tombstones": stats.tombstones,
        "pending": stats.pending,
        "documents": stats.documents,
        "failures": stats.failures,
        "counters": stats.counters,
        "cursors": [{"mdt": mdt, "epoch": epoch, "position": position} for mdt, epoch, position in stats.cursors],
    }


def of_streams(streams: RedisRecordStreams) -> Status:
    """Return, per MDT, what its reader published and where its stream ends. Raises StreamUnavailable."""
    return {
        mdt: {
            **streams.reader_state(mdt),
            "tails": {str(epoch): streams.tail(mdt, epoch) for epoch in streams.epochs(mdt)},
        }
        for mdt in streams.mdts()
    }


def collect(stats: Stats, streams: RedisRecordStreams | None, queues: RqQueues | None) -> Status:
    """Return everything; what cannot be reached is left out and said under `problems`."""
    status: Status = {"time_ns": time.time_ns(), "index": of_index(stats), "problems": []}
    try:
        if streams is not None:
            status["mdts"] = of_streams(streams)
            status["dispatcher"] = streams.state()
        if queues is not None:
            status["rq"] = queues.stats()
    except StreamError as exc:
        status["problems"].append(str(exc))
    return status


def lines(status: Status) -> Iterator[str]:
    """Yield the status as lines for a person."""
    yield from index_lines(status["index"])
    for mdt, state in status.get("mdts", {}).items():
        yield (
            f"{mdt}: read {state.get('read_index', 0)}, stored {state.get('stored_index', 0)}, "
            f"safe {state.get('safe_index', 0)}, cleared {state.get('cleared_index', 0)}, "
            f"{state.get('records_per_second', 0)} records/s"
        )
        if state.get("waiting"):
            yield f"  waiting: {state['waiting']}"
        if state.get("user_lost") == "1":
            yield f"  the changelog user {state.get('user')} is gone: register one and set [reader] user"
    for name, queue in status.get("rq", {}).get("queues", {}).items():
        yield f"queue {name}: {queue['waiting']} jobs waiting, {queue['running']} running, {queue['failed']} failed"
    workers = status.get("rq", {}).get("workers")
    if workers is not None:
        yield f"workers: {len(workers)}"
    for problem in status["problems"]:
        yield f"problem: {problem}"


def index_lines(index: Status) -> Iterator[str]:
    """Yield the index's part as lines for a person."""
    yield f"index: {index['objects']} objects, {index['links']} names, {index['tombstones']} tombstones"
    yield f"  documents: {_table(index['documents'])}"
    yield f"  pending:   {_table(index['pending'])}"
    yield f"  failed:    {_table(index['failures'])}"
    for cursor in index["cursors"]:
        yield f"  {cursor['mdt']}: committed up to {cursor['position']} (epoch {cursor['epoch']})"
    yield from (f"  {line}" for line in sums(index["counters"]))


def sums(counters: Mapping[str, int]) -> Iterator[str]:
    """Yield the dispatcher's counters as sums that add up."""
    yield ", ".join(f"{name} {value}" for name, value in counters.items())


def _table(table: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(table.items())) or "none"
