"""A status (collect.py) as lines for a person."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping

from lustre_events.domain.action_run import ENDS
from lustre_events.domain.bounds import far_time
from lustre_events.index.search.hits import printable, printable_line
from lustre_events.inspect.status.collect import SECOND_NS
from lustre_events.inspect.status.parts import (
    ActionsStatus,
    ExtractorStatus,
    GroupStatus,
    HistoryStatus,
    IndexersStatus,
    IndexStatus,
    LossStatus,
    MdtStatus,
    Status,
)
from lustre_events.inspect.status.sums import READER_SUMS, sum_line, sums
from lustre_events.jobs.pool_states import SITE, PoolState
from lustre_events.jobs.queues import RqStats

_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def lines(status: Status) -> Iterator[str]:
    """Yield the status as lines for a person: where something is wrong, last."""
    if status.index is not None:
        yield from index_lines(status.index, status.time_ns)
        yield f"  size:      {size_text(status.index.bytes)}"
    for mdt, state in (status.mdts or {}).items():
        yield from mdt_lines(mdt, state, status.time_ns)
    yield from dispatcher_lines(status)
    yield from indexer_lines(status.indexers, status.time_ns)
    yield from extractor_lines(status.extractors)
    yield from action_lines(status)
    for name, group in (status.groups or {}).items():
        yield from group_lines(name, group)
    if status.history is not None:
        yield from history_lines(status.history, status.time_ns)
    yield from _rq_lines(status.rq)
    yield from _pool_lines(status.pools or {}, status.time_ns)
    yield from _continuity_lines(status.mdts or {})
    trouble = (status.dispatcher.told if status.dispatcher else {}).get("trouble")
    stopped = [f"the dispatcher cannot go on: {trouble}"] if trouble else []
    for problem in [
        *stopped,
        *_suspended(status.extractors),
        *_held(status.actions),
        *status.rules_problems,
        *status.problems,
    ]:
        yield f"problem: {printable_line(problem)}"


def index_lines(index: IndexStatus, now_ns: int | None = None) -> Iterator[str]:
    """Yield the index's part as lines for a person; `now_ns`: with the age of what is pending."""
    yield f"index: {index.objects} objects, {index.links} names, {index.tombstones} tombstones"
    yield f"  documents: {_table(index.documents)}"
    ages = {} if now_ns is None else {name: _due(now_ns, at_ns) for name, at_ns in index.oldest_due_ns.items()}
    yield f"  pending:   {_table(index.pending, ages)}"
    yield f"  failed:    {_table(index.failures)}"
    yield from (f"  {line}" for line in sums(index.counters))


def mdt_lines(mdt: str, state: MdtStatus, now_ns: int) -> Iterator[str]:
    """Yield how far an MDT is, on one line, and then what is wrong with it."""
    caught_up, told = state.caught_up_ns, state.told
    age = f"caught up {max(0, now_ns - caught_up) / SECOND_NS:.1f} s ago" if caught_up else "not caught up yet"
    kept, size = sum(row.blocks for row in state.streams), sum(row.bytes for row in state.streams)
    committed = "?" if state.committed_index is None else state.committed_index
    yield (
        f"{mdt}: read {told.get('read_index', 0)}, stored {told.get('stored_index', 0)}, "
        f"committed {committed}, cleared {told.get('cleared_index', 0)}; "
        f"{state.behind} behind, {age}; {told.get('records_per_second', 0)} records/s; "
        f"stream: {kept} blocks, {size / 1024:.0f} KiB"
        + (f" in {len(state.streams)} epochs" if len(state.streams) > 1 else "")
    )
    yield from (f"  {sum_line(name, parts, told)}" for name, parts in READER_SUMS.items() if name in told)
    if state.waiting:
        yield f"  waiting: {state.waiting}"
    if state.user_lost:
        yield f"  the MDT does not know the changelog user {state.user}: see lustre-events changelog users"
    for loss in state.open_losses:
        yield f"  {loss_line(loss)}; recover with: lustre-events continuity reconcile {mdt}"


def dispatcher_lines(status: Status) -> Iterator[str]:
    """Yield whether the dispatcher lives, how fast it is, and how many records one file given out stands for."""
    if status.dispatcher is not None:
        alive = status.dispatcher.alive_ns
        yield (
            f"dispatcher: heard {max(0, status.time_ns - alive) / SECOND_NS:.1f} s ago"
            + (f"; active: {status.dispatcher.holder}" if status.dispatcher.holder else "")
            if alive
            else "dispatcher: has never run"
        )
        if status.dispatcher.standbys:
            yield f"  standby: {', '.join(status.dispatcher.standbys)}"
    rates = status.rates
    if rates is not None:
        yield (
            f"  {_number(rates.records)} records/s, {_number(rates.links)} names/s, "
            f"{_number(rates.job_files)} files/s in {_number(rates.jobs)} jobs/s to workers, "
            f"{_number(rates.results)} results/s, in the last {span_text(rates.seconds)}"
        )
    counters = status.counters
    if counters.get("job_files"):
        changes = counters.get("named", 0) + counters.get("changed", 0)
        yield f"  coalescing: {changes / counters['job_files']:.1f} changes for each file given to a worker"


