"""The service's side, from its status: who lives, what waits for nobody, what was lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from lustre_events.domain.action_run import DEAD, HELD, OPEN
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import LustreEventsError
from lustre_events.inspect.status import Status
from lustre_events.inspect.status.parts import IndexersStatus
from lustre_events.jobs import pools
from lustre_events.jobs.messages import ACTIONS_QUEUE, BUILTIN_QUEUE, TRANSFERS_QUEUE
from lustre_events.jobs.pool_states import PoolState
from lustre_events.jobs.queues import QueueCounts
from lustre_events.node.doctor.findings import Finding, failure, ok, warning

SILENT_SECONDS = 30.0
"""Readers and the dispatcher say every second that they live."""

INDEXERS_BEHIND = 500
"""Portions that wait for indexers; beyond twice as many no further jobs (dispatcher/indexer_outcomes.py)."""
HISTORY_SILENT_SECONDS = 120.0
HISTORY_BEHIND = 1_000_000
"""Records; it takes some hundred thousand a second."""
_OF_INSTANCES = {
    BUILTIN_QUEUE: "each node with workers",
    ACTIONS_QUEUE: "each node that is set up for actions",
    TRANSFERS_QUEUE: "each node that is set up for transfers",
}
"""Queues that a unit of their name serves, and on which nodes."""


def index(status: Status, url: str) -> Iterator[Finding]:
    """Look at what the index says of itself; that it could be opened says that its schema is of this version."""
    found = status.index
    if found is not None:
        pending = sum(found.pending.values())
        yield ok("index", f"{url} is of this version: {found.objects} objects, {pending} pending rows")


def standby(search_url: str, most_seconds: float, lag: Callable[[str], float | None]) -> Iterator[Finding]:
    """Look whether the standby that searches ask is close behind; `lag` asks it, or raises LustreEventsError."""
    subject, fix = (
        "searches",
        "look at its log and at pg_stat_replication of the index, or set [index] search_url = ''",
    )
    if not search_url:
        return
    try:
        behind = lag(search_url)
    except LustreEventsError as exc:
        yield warning(subject, f"the standby does not answer, so they ask [index] url: {exc}", fix)
        return
    if behind is None:
        yield warning(subject, "[index] search_url is no standby, so they ask [index] url", fix)
    elif behind > most_seconds:
        yield warning(subject, f"the standby is {behind:.0f} s behind, so they ask [index] url", fix)
    else:
        yield ok(subject, f"they ask a standby, which is {behind:.1f} s behind")


def begun(status: Status) -> bool:
    """Return whether a dispatcher has ever run with this Redis; before that nothing can be missing."""
    return status.dispatcher is not None and bool(status.dispatcher.alive_ns)


def problems(status: Status) -> Iterator[Finding]:
    """Look at what could not be asked; the sentence says what to do."""
    for problem in status.problems:
        yield failure("status", problem, "")


def readers(status: Status, expected: Collection[str]) -> Iterator[Finding]:
    """Look whether each MDT has a reader that lives, and whether records were lost."""
    mdts = status.mdts or {}
    for mdt in sorted({*mdts, *expected}):
        subject = f"reader {mdt}"
        state = mdts.get(mdt)
        start = f"systemctl start lustre-events-reader@{mdt}"
        if state is None:
            yield failure(subject, "no reader has ever stored a record of it", start)
            continue
        silent = _seconds(status, state.updated_ns)
        if silent is None or silent > SILENT_SECONDS:
            since = "has never run" if silent is None else f"has been silent for {silent:.0f} s"
            yield failure(subject, f"it {since}", start)
        elif state.waiting:
            yield warning(subject, f"it waits: {state.waiting}", "lustre-events status")
        else:
            yield ok(subject, f"it runs, {state.behind} records are not committed yet")
        if state.user_lost:
            yield failure(subject, f"the MDT does not know its changelog user {state.user}",
                          f"lustre-events changelog users --mdt {mdt}; then register, or write ours")  # fmt: skip
        if state.open_losses:
            yield failure(f"continuity {mdt}", f"records are or may be lost; gaps: {len(state.open_losses)}",
                          f"lustre-events continuity reconcile {mdt}")  # fmt: skip


def dispatcher(status: Status) -> Iterator[Finding]:
    """Look whether the dispatcher lives."""
    silent = _seconds(status, status.dispatcher.alive_ns if status.dispatcher is not None else 0)
    if silent is None or silent > SILENT_SECONDS:
        since = "has never run" if silent is None else f"has been silent for {silent:.0f} s"
        yield failure("dispatcher", f"it {since}", "systemctl start lustre-events-dispatcher")
    else:
        yield ok("dispatcher", f"it runs, heard {silent:.0f} s ago")


def indexers(status: Status, wanted: int) -> Iterator[Finding]:
    """Look whether as many indexers live as are set ([index] indexers), and whether documents were refused."""
    found = status.indexers or IndexersStatus(0)
    states = found.indexers
    heard = {name: _seconds(status, each.alive_ns) for name, each in states.items()}
    alive = [name for name, silent in heard.items() if silent is not None and silent <= SILENT_SECONDS]
    waiting = found.waiting
    if len(alive) < wanted:
        yield failure(
            "indexers", f"{len(alive)} of {wanted} run, and {waiting} portions of results wait",
            "systemctl start lustre-events-indexer@1, and so on; or correct [index] indexers",
        )  # fmt: skip
    elif wanted and waiting > INDEXERS_BEHIND:
        yield warning(
            "indexers", f"{len(alive)} run, and are behind: {waiting} portions of results wait",
            "if PostgreSQL's server has cores and disk to spare: raise [index] indexers, and start more",
        )  # fmt: skip
    elif wanted:
        yield ok("indexers", f"{len(alive)} run, {waiting} portions of results wait")
    elif alive:
        yield warning(
            "indexers", f"{len(alive)} run, and [index] indexers is 0: the dispatcher gives them no work",
            "systemctl disable --now lustre-events-indexer@1, and so on; or set [index] indexers",
        )  # fmt: skip
    yield from _refused_documents(sum(states[name].refused for name in alive))


def _refused_documents(refused: int) -> Iterator[Finding]:
    if refused:
        yield warning(
            "indexers", f"the database did not take {refused} documents; their files count as failed",
            "lustre-events failed list says which, and the indexers' journal why",
        )  # fmt: skip


def queues(status: Status, named: Collection[str]) -> Iterator[Finding]:
    """Look whether each queue that rules name, or in which jobs wait, has a worker."""
    found = status.rq
    if found is None:
        return
    if found.damaged:
        yield warning(
            "RQ",
            f"{found.damaged} members or keys of rq:* are not RQ's and are passed over",
            "look at rq:queues, rq:workers and their members with redis-cli; delete what is wrong",
        )
    served = {queue for worker in found.workers for queue in worker.queues}
    own = _pools_with_own_redis(status)
    yield from map(_own_redis, own.items())
    named = {*named} - {*map(pools.queue_of, own)}
    for queue in sorted({*named, *(name for name, counts in found.queues.items() if counts.waiting)}):
        waiting = found.queues.get(queue, QueueCounts()).waiting
        if queue in served:
            yield ok(f"queue {queue}", f"jobs waiting: {waiting}; it has workers")
        else:
            start = f'systemctl start lustre-events-worker@1, with [worker] queue = "{queue}"'
            if queue in _OF_INSTANCES:
                start = f"systemctl enable --now lustre-events-worker@{queue}, on {_OF_INSTANCES[queue]}"
            yield failure(f"queue {queue}", f"jobs waiting: {waiting}; no worker serves it", start)


def _pools_with_own_redis(status: Status) -> dict[str, PoolState]:
    return {name: pool for name, pool in (status.pools or {}).items() if pool.own}


def _own_redis(named: tuple[str, PoolState]) -> Finding:
    name, pool = named
    what = f"pool {name}"
    if pool.trouble:
        return failure(
            what,
            f"its jobs wait: {pool.trouble}",
            f"look at that Redis, and at {name}.redis where the dispatcher runs",
        )
    said = f"jobs waiting: {pool.waiting}; workers: {pool.workers}"
    if pool.waiting and not pool.workers:
        return failure(what, said, "start workers on the pool's nodes, with its worker.toml and worker.env")
    return ok(what, said)


def groups(status: Status) -> Iterator[Finding]:
    """Look whether a subscriber was cut off."""
    for name, group in (status.groups or {}).items():
        if group.lost:
            yield warning(f"group {name}", f"it was cut off from records; gaps: {len(group.lost)}",
                          f"see lustre-events groups list; or: lustre-events groups remove {name}")  # fmt: skip


def history(status: Status) -> Iterator[Finding]:
    """Look whether the history is written, and keeps up."""
    own = status.history
    if own is None:
        return
    silent = _seconds(status, own.updated_ns)
    if silent is None or silent > HISTORY_SILENT_SECONDS:
        since = "has never run" if silent is None else f"has been silent for {silent:.0f} s"
        yield failure(
            "history",
            f"its keeper {since}, and records wait for it in Redis",
            "systemctl start lustre-events-history; to keep no history: lustre-events groups remove history",
        )
    elif own.waiting:
        yield failure(
            "history",
            f"it is not written ({own.waiting}), and records wait for it in Redis",
            "make room below [history] folder, or set a smaller max_bytes in [history]",
        )
    elif own.behind > HISTORY_BEHIND:
        yield warning(
            "history",
            f"it is {own.behind} records behind; beyond [dispatcher] subscriber_max_lag it is cut off",
            "see whether its disk or its node is too slow",
        )
    else:
        yield ok("history", f"it is written, {own.behind} records behind")


def extractors(status: Status) -> Iterator[Finding]:
    """Look whether an extractor's work waits because it is suspended."""
    for name, state in status.extractors.items():
        if state.suspended is not None:
            yield warning(f"extractor {name}", f"it is suspended: {state.suspended}",
                          f"repair it, then: lustre-events extractor resume {name}")  # fmt: skip


