"""What `lustre-events status` shows: how far each MDT is, what waits, what went wrong; as JSON and as text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lustre_events.errors import StreamError
from lustre_events.index.sqlite_search import Stats
from lustre_events.queues import RqQueues
from lustre_events.streams.groups import GroupPlace, RedisGroups
from lustre_events.streams.interface import Loss
from lustre_events.streams.records import RedisRecordStreams

Status = dict[str, Any]
SECOND_NS = 1_000_000_000

SUMS = {
    "records": ("named", "changed", "ignored", "unknown", "damaged"),
    "results": ("results_ok", "results_failed", "results_gone", "results_dropped"),
}
"""The dispatcher's counters that are sums of others (batch.py, outcomes.py)."""

READER_SUMS = {"records_read": ("records_stored", "records_dropped", "records_held")}
"""The same for a reader (gathering.Counters)."""


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


def of_mdt(streams: RedisRecordStreams, mdt: str, cursors: Mapping[tuple[str, int], int]) -> Status:
    """Return how far one MDT is: what its reader published, its streams, what it lost. Raises StreamUnavailable.

    `behind` counts indexes that are stored and not committed, over all epochs; legal gaps count too.
    """
    state = streams.reader_state(mdt)
    rows, behind = [], 0
    for epoch in streams.epochs(mdt):
        facts = streams.facts(mdt, epoch)
        committed = cursors.get((mdt, epoch), 0)
        behind += max(0, facts.last_index - max(committed, facts.first_index - 1))
        rows.append({"epoch": epoch, "committed": committed, "last_index": facts.last_index,
                     "first_index": facts.first_index, "blocks": facts.blocks, "bytes": facts.bytes})  # fmt: skip
    return {
        **state,
        "streams": rows,
        "committed_index": rows[-1]["committed"] if rows else 0,
        "behind": behind,
        "losses": [_loss(each) for each in streams.continuity(mdt)],
    }


def of_continuity(streams: RedisRecordStreams, mdts: Sequence[str] = ()) -> Status:
    """Return, per MDT (none named: all), what was lost. Raises StreamUnavailable."""
    return {mdt: [_loss(each) for each in streams.continuity(mdt)] for mdt in mdts or streams.mdts()}


def of_groups(groups: RedisGroups) -> Status:
    """Return, per subscriber group, how far it is and what it lost. Raises StreamUnavailable."""
    found: Status = {}
    for name in groups.names():
        places = groups.places(name)
        found[name] = {
            "behind": {mdt: sum(each.behind for each in places if each.mdt == mdt) for mdt in _mdts(places)},
            "unacknowledged_blocks": sum(each.unacknowledged for each in places),
            "consumers": max((each.consumers for each in places), default=0),
            "lost": [
                {"mdt": each.mdt, "epoch": each.epoch, "first_index": each.first_index,
                 "last_index": each.last_index, "time_ns": each.time_ns}
                for each in groups.lost(name)
            ],
        }  # fmt: skip
    return found


def collect(
    stats: Stats, streams: RedisRecordStreams | None, groups: RedisGroups | None, queues: RqQueues | None
) -> Status:
    """Return everything; what cannot be reached is left out and said under `problems`."""
    status: Status = {"time_ns": time.time_ns(), "index": of_index(stats), "problems": []}
    cursors = {(mdt, epoch): position for mdt, epoch, position in stats.cursors}
    try:
        if streams is not None:
            status["mdts"] = {mdt: of_mdt(streams, mdt, cursors) for mdt in streams.mdts()}
            status["dispatcher"] = streams.state()
        if groups is not None:
            status["groups"] = of_groups(groups)
        if queues is not None:
            status["rq"] = queues.stats()
    except StreamError as exc:
        status["problems"].append(str(exc))
    return status