def indexer_lines(found: IndexersStatus | None, now_ns: int) -> Iterator[str]:
    """Yield how many portions of results wait for indexers, and a line for each of these."""
    if found is None:
        return
    yield f"indexers: {found.waiting} portions of results wait for them"
    for name, each in found.indexers.items():
        ago = span_text(max(0, now_ns - each.alive_ns) / SECOND_NS)
        yield (
            f"  {printable(name.encode())}: heard {ago} ago; {each.documents} documents"
            f" in {each.portions} portions, {span_text(each.cpu_seconds)} of CPU"
            f"{f', {each.refused} refused' if each.refused else ''}"
        )


def extractor_lines(extractors: Mapping[str, ExtractorStatus]) -> Iterator[str]:
    """Yield a line for each extractor that did something or waits, and one for all others."""
    idle = [name for name, each in extractors.items() if _idle(each)]
    yield from (extractor_line(name, each) for name, each in extractors.items() if name not in idle)
    if idle:
        yield f"extractors that work and had nothing to do yet: {', '.join(idle)}"


def _idle(each: ExtractorStatus) -> bool:
    return each.suspended is None and not each.disabled and not any(each.results.values())


def extractor_line(name: str, each: ExtractorStatus) -> str:
    """Return what an extractor does on one line: its state, how fast, how well."""
    state = "state not known" if each.version is None else f"version {each.version}, works"
    state = f"suspended (version {each.version})" if each.suspended is not None else state
    state = f"disabled (version {each.version})" if each.disabled else state
    done = each.results
    parts = [state, ", ".join(f"{count} {status}" for status, count in done.items() if count) or "no results yet"]
    if each.files_per_second is not None:
        parts.append(f"{_number(each.files_per_second)} files/s")
    if each.failure_rate is not None:
        parts.append(f"{100 * each.failure_rate:.1f} % failed")
    if each.p50_seconds is not None and each.p95_seconds is not None:
        parts.append(f"p50 {span_text(each.p50_seconds)}, p95 {span_text(each.p95_seconds)} a file")
    return f"extractor {name}: {'; '.join(parts)}"


def action_lines(status: Status) -> Iterator[str]:
    """Yield a line about runs, with their sum, where there are any, and then one for each rule that has some."""
    counters, found = status.counters, status.actions
    begun = counters.get("runs_made", 0) + counters.get("runs_reopened", 0)
    if begun:
        ended = {end: counters.get(f"runs_{end}", 0) for end in (*ENDS, "forgotten")}
        words = ", ".join(f"{count} {end}" for end, count in ended.items() if count)
        yield (
            f"actions: {counters.get('runs_made', 0)} runs made, {counters.get('runs_reopened', 0)} begun again ="
            f" {begun - sum(ended.values())} open{words and f', {words}'}"
        )
    for rule, states in (found.runs if found is not None else {}).items():
        yield f"  rule {rule!r}: {', '.join(f'{count} {state}' for state, count in states.items())}"


def _held(found: ActionsStatus | None) -> Iterator[str]:
    if found is None:
        return
    for each in found.held:
        yield (
            f"{each.kind} {each.name!r} of actions is held: {each.why}; then: lustre-events actions release"
            f" {each.name!r}"
        )
    for name in found.failing:
        yield f"endpoint {name!r} of actions fails, and is tried once a minute; see: lustre-events runs list"
    if found.courier_silent_seconds:
        yield courier_sentence(found)


def courier_sentence(found: ActionsStatus) -> str:
    """Return that no courier runs."""
    waited = span_text(found.courier_silent_seconds)
    return (
        f"no courier has taken any of {found.deliveries_waiting} deliveries for {waited}; start one:"
        " systemctl start lustre-events-courier"
    )


def group_lines(name: str, group: GroupStatus) -> Iterator[str]:
    """Yield how far a subscriber group is, on one line, and then what it lost."""
    behind = ", ".join(f"{count} behind on {mdt}" for mdt, count in group.behind.items()) or "nothing to read yet"
    yield (
        f"group {name}: {behind}; {group.unacknowledged_blocks} blocks unacknowledged, {group.consumers} consumers"
    )
    for lost in group.lost:
        span = f"{lost.mdt} {lost.first_index} to {lost.last_index}"
        yield f"  cut off: lost {span}, {time_text(lost.time_ns)}"