def actions(status: Status) -> Iterator[Finding]:
    """Look whether actions are held or dead, and whether a courier takes what there is to send."""
    found = status.actions
    if found is None or not (
        found.runs or found.held or found.deliveries_waiting or status.counters.get("runs_made")
    ):
        return
    if found.courier_silent_seconds:
        waits = f"{found.deliveries_waiting} deliveries wait, and no courier takes them"
        yield failure("courier", waits, "systemctl start lustre-events-courier")
    for each in found.held:
        subject = f"{each.kind} {each.name}"
        yield warning(subject, f"it is held: {each.why}", f"lustre-events actions release {each.name!r}")
    for name in found.failing:
        yield warning(f"endpoint {name}", "it fails, and is tried once a minute",
                      f"lustre-events endpoints check {name}")  # fmt: skip
    held = found.count(HELD)
    if held:
        yield warning("actions", f"{held} runs are held, and each of them says why",
                      "lustre-events runs list --state held; then: runs release or runs drop")  # fmt: skip
    dead = found.count(DEAD)
    if dead:
        yield warning("actions", f"{dead} runs are dead: their messages did not arrive",
                      "lustre-events runs list --state dead; then: runs retry or runs drop")  # fmt: skip
    else:
        waiting = sum(found.count(state) for state in OPEN)
        yield ok("actions", f"{waiting} runs have not ended, and none is dead")


def trouble(status: Status) -> Iterator[Finding]:
    """Look whether the dispatcher says that it cannot go on."""
    told = (status.dispatcher.told if status.dispatcher else {}).get("trouble")
    if told:
        yield failure("dispatcher", f"it cannot go on: {told}", "what the sentence says; it then goes on by itself")


def keys(status: Status) -> Iterator[Finding]:
    """Look whether somebody's documents have more different keys than are searched."""
    for extractor, uid in status.index.full if status.index else ():
        yield warning(f"keys of {extractor}", f"files of uid {uid} have more different keys than can be searched",
                      "find out what these files are: further new keys of theirs are not found")  # fmt: skip


def rules(status: Status) -> Iterator[Finding]:
    """Look at what the dispatcher says of rules and extractors that it cannot use."""
    for problem in status.rules_problems:
        yield warning("rules", problem, "correct the file; lustre-events rules check says whether it is right")


def _seconds(status: Status, time_ns: int) -> float | None:
    return max(0, status.time_ns - time_ns) / SECOND_NS if time_ns else None
