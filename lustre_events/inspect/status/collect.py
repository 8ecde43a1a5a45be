"""What `status` shows: from the index, the streams in Redis, and RQ.

    time_ns, problems     when; what could not be asked, a sentence each
    index                 sums of the index (left out where there is none)
    mdts                  per MDT: what its reader published, streams, how far the index is behind, losses
    dispatcher            what the dispatcher published
    extractors            per extractor: state, results, files per second, failure rate, seconds per file
    rules_problems        what is wrong with rules or extractors, by the dispatcher: a sentence each
    rates                 of the dispatcher, per second, over `seconds`
    groups, rq            subscriber groups; queues and workers
    pools                 per pool of workers: whether it is reached, its jobs and workers, what was refused
                          (by the dispatcher)
    indexers              what indexers published, and how many portions of results wait for them (left out where
                          there has never been one)
    history               what the keeper of the history published (left out where none is kept)
    actions               runs of actions, what is held, whether a courier takes deliveries (by the dispatcher)

What Redis tells is left out where it does not answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from lustre_events.domain import tallies
from lustre_events.domain.tallies import Tally
from lustre_events.errors import StreamError, StreamUnavailable
from lustre_events.index.backend import Stats
from lustre_events.inspect.status.parts import (
    ActionsStatus,
    CursorPlace,
    DispatcherStatus,
    ExtractorStatus,
    GroupLoss,
    GroupStatus,
    HistoryStatus,
    IndexersStatus,
    IndexStatus,
    LossStatus,
    MdtStatus,
    RatesStatus,
    Status,
    StreamStatus,
)
from lustre_events.jobs.pool_states import read_states
from lustre_events.jobs.queues import RqQueues
from lustre_events.streams import keys
from lustre_events.streams.documents import RedisDocuments
from lustre_events.streams.groups import GroupPosition, RedisGroups
from lustre_events.streams.history_state import HistoryState
from lustre_events.streams.interface import Loss
from lustre_events.streams.records import RedisRecordStreams

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
"""An indexer that is silent for longer is shown no more."""

HISTORY_GROUP = "history"
"""The subscriber group of the history's keeper; while there is none, no history is kept."""
_HISTORY_NUMBERS = ("updated_ns", "bytes", "most_bytes", "oldest_ns", "newest_ns")

RATES = ("records", "results", "jobs", "job_files", "links")
"""The counters whose growth `status` shows."""


def collect(
    stats: Stats | None,
    streams: RedisRecordStreams | None,
    groups: RedisGroups | None,
    queues: RqQueues | None,
    mdts: Collection[str] = (),
    *,
    history: HistoryState | None = None,
    documents: RedisDocuments | None = None,
) -> Status:
    """Return everything; what cannot be reached is left out and said under `problems`.

    `mdts` are named by the settings: they are included even if none of their records has come yet.
    """
    time_ns = time.time_ns()
    problems: list[str] = []
    cursors = None if stats is None else {(mdt, epoch): position for mdt, epoch, position in stats.cursors}
    parts: dict[str, Any] = {}
    try:
        if streams is not None:
            look = partial(of_mdt, streams, cursors=cursors)
            _put(parts, "mdts", lambda: _each(_known(streams, mdts), look, problems), problems)
            problems += map(keys.stranger, streams.strangers)
            _put(parts, "dispatcher", lambda: DispatcherStatus(streams.state()), problems)
        if groups is not None:
            _put(parts, "groups", lambda: _each(groups.names(), partial(of_group, groups), problems), problems)
        if history is not None and HISTORY_GROUP in parts.get("groups", {}):
            behind = sum(parts["groups"][HISTORY_GROUP].behind.values())
            _put(parts, "history", lambda: of_history(history.published(), behind), problems)
        _put(parts, "indexers", lambda: of_indexers(documents, time_ns), problems)
        if queues is not None:
            _put(parts, "rq", queues.stats, problems)
    except StreamUnavailable as exc:
        problems.append(str(exc))
    told = parts["dispatcher"].told if "dispatcher" in parts else {}
    status = Status(
        time_ns=time_ns,
        problems=problems,
        rules_problems=json.loads(told.get("problems", "[]")),
        index=None if stats is None else of_index(stats),
        actions=msgspec.json.decode(told.get("actions", "null"), type=ActionsStatus | None),
        pools=read_states(told["pools"]) if "pools" in told else None,
        **parts,
    )
    return with_rates(status, msgspec.json.decode(told.get("past", "null"), type=Earlier | None))


def _known(streams: RedisRecordStreams, mdts: Collection[str]) -> list[str]:
    return sorted({*streams.mdts(), *streams.readers(), *mdts})


def _put(into: dict[str, Any], name: str, ask: Callable[[], Any], problems: list[str]) -> None:
    """Put a part into a status; one that cannot be understood leaves out only itself. Raises StreamUnavailable."""
    try:
        into[name] = ask()
    except StreamUnavailable:
        raise
    except StreamError as exc:
        problems.append(str(exc))