def lines(status: Status) -> Iterator[str]:
    """Yield the status as lines for a person."""
    yield from index_lines(status["index"])
    for mdt, state in status.get("mdts", {}).items():
        yield from mdt_lines(mdt, state, status["time_ns"])
    for name, group in status.get("groups", {}).items():
        yield from group_lines(name, group)
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
    yield from (f"  {line}" for line in sums(index["counters"]))


def mdt_lines(mdt: str, state: Status, now_ns: int) -> Iterator[str]:
    """Yield how far an MDT is, on one line, and then what is wrong with it."""
    caught_up = int(state.get("caught_up_time_ns", 0))
    age = f"caught up {max(0, now_ns - caught_up) / SECOND_NS:.1f} s ago" if caught_up else "not caught up yet"
    kept, size = sum(row["blocks"] for row in state["streams"]), sum(row["bytes"] for row in state["streams"])
    yield (
        f"{mdt}: read {state.get('read_index', 0)}, stored {state.get('stored_index', 0)}, "
        f"committed {state['committed_index']}, cleared {state.get('cleared_index', 0)}; "
        f"{state['behind']} behind, {age}; {state.get('records_per_second', 0)} records/s; "
        f"stream: {kept} blocks, {size / 1024:.0f} KiB"
        + (f" in {len(state['streams'])} epochs" if len(state["streams"]) > 1 else "")
    )
    yield from (f"  {_sum(name, parts, state)}" for name, parts in READER_SUMS.items() if name in state)
    if state.get("waiting"):
        yield f"  waiting: {state['waiting']}"
    if state.get("user_lost") == "1":
        yield f"  the changelog user {state.get('user')} is gone: register one and set [reader] user"
    for loss in state["losses"]:
        if not loss["accepted"]:
            yield f"  {loss_line(loss)}; compare with the file system, then: lustre-events continuity accept {mdt}"


def group_lines(name: str, group: Status) -> Iterator[str]:
    """Yield how far a subscriber group is, on one line, and then what it lost."""
    behind = (
        ", ".join(f"{count} behind on {mdt}" for mdt, count in group["behind"].items()) or "nothing to read yet"
    )
    yield (
        f"group {name}: {behind}; {group['unacknowledged_blocks']} blocks unacknowledged, "
        f"{group['consumers']} consumers"
    )
    for lost in group["lost"]:
        span = f"{lost['mdt']} {lost['first_index']} to {lost['last_index']}"
        yield f"  cut off: lost {span}, {_when(lost['time_ns'])}"


def loss_line(loss: Status) -> str:
    """Return a loss of an MDT's records as one line."""
    end = loss["last_index"] or "?"
    accepted = " (accepted)" if loss["accepted"] else ""
    return f"continuity lost: {loss['first_index']} to {end}, {_when(loss['time_ns'])}: {loss['reason']}{accepted}"


def sums(counters: Mapping[str, int]) -> Iterator[str]:
    """Yield the dispatcher's counters: those that are sums with their parts, then the others on one line."""
    for name, parts in SUMS.items():
        yield _sum(name, parts, counters)
    known = {*SUMS, *(part for parts in SUMS.values() for part in parts)}
    others = {name: count for name, count in sorted(counters.items()) if name not in known}
    if others:
        yield ", ".join(f"{name} {count}" for name, count in others.items())


def _sum(name: str, parts: tuple[str, ...], counters: Mapping[str, int | str]) -> str:
    words = (f"{counters.get(part, 0)} {part.removeprefix(f'{name}_').removeprefix('records_')}" for part in parts)
    return f"{name.replace('_', ' ')} {counters.get(name, 0)} = {' + '.join(words)}"


def _loss(loss: Loss) -> Status:
    return {"epoch": loss.epoch, "first_index": loss.first_index, "last_index": loss.last_index,
            "time_ns": loss.time_ns, "reason": loss.reason, "accepted": loss.accepted}  # fmt: skip


def _mdts(places: list[GroupPlace]) -> list[str]:
    return sorted({each.mdt for each in places})


def _when(time_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // SECOND_NS))


def _table(table: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(table.items())) or "none"
