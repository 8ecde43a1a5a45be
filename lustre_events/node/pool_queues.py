"""The dispatcher's side of pools: it seals jobs for each, and takes from each only the answers that it owes.

A pool may have a Redis of its own. When that is away, busy or full, the pool waits, and nobody else.
"""

from __future__ import annotations

import logging
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from lustre_events.actions.seal import read_seal
from lustre_events.actions.sealed_jobs import PoolSeal
from lustre_events.config.places import REDIS_URL, login
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError, StreamError
from lustre_events.jobs import pools
from lustre_events.jobs.messages import Job, Result
from lustre_events.jobs.queues import NO_ROOM, RqQueues
from lustre_events.streams.connection import Client, client_of, redis_errors
from lustre_events.streams.results import PUT_BYTES, RedisResults

log = logging.getLogger(__name__)

AWAY_SECONDS = 10.0
"""A pool's own Redis that did not answer is left alone for this long."""
TIMEOUT_SECONDS = 2.0
"""How long the dispatcher waits for a pool's own Redis."""
READ_BYTES = 2 * PUT_BYTES
"""Most bytes of a pool's results that one step reads."""
_ENTRIES = 20
_PART = "\0"

T = TypeVar("T")


class Pool:
    """One pool: its queue and its results, in the site's Redis or in one of its own.

    `trouble` tells why its own Redis was of no use when it was asked last; empty: it was.
    """

    def __init__(
        self, name: str, queue: RqQueues, results: RedisResults, *, own: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.name = name
        self.queue = queue
        self.results = results
        self.own = own
        self.trouble = ""
        self._clock = clock
        self._away_until = 0.0

    def ask(self, what: Callable[[], T], otherwise: T) -> T:
        """Return what a call to this pool's Redis returns, or `otherwise` while it is away.

        Raises StreamError: the site's Redis is, which is everybody's matter.
        """
        if not self.own:
            return what()
        if self._clock() < self._away_until:
            return otherwise
        try:
            found = what()
        except StreamError as exc:
            self.trouble = str(exc)
            self._away_until = self._clock() + AWAY_SECONDS
            log.warning("the pool %s waits for its own Redis: %s", self.name, exc, extra={"action": "wait"})
            return otherwise
        self.trouble = ""
        return found


class PooledQueues:
    """The site's queues and those of its pools; see `dispatcher.jobs.JobQueue`."""

    def __init__(self, site: RqQueues, known: Mapping[str, Pool]) -> None:
        self._site = site
        self._pools = known
        self._unknown: set[str] = set()

    def length(self, queue: str) -> int:
        """Return how many jobs wait; NO_ROOM for a pool that is away, or that nobody has added."""
        name = pools.pool_of(queue)
        if not name:
            return self._site.length(queue)
        pool = self._pools.get(name)
        if pool is not None:
            return pool.ask(lambda: pool.queue.length(queue), NO_ROOM)
        if name not in self._unknown:
            self._unknown.add(name)
            log.error("queue %s gets no jobs: there is no pool %s here; run `lustre-events pool add %s`, or let "
                      "the rules name another queue", queue, name, name, extra={"action": "wait"})  # fmt: skip
        return NO_ROOM

    def still_waiting(self, queue: str, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait in a queue."""
        name = pools.pool_of(queue)
        if not name:
            return self._site.still_waiting(queue, job_ids)
        pool = self._pools.get(name)
        return set() if pool is None else pool.ask(lambda: pool.queue.still_waiting(queue, job_ids), set(job_ids))

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Put jobs into a queue."""
        name = pools.pool_of(queue)
        if not name:
            self._site.enqueue(queue, jobs)
        elif (pool := self._pools.get(name)) is not None:
            pool.ask(lambda: pool.queue.enqueue(queue, jobs), None)

    def was_full(self, queue: str, since_ns: int) -> bool:
        """Whether the Redis of a queue was nearly full since then."""
        pool = self._pools.get(pools.pool_of(queue))
        return (self._site if pool is None or not pool.own else pool.queue).was_full(queue, since_ns)

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait or run, or may be done.

        All of a pool whose Redis is away, or of which results are not read yet: nobody can tell which are lost.
        """
        of: dict[str, set[str]] = defaultdict(set)
        for job_id in job_ids:
            of[pools.pool_of_job(job_id)].add(job_id)
        site = of.pop("", set())
        alive = self._site.unfinished(site) if site else set()
        for name, ids in of.items():
            pool = self._pools.get(name)
            if pool is not None:
                unread = pool.results.more
                alive |= ids if unread else pool.ask(lambda pool=pool, ids=ids: pool.queue.unfinished(ids), ids)  # type: ignore[misc]
        return alive


class PooledResults:
    """The site's results and those of its pools; see `streams.interface.Results`.

    `more` is said of the site's alone: a pool that writes without end delays itself. A result counts only if it is
    of a job of the one who wrote it; `refused` counts the others, and entries that cannot be read, by pool ("": the
    site's workers answered for one).
    """

    def __init__(self, site: RedisResults, known: Mapping[str, Pool]) -> None:
        self._site = site
        self._pools = known
        self.more = False
        self.refused: Counter[str] = Counter()

    def put(self, results: Sequence[Result]) -> None:
        """Store results of the site's workers."""
        self._site.put(results)

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Return entries not yet acknowledged, of the site and of each pool."""
        found = [(f"{_PART}{entry_id}", self._owed("", results)) for entry_id, results in self._site.read(limit)]
        self.more = self._site.more
        for pool in self._pools.values():
            nothing: list[tuple[str, list[Result]]] = []
            # An entry that is read twice counts once, so it is no matter what is acknowledged already.
            for entry_id, results in pool.ask(lambda pool=pool: pool.results.read(_ENTRIES), nothing):  # type: ignore[misc]
                self.refused[pool.name] += not results
                found.append((f"{pool.name}{_PART}{entry_id}", self._owed(pool.name, results)))
        return found

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget entries that are committed to the index."""
        of: dict[str, list[str]] = defaultdict(list)
        for each in ids:
            name, _, entry_id = each.partition(_PART)  # whoever writes an entry chooses its id, not whose it is
            of[name].append(entry_id)
        self._site.acknowledge(of.pop("", []))
        for name, entries in of.items():
            pool = self._pools[name]
            pool.ask(lambda pool=pool, entries=entries: pool.results.acknowledge(entries), None)  # type: ignore[misc]

    def _owed(self, pool: str, results: Sequence[Result]) -> list[Result]:
        """Return results as they count (pools.as_owed); those that are not owed are counted."""
        foreign = sum(not pools.owes(pool, each) for each in results)
        if foreign:
            self.refused[pool] += foreign
            who = f"the pool {pool}" if pool else "a worker of the site"
            log.error("%s answered for %d files of jobs that were not given there; these answers are dropped",
                      who, foreign, extra={"action": "drop"})  # fmt: skip
        return [pools.as_owed(pool, each) for each in results]


def folder(settings: Settings) -> Path | None:
    """Return where the keys of pools are; None: the site has none."""
    return Path(settings.dispatcher.pools) if settings.dispatcher.pools else None


def names(where: Path | None) -> list[str]:
    """Return the pools whose keys are in a folder. Raises ConfigError."""
    try:
        found = sorted(path.stem for path in where.iterdir() if path.suffix == ".key") if where else []
    except OSError as exc:
        raise ConfigError(f"{where}: cannot be read ({exc.strerror}); see [dispatcher] pools") from exc
    return [name for name in found if pools.is_name(name)]


def known(settings: Settings, client: Client) -> dict[str, Pool]:
    """Return the site's pools, connected; `client` is of the site's Redis.

    Raises ConfigError: a key or a login cannot be used, or others may read it.
    """
    where = folder(settings)
    return {name: _pool(name, where, settings, client) for name in names(where)} if where else {}


def _pool(name: str, where: Path, settings: Settings, client: Client) -> Pool:
    seal = PoolSeal(name, read_seal(where / f"{name}.key"))
    own = where / f"{name}.redis"
    if own.is_file():
        if own.stat().st_mode & stat.S_IRWXO:
            raise ConfigError(f"{own}: others may read this login; chmod 0640 {own}")
        url = login(own).get(REDIS_URL, "")
        if not url:
            raise ConfigError(f"{own}: names no {REDIS_URL}; run `lustre-events pool add {name}` again")
        client = client_of(url, TIMEOUT_SECONDS)  # it may be away
    queue = RqQueues(
        client, settings.worker.job_timeout_seconds, pools.rq_prefix(name),
        lambda job: seal.sealed(job, time.time_ns()),
    )  # fmt: skip
    return Pool(name, queue, RedisResults(client, pools.results_key(name), READ_BYTES), own=own.is_file())


def announce(client: Client, found: Mapping[str, Pool]) -> None:
    """Tell who looks which pools are in the site's Redis. Raises StreamError."""
    here = [name for name, pool in found.items() if not pool.own]
    with redis_errors(client), client.pipeline() as pipe:
        pipe.delete(pools.NAMES)
        if here:
            pipe.sadd(pools.NAMES, *here)
        pipe.execute()