def _each(names: Sequence[str], ask: Callable[[str], Any], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        _put(found, name, partial(ask, name), problems)
    return found


class Earlier(msgspec.Struct, frozen=True):
    """An earlier look: when, and the index's counters then."""

    time_ns: int
    counters: Mapping[str, int]


def with_rates(status: Status, before: Earlier | None) -> Status:
    """Return a status with `rates` and `extractors`, by what has changed since an earlier look.

    Args:
        status: what `collect` has found.
        before: that look; None: nothing is told of rates.
    """
    counters = status.counters
    seconds = (status.time_ns - before.time_ns) / SECOND_NS if before is not None else 0.0
    if before is None or seconds <= 0:
        return msgspec.structs.replace(status, rates=None, extractors=_extractors(status, {}, 0.0))
    # An index that was made anew since then counts from nothing.
    grown = {name: count - before.counters.get(name, 0) for name, count in counters.items()}
    grown = {name: count if count >= 0 else counters[name] for name, count in grown.items()}
    rates = RatesStatus(**{name: grown.get(name, 0) / seconds for name in RATES}, seconds=seconds)
    return msgspec.structs.replace(status, rates=rates, extractors=_extractors(status, grown, seconds))


def _extractors(status: Status, grown: Mapping[str, int], seconds: float) -> dict[str, ExtractorStatus]:
    told = "{}" if status.dispatcher is None else status.dispatcher.told.get("extractors", "{}")
    states = msgspec.json.decode(told, type=dict[str, ExtractorStatus])
    ever, late = tallies.by_extractor(status.counters), tallies.by_extractor(grown)
    found = {}
    for name in sorted({*states, *ever}):
        lately = late.get(name, Tally())
        of_late = lately if lately.results else ever.get(name, Tally())
        found[name] = msgspec.structs.replace(
            states.get(name) or ExtractorStatus(),
            results=ever.get(name, Tally()).statuses,
            files_per_second=lately.results / seconds if seconds > 0 else None,
            failure_rate=of_late.failure_rate,
            p50_seconds=of_late.quantile_seconds(0.5),
            p95_seconds=of_late.quantile_seconds(0.95),
        )
    return found


def of_index(stats: Stats) -> IndexStatus:
    """Return the index's part."""
    return IndexStatus(
        objects=stats.counts.objects,
        links=stats.counts.links,
        tombstones=stats.counts.tombstones,
        pending=stats.pending,
        oldest_due_ns=stats.oldest_due_ns,
        documents=stats.counts.documents,
        failures=stats.counts.failures,
        counters=stats.counters,
        cursors=[CursorPlace(*each) for each in stats.cursors],
        bytes=stats.bytes,
        full=stats.full,
    )


def of_mdt(streams: RedisRecordStreams, mdt: str, cursors: Mapping[tuple[str, int], int] | None) -> MdtStatus:
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
        rows.append(StreamStatus(epoch, committed, facts.last_index, facts.first_index, facts.blocks, facts.bytes))
    reached = None if cursors is None else rows[-1].committed if rows else 0
    return MdtStatus(state, rows, reached, behind, [_loss(each) for each in streams.continuity(mdt)])


def of_continuity(streams: RedisRecordStreams, mdts: Sequence[str] = ()) -> dict[str, list[LossStatus]]:
    """Return, per MDT (none named: all), what was lost. Raises StreamUnavailable."""
    return {mdt: [_loss(each) for each in streams.continuity(mdt)] for mdt in mdts or streams.mdts()}


def of_groups(groups: RedisGroups) -> dict[str, GroupStatus]:
    """Return, per subscriber group, how far it is and what it lost. Raises StreamUnavailable."""
    return {name: of_group(groups, name) for name in groups.names()}


def of_group(groups: RedisGroups, name: str) -> GroupStatus:
    """Return how far a subscriber group is and what it lost. Raises StreamUnavailable."""
    places = groups.places(name)
    return GroupStatus(
        behind={mdt: sum(each.behind for each in places if each.mdt == mdt) for mdt in _mdts(places)},
        unacknowledged_blocks=sum(each.unacknowledged for each in places),
        consumers=max((each.consumers for each in places), default=0),
        lost=[
            GroupLoss(each.mdt, each.epoch, each.first_index, each.last_index, each.time_ns)
            for each in groups.lost(name)
        ],
    )


def of_indexers(documents: RedisDocuments | None, now_ns: int) -> IndexersStatus | None:
    """Return what indexers said within a day; None: there has been none, and nothing waits. Raises StreamError."""
    if documents is None:
        return None
    told, waiting = documents.indexers(), sum(documents.waiting().values())
    lately = {name: state for name, state in told.items() if now_ns - state.alive_ns < DAY_NS}
    return IndexersStatus(waiting, lately) if told or waiting else None


def of_history(told: Mapping[str, str], behind: int) -> HistoryStatus:
    """Return how far the history is, by what its keeper published."""
    numbers = {name: int(told[name]) for name in _HISTORY_NUMBERS if told.get(name, "").isdecimal()}
    return HistoryStatus(waiting=told.get("waiting", ""), behind=behind, **numbers)


def _loss(loss: Loss) -> LossStatus:
    return LossStatus(loss.epoch, loss.first_index, loss.last_index, loss.time_ns, loss.reason, loss.accepted)


def _mdts(places: list[GroupPosition]) -> list[str]:
    return sorted({each.mdt for each in places})
