"""What `status` shows, as JSON types: from the index, the streams in Redis, and RQ.

    time_ns, problems     when; what could not be asked, a sentence each
    index                 sums of the index (left out where there is none)
    mdts                  per MDT: what its reader published, streams, how far the index is behind, losses
    dispatcher            what the dispatcher published
    extractors            per extractor: state, results, files per second, failure rate, seconds per file
    rules_problems        what is wrong with rules or extractors, by the dispatcher: a sentence each
    rates                 of the dispatcher, per second, over `seconds`
    groups, rq            subscriber groups; queues and workers

What Redis tells is left out where it does not answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lustre_events.domain import tallies
from lustre_events.domain.tallies import Tally
from lustre_events.errors import StreamError, StreamUnavailable
from lustre_events.index.reading import Stats
from lustre_events.jobs.queues import RqQueues
from lustre_events.streams import keys
from lustre_events.streams.groups import GroupPlace, RedisGroups
from lustre_events.streams.interface import Loss
from lustre_events.streams.records import RedisRecordStreams

Status = dict[str, Any]
SECOND_NS = 1_000_000_000

RATES = ("records", "results", "jobs", "job_files", "links")
"""The counters of which `status` tells how fast they grow."""

STATE = {"version": None, "suspended": None, "disabled": False, "failing": 0}
"""An extractor of which the dispatcher has told nothing (ExtractorRegistry.published)."""


def collect(
    stats: Stats | None, streams: RedisRecordStreams | None, groups: RedisGroups | None, queues: RqQueues | None
) -> Status:
    """Return everything; what cannot be reached is left out and said under `problems`."""
    problems: list[str] = []
    status: Status = {"time_ns": time.time_ns(), "problems": problems, "rules_problems": []}
    cursors = None
    if stats is not None:
        status["index"] = of_index(stats)
        cursors = {(mdt, epoch): position for mdt, epoch, position in stats.cursors}
    try:
        if streams is not None:
            _put(
                status,
                "mdts",
                lambda: _each(streams.mdts(), partial(of_mdt, streams, cursors=cursors), problems),
                problems,
            )
            problems += map(keys.stranger, streams.strangers)
            _put(status, "dispatcher", streams.state, problems)
        if groups is not None:
            _put(status, "groups", lambda: _each(groups.names(), partial(of_group, groups), problems), problems)
        if queues is not None:
            _put(status, "rq", queues.stats, problems)
    except StreamUnavailable as exc:
        problems.append(str(exc))
    state = status.get("dispatcher", {})
    status["rules_problems"] = json.loads(state.get("problems", "[]"))
    return with_rates(status, json.loads(state.get("past", "{}")))


def _put(into: Status, name: str, ask: Callable[[], Any], problems: list[str]) -> None:
    """Put a part into a status; what cannot be understood costs itself only. Raises StreamUnavailable."""
    try:
        into[name] = ask()
    except StreamUnavailable:
        raise
    except StreamError as exc:
        problems.append(str(exc))


def _each(names: Sequence[str], ask: Callable[[str], Status], problems: list[str]) -> Status:
    found: Status = {}
    for name in names:
        _put(found, name, partial(ask, name), problems)
    return found


def with_rates(status: Status, before: Status) -> Status:
    """Return a status with `rates` and `extractors`, by what has changed since an earlier look.

    Args:
        status: what `collect` has found.
        before: `time_ns` and `counters` of that look; without these nothing is told of rates.
    """
    counters: Mapping[str, int] = status.get("index", {}).get("counters", {})
    seconds = (status["time_ns"] - before["time_ns"]) / SECOND_NS if before else 0.0
    if seconds <= 0:
        return {**status, "rates": None, "extractors": _extractors(status, counters, {}, 0.0)}
    # An index that was made anew since then counts from nothing.
    grown = {name: count - before["counters"].get(name, 0) for name, count in counters.items()}
    grown = {name: count if count >= 0 else counters[name] for name, count in grown.items()}
    rates = {name: grown.get(name, 0) / seconds for name in RATES} | {"seconds": seconds}
    return {**status, "rates": rates, "extractors": _extractors(status, counters, grown, seconds)}


def _extractors(
    status: Status, counters: Mapping[str, int], grown: Mapping[str, int], seconds: float
) -> dict[str, Status]:  # fmt: skip
    """Return what each extractor does; durations and failures of late where there were results, else of all."""
    states = json.loads(status.get("dispatcher", {}).get("extractors", "{}"))
    ever, late = tallies.by_extractor(counters), tallies.by_extractor(grown)
    found = {}
    for name in sorted({*states, *ever}):
        lately = late.get(name, Tally())
        told = lately if lately.results else ever.get(name, Tally())
        found[name] = {
            **STATE,
            **states.get(name, {}),
            "results": ever.get(name, Tally()).statuses,
            "files_per_second": lately.results / seconds if seconds > 0 else None,
            "failure_rate": told.failure_rate,
            "p50_seconds": told.quantile_seconds(0.5),
            "p95_seconds": told.quantile_seconds(0.95),
        }
    return found


def of_index(stats: Stats) -> Status:
    """Return the index's part."""
    return {
        "objects": stats.counts.objects,
        "links": stats.counts.links,
        "tombstones": stats.counts.tombstones,
        "pending": stats.pending,
        "oldest_due_ns": stats.oldest_due_ns,
        "documents": stats.counts.documents,
        "failures": stats.counts.failures,
        "counters": stats.counters,
        "cursors": [{"mdt": mdt, "epoch": epoch, "position": position} for mdt, epoch, position in stats.cursors],
        "bytes": stats.bytes,
    }


