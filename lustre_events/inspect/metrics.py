"""Prometheus metrics of the whole service, made from what the processes publish in Redis and the index.

One exporter answers for all processes, so a reader next to an MDS opens no port: `lustre-events metrics`. Names and
units follow Prometheus's conventions; METRICS lists every one with its meaning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lustre_events.domain import tallies
from lustre_events.domain.rules.action_rules import metric_names
from lustre_events.domain.tallies import Tally
from lustre_events.inspect.status import SECOND_NS, MdtStatus, Status
from lustre_events.inspect.status.parts import ActionsStatus, DispatcherStatus
from lustre_events.jobs.pool_states import SITE, PoolState
from lustre_events.jobs.queues import QueueCounts, RqStats

PREFIX = "lustre_events_"

READER_GAUGES = {
    "read_index": "Index of the last record read from the MDT",
    "stored_index": "Index of the last record stored in Redis",
    "safe_index": "Index up to which records may be cleared",
    "cleared_index": "Index up to which records were cleared on the MDT",
    "committed_index": "Index of the last record committed to the index",
    "behind": "Indexes stored in Redis and not committed yet",
    "user_lost": "1 while the changelog user is not registered on the MDT",
}
READER_COUNTERS = {
    "records_read": "Records read from the MDT since the reader started",
    "records_stored": "Records stored in Redis since the reader started",
    "records_dropped": "Records read and dropped, to be read again, since the reader started",
    "bytes_stored": "Bytes of raw records stored in Redis since the reader started",
}
METRICS = {
    **{f"reader_{name}": text for name, text in {**READER_GAUGES, **READER_COUNTERS}.items()},
    "reader_waiting": "1 while the reader waits: for Redis, for memory in Redis (back-pressure), or as a standby",
    "reader_caught_up_seconds": "Seconds since the reader had read everything that there was",
    "reader_continuity_lost": "Marks of possibly lost records that nobody has accepted",
    "redis_memory_share": "Part of Redis's maxmemory in use as the reader saw it; reading stops near the limit",
    "group_behind": "Indexes that a subscriber group has not acknowledged",
    "group_lost_ranges": "Ranges of records that a subscriber group was cut off from",
    "history_size_bytes": "Size of the history on its disk",
    "history_limit_bytes": "Largest size that the history may have",
    "history_oldest_seconds": "Age of the first record in the history",
    "history_newest_seconds": "Age of the last record in the history",
    "history_behind": "Indexes stored in Redis that the history has not taken yet",
    "history_waiting": "1 while the history cannot be written, e.g. because its disk is full",
    "history_heard_seconds": "Seconds since the keeper of the history last reported",
    "index_objects": "Objects in the index",
    "index_tombstones": "Removed names that the index still remembers",
    "index_size_bytes": "Size of the index on its disk",
    "pending_rows": "Pieces of work that wait or run, by reason",
    "pending_oldest_due_seconds": "For how long the oldest of them has been due, by reason",
    "documents": "Good documents, by extractor",
    "failures": "Objects whose last attempt failed, by extractor",
    "dispatcher_events": "What the dispatcher has counted since the index was made, by name",
    "dispatcher_heard_seconds": "Seconds since the dispatcher last reported",
    "indexer_heard_seconds": "Seconds since an indexer last reported, by indexer",
    "indexer_documents": "Documents that an indexer has written since it started, by indexer",
    "indexer_cpu_seconds": "Processor time of an indexer since it started, by indexer",
    "indexer_refused": "Documents that the database did not take since an indexer started, by indexer",
    "indexer_portions_waiting": "Portions of results that indexers have not written yet",
    "extractor_results": "Results of an extractor since the index was made, by status: ok, failed, gone, released",
    "extractor_file_seconds": "Seconds of an extractor for a file: a run's time, divided by its files",
    "extractor_suspended": "1 while an extractor's work waits because somebody, or the breaker, has suspended it",
    "extractor_disabled": "1 while an extractor is disabled: rules pass over it",
    "action_runs": "Runs of actions that have not ended, or are dead, by rule and state; counted up to 10,000. "
    "Metrics name up to 200 rules of the site; the others are (others), users' own rules (users)",
    "action_done": "Runs of actions that were done since the dispatcher started, by rule",
    "action_p99_seconds": "Within how many seconds 99 of 100 runs of a rule were done, of its last 500, by rule",
    "action_last_error_seconds": "Seconds since the last error of a rule of an action, by rule",
    "action_oldest_due_seconds": "For how long the oldest run that waits has been due",
    "action_held": "Rules and endpoints of actions that are held, by kind",
    "action_endpoints_failing": "Endpoints that fail and are tried once a minute",
    "action_deliveries_waiting": "Deliveries that no courier has taken",
    "action_courier_silent_seconds": "For how long deliveries have waited for a courier; 0: one takes them",
    "rules_problems": "Rules and extractors that the dispatcher cannot use",
    "queue_jobs": "RQ jobs by queue and state",
    "workers": "RQ workers that are registered",
    "queue_damaged": "Members and keys of RQ's in Redis that are not RQ's, and are skipped",
    "pool_away": "1 while a pool of workers gets no jobs: its own Redis is not reached, or its keys are not RQ's",
    "pool_jobs": "RQ jobs of a pool of workers, by pool and state",
    "pool_workers": "RQ workers of a pool, by pool",
    "pool_answers_refused": "Answers, since the dispatcher started, that whoever gave them did not owe, or that "
    "cannot be read; by pool, with (site) for workers of the site that answered for a pool",
    "problems": "Parts of the service that could not be asked",
}


class ServiceCollector(Collector):
    """Asks for the status at every scrape."""

    def __init__(self, ask: Callable[[], Status]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        """Return all metrics of this moment."""
        return families(self._ask())


def families(status: Status) -> list[Metric]:
    """Return the metrics of a status (status.collect)."""
    found = [
        *_of_readers(status),
        *_of_index(status),
        _gauge("dispatcher_heard_seconds", "", {"": _since(status.dispatcher, status.time_ns)}),
        _gauge("extractor_suspended", "extractor",
               {name: int(each.suspended is not None) for name, each in status.extractors.items()}),
        _gauge("extractor_disabled", "extractor",
               {name: int(each.disabled) for name, each in status.extractors.items()}),
        _gauge("rules_problems", "", {"": len(status.rules_problems)}),
        _gauge("problems", "", {"": len(status.problems)}),
        *_of_extractors(tallies.by_extractor(status.counters)),
    ]  # fmt: skip
    groups = status.groups or {}
    found.append(
        _gauge("group_behind", "group", {name: sum(each.behind.values()) for name, each in groups.items()})
    )
    found.append(_gauge("group_lost_ranges", "group", {name: len(each.lost) for name, each in groups.items()}))
    return [
        *found,
        *_of_history(status),
        *_of_actions(status.actions, status.time_ns),
        *_of_queues(status.rq),
        *_of_pools(status.pools or {}),
        *_of_indexers(status),
    ]


def _of_indexers(status: Status) -> Iterator[Metric]:
    found = status.indexers
    if found is None:
        return
    each = found.indexers
    heard = {name: _age(state.alive_ns, status.time_ns) for name, state in each.items()}
    yield _gauge("indexer_heard_seconds", "indexer", heard)
    yield _counter("indexer_documents", "indexer", {name: state.documents for name, state in each.items()})
    yield _counter("indexer_cpu_seconds", "indexer", {name: state.cpu_seconds for name, state in each.items()})
    yield _counter("indexer_refused", "indexer", {name: state.refused for name, state in each.items()})
    yield _gauge("indexer_portions_waiting", "", {"": found.waiting})


def _of_readers(status: Status) -> Iterator[Metric]:
    mdts, now_ns = status.mdts or {}, status.time_ns
    for name in READER_GAUGES:
        yield _gauge(f"reader_{name}", "mdt", {mdt: _reader_gauge(state, name) for mdt, state in mdts.items()})
    for name in READER_COUNTERS:
        yield _counter(f"reader_{name}", "mdt", {mdt: state.number(name) for mdt, state in mdts.items()})
    yield _gauge("reader_waiting", "mdt", {mdt: int(bool(state.waiting)) for mdt, state in mdts.items()})
    yield _gauge("reader_caught_up_seconds", "mdt",
                 {mdt: _age(state.caught_up_ns, now_ns) for mdt, state in mdts.items()})  # fmt: skip
    yield _gauge("reader_continuity_lost", "mdt", {mdt: len(state.open_losses) for mdt, state in mdts.items()})
    yield _gauge("redis_memory_share", "mdt", {mdt: state.number("memory_share") for mdt, state in mdts.items()})


def _reader_gauge(state: MdtStatus, name: str) -> float | None:
    """Return a number that the reader published, or one that the index and its stream tell."""
    return {"committed_index": state.committed_index, "behind": state.behind}.get(name, state.number(name))


def _of_index(status: Status) -> Iterator[Metric]:
    index, now_ns = status.index, status.time_ns
    if index is None:
        return
    yield _gauge("index_objects", "", {"": index.objects})
    yield _gauge("index_tombstones", "", {"": index.tombstones})
    yield _gauge("index_size_bytes", "", {"": index.bytes})
    yield _gauge("pending_rows", "reason", index.pending)
    ages = {reason: max(0, now_ns - due_ns) / SECOND_NS for reason, due_ns in index.oldest_due_ns.items()}
    yield _gauge("pending_oldest_due_seconds", "reason", ages)
    yield _gauge("documents", "extractor", index.documents)
    yield _gauge("failures", "extractor", index.failures)
    yield _counter("dispatcher_events", "event",
                   {name: count for name, count in index.counters.items() if ":" not in name})  # fmt: skip


def _of_history(status: Status) -> Iterator[Metric]:
    own, now_ns = status.history, status.time_ns
    if own is None:
        return
    yield _gauge("history_size_bytes", "", {"": own.bytes})
    yield _gauge("history_limit_bytes", "", {"": own.most_bytes})
    yield _gauge("history_oldest_seconds", "", {"": _age(own.oldest_ns, now_ns)})
    yield _gauge("history_newest_seconds", "", {"": _age(own.newest_ns, now_ns)})
    yield _gauge("history_behind", "", {"": own.behind})
    yield _gauge("history_waiting", "", {"": int(bool(own.waiting))})
    yield _gauge("history_heard_seconds", "", {"": _age(own.updated_ns, now_ns)})


def _of_actions(actions: ActionsStatus | None, now_ns: int) -> Iterator[Metric]:
    if actions is None:
        return
    runs = GaugeMetricFamily(PREFIX + "action_runs", METRICS["action_runs"], labels=["rule", "state"])
    names, counts = metric_names(actions.runs), Counter[tuple[str, str]]()
    for rule, states in actions.runs.items():
        counts.update({(names[rule], state): count for state, count in states.items()})
    for labels, count in counts.items():
        runs.add_metric([*labels], count)
    yield runs
    rules = actions.rules
    yield _counter("action_done", "rule", {name: each.done for name, each in rules.items()})
    yield _gauge("action_p99_seconds", "rule", {name: each.p99_seconds for name, each in rules.items()})
    errors = {name: _age(each.last_error_ns, now_ns) for name, each in rules.items()}
    yield _gauge("action_last_error_seconds", "rule", errors)
    yield _gauge("action_oldest_due_seconds", "", {"": _age(actions.oldest_due_ns, now_ns) or 0.0})
    kinds = Counter(each.kind for each in actions.held)
    yield _gauge("action_held", "kind", {kind: kinds[kind] for kind in ("rule", "endpoint")})
    yield _gauge("action_endpoints_failing", "", {"": len(actions.failing)})
    yield _gauge("action_deliveries_waiting", "", {"": actions.deliveries_waiting})
    yield _gauge("action_courier_silent_seconds", "", {"": actions.courier_silent_seconds})


def _of_queues(rq: RqStats | None) -> list[Metric]:
    if rq is None:
        return []
    jobs = GaugeMetricFamily(PREFIX + "queue_jobs", METRICS["queue_jobs"], labels=["queue", "state"])
    for queue, states in rq.queues.items():
        for state in states.__struct_fields__:
            jobs.add_metric([queue, state], getattr(states, state))
    return [jobs, _gauge("workers", "", {"": len(rq.workers)}), _gauge("queue_damaged", "", {"": rq.damaged})]


def _of_pools(pools: Mapping[str, PoolState]) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(PREFIX + "pool_jobs", METRICS["pool_jobs"], labels=["pool", "state"])
    real = {name: each for name, each in pools.items() if name != SITE}
    for name, each in real.items():
        for state in QueueCounts.__struct_fields__:
            jobs.add_metric([name, state], getattr(each, state))
    yield jobs
    yield _gauge("pool_away", "pool", {name: int(bool(each.trouble)) for name, each in real.items()})
    yield _gauge("pool_workers", "pool", {name: each.workers for name, each in real.items()})
    yield _counter("pool_answers_refused", "pool", {name: each.refused for name, each in pools.items()})


def _gauge(name: str, label: str, values: Mapping[str, float | None]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, METRICS[name], labels=[label] if label else [])
    return _filled(family, label, values)


def _counter(name: str, label: str, values: Mapping[str, float | None]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, METRICS[name], labels=[label] if label else [])
    return _filled(family, label, values)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, label: str, values: Mapping[str, float | None]
) -> Metric:
    for key, value in values.items():
        if value is not None:
            family.add_metric([key] if label else [], float(value))
    return family


def _of_extractors(found: Mapping[str, Tally]) -> Iterator[Metric]:
    results = CounterMetricFamily(
        PREFIX + "extractor_results", METRICS["extractor_results"], labels=["extractor", "status"]
    )
    took = HistogramMetricFamily(
        PREFIX + "extractor_file_seconds", METRICS["extractor_file_seconds"], labels=["extractor"]
    )
    for name, tally in found.items():
        for status, count in tally.statuses.items():
            results.add_metric([name, status], count)
        if any(tally.buckets):
            took.add_metric([name], tally.cumulated(), tally.seconds)
    yield from (results, took)


def _since(dispatcher: DispatcherStatus | None, now_ns: int) -> float | None:
    return None if dispatcher is None else _age(dispatcher.alive_ns, now_ns)


def _age(then_ns: int, now_ns: int) -> float | None:
    return max(0, now_ns - then_ns) / SECOND_NS if then_ns else None