def history_lines(history: HistoryStatus, now_ns: int) -> Iterator[str]:
    """Yield how much history there is and how far it is, on one line, and then what it waits for."""
    heard = f"heard {span_text(max(0, now_ns - history.updated_ns) / SECOND_NS)} ago" if history.updated_ns else ""
    reach = (
        f"from {time_text(history.oldest_ns)} to {time_text(history.newest_ns)}" if history.newest_ns else "empty"
    )
    most = f" of at most {size_text(history.most_bytes)}" if history.most_bytes else ""
    yield (
        f"history: {size_text(history.bytes)}{most}, {reach}; {history.behind} behind; "
        + (heard or "its keeper has never run")
    )
    if history.waiting:
        yield f"  {printable_line(history.waiting)}"


def loss_line(loss: LossStatus) -> str:
    """Return a loss of an MDT's records as one line."""
    span = f"{loss.first_index} to {loss.last_index or '?'}"
    accepted = " (accepted)" if loss.accepted else ""
    return f"continuity lost: {span}, {time_text(loss.time_ns)}: {loss.reason}{accepted}"


def time_text(time_ns: int) -> str:
    """Return a time as UTC, to the second."""
    return far_time(time_ns) or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // SECOND_NS))


def size_text(size: float) -> str:
    """Return a size in bytes with its unit."""
    unit = 0
    while size >= 1024 and unit < len(_SIZES) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} bytes" if unit == 0 else f"{size:.1f} {_SIZES[unit]}"


def span_text(seconds: float) -> str:
    """Return a span of time in its usual unit."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    for limit, unit, count in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / count:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"


def _due(now_ns: int, due_ns: int) -> str:
    seconds = (now_ns - due_ns) / SECOND_NS
    return f" (the oldest due {span_text(seconds)} ago)" if seconds >= 0 else f" (due in {span_text(-seconds)})"


def _rq_lines(rq: RqStats | None) -> Iterator[str]:
    if rq is None:
        return
    served = {name for worker in rq.workers for name in worker.queues}
    for name, queue in rq.queues.items():
        alone = "; no worker serves it" if queue.waiting and name not in served else ""
        yield f"queue {name}: waiting {queue.waiting}, running {queue.running}, failed {queue.failed}{alone}"
    if rq.damaged:
        yield f"  {rq.damaged} members or keys of rq:* are not RQ's and are passed over; look with redis-cli"
    states = Counter(worker.state for worker in rq.workers)
    hosts = len({worker.host for worker in rq.workers})
    more = f" ({', '.join(f'{count} {state}' for state, count in sorted(states.items()))}); hosts: {hosts}"
    yield f"workers: {len(rq.workers)}{more if rq.workers else ''}"


def _pool_lines(pools: Mapping[str, PoolState], now_ns: int) -> Iterator[str]:
    shown = (each for each in pools.items() if each[0] != SITE or each[1].refused)
    yield from (pool_line(name, state, now_ns) for name, state in shown)


def pool_line(name: str, pool: PoolState, now_ns: int) -> str:
    """Return how a pool is on one line, and what it answered that it had not to."""
    refused = f"{pool.refused} answers refused that it did not owe, or that cannot be read"
    if name == SITE:
        return f"workers of the site: {pool.refused} answers refused, to jobs of pools"
    jobs = f"waiting {pool.waiting}, running {pool.running}, failed {pool.failed}; workers: {pool.workers}"
    if pool.trouble:
        seen = f"{span_text(max(0, now_ns - pool.looked_ns) / SECOND_NS)} ago: {jobs}" if pool.looked_ns else ""
        jobs = f"its jobs wait: {printable_line(pool.trouble)}"
        jobs += f"; {seen}" if seen else ""
    own = " (a Redis of its own)" if pool.own else ""
    return f"pool {name}{own}: {jobs}" + (f"; {refused}" if pool.refused else "")


def _continuity_lines(mdts: Mapping[str, MdtStatus]) -> Iterator[str]:
    lost = [mdt for mdt, state in mdts.items() if state.open_losses]
    if mdts:
        yield f"continuity: records of {', '.join(lost)} are or may be lost" if lost else "continuity: nothing lost"


def _suspended(extractors: Mapping[str, ExtractorStatus]) -> list[str]:
    return [
        f"extractor {name} is suspended: {each.suspended}; see: lustre-events extractor resume"
        for name, each in extractors.items()
        if each.suspended is not None
    ]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def _table(table: Mapping[str, int], more: Mapping[str, str] | None = None) -> str:
    words = (f"{name} {count}{(more or {}).get(name, '')}" for name, count in sorted(table.items()))
    return ", ".join(words) or "none"