def of_mdt(streams: RedisRecordStreams, mdt: str, cursors: Mapping[tuple[str, int], int] | None) -> Status:
    """Return how far one MDT is: what its reader published, its streams, what it lost. Raises StreamUnavailable.

    `behind` counts indexes that are stored and not committed, over all epochs; legal gaps count too. Without
    cursors (the index is away) it counts what has not been acknowledged, which may be a little more.
    """
    state = streams.reader_state(mdt)
    rows, behind = [], 0
    for epoch in streams.epochs(mdt):
        facts = streams.facts(mdt, epoch)
        committed = (cursors or {}).get((mdt, epoch), 0)
        behind += max(0, facts.last_index - max(committed, facts.first_index - 1))
        rows.append({"epoch": epoch, "committed": committed, "last_index": facts.last_index,
                     "first_index": facts.first_index, "blocks": facts.blocks, "bytes": facts.bytes})  # fmt: skip
    return {
        **state,
        "streams": rows,
        "committed_index": None if cursors is None else rows[-1]["committed"] if rows else 0,
        "behind": behind,
        "losses": [_loss(each) for each in streams.continuity(mdt)],
    }


def of_continuity(streams: RedisRecordStreams, mdts: Sequence[str] = ()) -> Status:
    """Return, per MDT (none named: all), what was lost. Raises StreamUnavailable."""
    return {mdt: [_loss(each) for each in streams.continuity(mdt)] for mdt in mdts or streams.mdts()}


def of_groups(groups: RedisGroups) -> Status:
    """Return, per subscriber group, how far it is and what it lost. Raises StreamUnavailable."""
    return {name: of_group(groups, name) for name in groups.names()}


def of_group(groups: RedisGroups, name: str) -> Status:
    """Return how far a subscriber group is and what it lost. Raises StreamUnavailable."""
    places = groups.places(name)
    return {
        "behind": {mdt: sum(each.behind for each in places if each.mdt == mdt) for mdt in _mdts(places)},
        "unacknowledged_blocks": sum(each.unacknowledged for each in places),
        "consumers": max((each.consumers for each in places), default=0),
        "lost": [
            {"mdt": each.mdt, "epoch": each.epoch, "first_index": each.first_index,
             "last_index": each.last_index, "time_ns": each.time_ns}
            for each in groups.lost(name)
        ],
    }  # fmt: skip


def _loss(loss: Loss) -> Status:
    return {"epoch": loss.epoch, "first_index": loss.first_index, "last_index": loss.last_index,
            "time_ns": loss.time_ns, "reason": loss.reason, "accepted": loss.accepted}  # fmt: skip


def _mdts(places: list[GroupPlace]) -> list[str]:
    return sorted({each.mdt for each in places})
