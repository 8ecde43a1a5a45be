"""Results for indexers, in Redis: lists that workers append to, and the stream that indexers share.

A worker's login can only append to a list, as to that of the results (results.py). A script moves entries into the
stream, with the pool whose list it was, and gives them to an indexer; there they are a consumer group's until they
are acknowledged. An entry's id is unique only while its stream lives: Redis may give it again after that was
removed or restored. So a portion's name is a digest of its pool and its bytes, the same whoever reads it again.

What an indexer was given and has not acknowledged it gets again when it is started again under its name. What is
another's is taken over when that has not been heard of for a while; whoever still works on it does no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast

import msgspec
import redis

from lustre_events.errors import ConfigError, StreamForbidden, StreamFull
from lustre_events.jobs import pools
from lustre_events.jobs.messages import BUILTIN_QUEUE, MOST_OF_PORTION, DocumentPortion, Result, decode_results
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, publish, redis_errors
from lustre_events.streams.interface import ResultSink
from lustre_events.streams.results import ID_BYTES, READ_BYTES

log = logging.getLogger(__name__)

GROUP = "indexers"
ENTRIES = 64
"""Portions that an indexer takes at once: a worker puts up to 100 results into one, and often fewer."""
ENOUGH_BYTES = 256 << 10
"""An indexer that has as many bytes takes no further portion: some 300 documents of ten keys, so that what each
transaction costs anyway is little of it, and it ends soon."""
MOST_ENTRIES = 1_024
"""In the stream: what indexers have; the others wait in the lists."""
CLAIM_SECONDS = 60.0
"""Longer than a statement of an indexer may take."""
LOOK_SECONDS = 5.0
HEARD_SECONDS = 10.0
"""An indexer that was heard within this time shares the work."""
KEPT_SECONDS = 86_400.0
"""For this long it is known how an indexer did that is heard no more."""
MOST_DELIVERIES = 10
"""A portion that was given out more often has ended those who tried."""
DIGEST_BYTES = 16

_Entry = tuple[bytes, dict[bytes, bytes] | None]


class RoutedResults:
    """Where a worker stores what it found for a job whose results are for indexers.

    Good documents go into their list; all else is the dispatcher's. So are documents where the worker's login may
    not write into that list: the users of its Redis are of an older version.
    """

    def __init__(self, documents: ResultSink, results: ResultSink) -> None:
        self._documents = documents
        self._results = results

    def put(self, results: Sequence[Result]) -> None:
        """Store results; when this returns the job may end. Raises StreamUnavailable, StreamFull."""
        good = [each for each in results if each.status == "ok"]
        others = [each for each in results if each.status != "ok"]
        if others:
            try:
                self._results.put(others)
            except StreamFull as exc:
                exc.left = [*(exc.left or others), *good]
                raise
        if good:
            try:
                self._documents.put(good)
            except StreamFull as exc:
                exc.left = exc.left or good
                raise
            except StreamForbidden as exc:
                log.warning("documents go to the dispatcher, not to indexers (%s); renew the users of Redis with "
                            "lustre-events setup redis", exc, extra={"action": "retry"})  # fmt: skip
                self._documents = self._results
                self._results.put(good)


class RedisDocuments:
    """All results for indexers of one Redis, for the dispatcher: see `interface.DocumentBacklog`."""

    wanted = True

    def __init__(self, client: Client, own_pools: Collection[str] | None = ()) -> None:
        """Take the pools whose lists are here, too; None: they are looked up when what waits is counted."""
        self._client = client
        self._own_pools = own_pools
        self._pools = ["", *sorted(own_pools or ())]

    def takes(self, queue: str) -> bool:
        """Whether the results of this queue's jobs are for indexers."""
        return queue != BUILTIN_QUEUE and pools.pool_of(queue) in self._pools

    def waiting(self) -> Mapping[str, int]:
        """Return how many portions of each pool are not acknowledged; lists are asked first: all only moves on."""
        known = self._pools if self._own_pools is not None else ["", *here(self._client)]
        with redis_errors(self._client), self._client.pipeline(transaction=False) as pipe:
            for pool in known:
                pipe.llen(documents_key(pool))
            pipe.hgetall(keys.MOVED)
            pipe.xlen(keys.PORTIONS)
            *lengths, moved, most = pipe.execute(raise_on_error=False)
            found = dict(zip(known, map(_length, lengths), strict=True))
            for pool, count in _counts(moved, known, _length(most)).items():
                found[pool] = found.get(pool, 0) + count
            return found

    def indexers(self) -> dict[str, IndexerState]:
        """Return what indexers have published, by their names."""
        told = _told(self._client)
        return {name.decode("utf-8", "replace"): state for name, state in told.items() if state is not None}


class UnwantedDocuments(RedisDocuments):
    """Results for indexers where these are switched off: they become results for the dispatcher."""

    wanted = False

    def __init__(self, client: Client, own_pools: Collection[str] = ()) -> None:
        super().__init__(client, own_pools)
        self._give_back = load_script(client, "return_documents")

    def takes(self, queue: str) -> bool:  # noqa: ARG002 - see RedisDocuments
        """Whether the results of a queue's jobs are for indexers: no."""
        return False

    def waiting(self) -> Mapping[str, int]:
        """Move what waits into the lists of the results, some at once; return what is left."""
        lists = [key(pool) for pool in self._pools for key in (documents_key, results_key)]
        with redis_errors(self._client):
            moved = self._give_back([keys.PORTIONS, keys.MOVED, *lists], [MOST_ENTRIES, READ_BYTES, *self._pools])
        if moved:
            log.info("[index] indexers is 0: %d portions of documents are the dispatcher's now", moved,
                     extra={"action": "move"})  # fmt: skip
        return super().waiting()


class IndexerState(msgspec.Struct, frozen=True):
    """What an indexer publishes of itself: when; and what it has done since it was started.

    `refused` counts documents that the database does not take, and portions that ended whoever tried.
    """

    alive_ns: int
    portions: int = 0
    documents: int = 0
    cpu_seconds: float = 0.0
    refused: int = 0


class RedisPortions:
    """Portions for one indexer; see `interface.DocumentPortions`. Every call may raise StreamError."""

    def __init__(self, client: Client, name: str, timer: Callable[[], float] = time.monotonic) -> None:
        """Take the indexer's name: the same one when it is started again, and nobody else's."""
        self._client = client
        self._name = name
        self._timer = timer
        self._take = load_script(client, "take_documents")
        self._forget = load_script(client, "forget_documents")
        self._again = True
        self._claim_at = self._look_at = self._others_at = timer()
        self._pools = [""]
        self.dropped = 0
        self.more = False
        self.sharing = 1

    def read(self) -> list[DocumentPortion]:
        """Return some portions: own ones that were given before, then lost ones of others, then new ones."""
        with redis_errors(self._client):
            self.more = False
            try:
                entries = self._own() or self._lost() or self._new()
            except redis.ResponseError as exc:
                if not str(exc).startswith("NOGROUP"):
                    raise
                with contextlib.suppress(redis.ResponseError):  # another has made it
                    self._client.xgroup_create(keys.PORTIONS, GROUP, "0", mkstream=True)
                entries = []
        return [_portion(entry) for entry in entries]

    def acknowledge(self, portions: Sequence[DocumentPortion]) -> None:
        """Forget portions that are written."""
        if portions:
            named = [word for portion in portions for word in (portion.entry, portion.pool)]
            with redis_errors(self._client):
                self._forget([keys.PORTIONS, keys.MOVED], [GROUP, *named])

    def publish(self, state: IndexerState) -> None:
        """Say how it goes, for `status`; now and then learn how many there are, and forget who is long gone."""
        publish(self._client, keys.INDEXERS, {self._name: msgspec.json.encode(state).decode()})
        if self._timer() >= self._others_at:
            self._others_at = self._timer() + LOOK_SECONDS
            self._look_at_others(state.alive_ns)

    def _look_at_others(self, now_ns: int) -> None:
        told = _told(self._client)
        silent = {name: (now_ns - each.alive_ns) / 1e9 for name, each in told.items() if each is not None}
        self.sharing = max(1, sum(abs(seconds) <= HEARD_SECONDS for seconds in silent.values()))
        gone = [name for name in told if silent.get(name, KEPT_SECONDS) >= KEPT_SECONDS]
        if gone:
            with redis_errors(self._client):
                self._client.hdel(keys.INDEXERS, *gone)

    def _own(self) -> list[_Entry]:
        """Return portions that this indexer had when it ended."""
        found: list[_Entry] = []
        behind = "0"
        while self._again and len(found) < ENTRIES and sum(map(_size, found)) < ENOUGH_BYTES:
            answer = self._client.xreadgroup(GROUP, self._name, {keys.PORTIONS: behind}, count=1)
            streams = cast("list[tuple[bytes, list[_Entry]]]", answer)
            if not streams or not streams[0][1]:
                break
            found += streams[0][1]
            behind = found[-1][0].decode()
        self.more = self._again = bool(found)
        return self._kept(found)

    def _lost(self) -> list[_Entry]:
        """Take over a portion of an indexer that is not heard of."""
        if self._timer() < self._claim_at:
            return []
        found = self._client.xautoclaim(keys.PORTIONS, GROUP, self._name, int(1000 * CLAIM_SECONDS), count=1)
        entries = cast("list[_Entry]", found[1])
        if not entries:
            self._claim_at = self._timer() + CLAIM_SECONDS / 4
        self.more = bool(entries)
        return self._kept(entries)

    def _new(self) -> list[_Entry]:
        """Take portions out of the lists, another one first each time."""
        if self._timer() >= self._look_at:
            self._look_at = self._timer() + LOOK_SECONDS
            self._pools = ["", *here(self._client)]
        self._pools = [*self._pools[1:], self._pools[0]]
        lists = map(documents_key, self._pools)
        bounds = [MOST_ENTRIES, ENTRIES, ENOUGH_BYTES, READ_BYTES, ID_BYTES]
        answer = self._take([keys.PORTIONS, keys.MOVED, *lists], [GROUP, self._name, *bounds, *self._pools])
        entries, more = cast("tuple[list[tuple[bytes, list[bytes]]], int]", answer)
        self.more = bool(more)
        return [(entry_id, dict(zip(fields[::2], fields[1::2], strict=True))) for entry_id, fields in entries]

    def _kept(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Return portions that were given out before, but for those that end whoever tries."""
        hopeless = [entry for entry in entries if self._deliveries(entry[0]) > MOST_DELIVERIES]
        if hopeless:
            log.error("%d portions of documents were given out %d times and never written; they are dropped, and"
                      " their files are extracted again", len(hopeless), MOST_DELIVERIES,
                      extra={"action": "drop"})  # fmt: skip
            self.dropped += len(hopeless)
            self.acknowledge([DocumentPortion("", (), _pool(fields), id_.decode()) for id_, fields in hopeless])
        return [entry for entry in entries if entry not in hopeless]

    def _deliveries(self, entry_id: bytes) -> int:
        found = self._client.xpending_range(keys.PORTIONS, GROUP, entry_id, entry_id, 1)
        return sum(cast("int", each["times_delivered"]) for each in found)


def documents_key(pool: str) -> str:
    """Return the key of results for indexers of a pool; empty: of the site's workers."""
    return pools.documents_key(pool) if pool else keys.DOCUMENTS


def results_key(pool: str) -> str:
    """Return the key of results for the dispatcher of a pool; empty: of the site's workers."""
    return pools.results_key(pool) if pool else keys.RESULTS


def here(client: Client) -> list[str]:
    """Return the pools whose keys are in this Redis. Raises StreamError."""
    with redis_errors(client):
        names = cast("set[bytes]", client.smembers(pools.NAMES))
    return sorted(name for each in names if pools.is_name(name := each.decode("latin-1")))


def _told(client: Client) -> dict[bytes, IndexerState | None]:
    """Return what indexers have published, by their names; None: that cannot be understood."""
    with redis_errors(client):
        told = cast("dict[bytes, bytes]", client.hgetall(keys.INDEXERS))
    found: dict[bytes, IndexerState | None] = dict.fromkeys(told)
    for name, state in told.items():
        with contextlib.suppress(msgspec.MsgspecError):
            found[name] = msgspec.json.decode(state, type=IndexerState)
    return found


def _length(answer: object) -> int:
    if isinstance(answer, redis.ResponseError) and not str(answer).startswith("WRONGTYPE"):
        raise answer
    return answer if isinstance(answer, int) else 0  # what a pool has made of its list holds up nobody


def _counts(answer: object, known: Collection[str], most: int) -> dict[str, int]:
    """Return the numbers of portions by pool that the scripts keep; what is none counts as all of the stream."""
    if isinstance(answer, redis.ResponseError) and str(answer).startswith("WRONGTYPE"):
        return dict.fromkeys(known, most)
    if isinstance(answer, Exception):
        raise answer
    told = cast("dict[bytes, bytes]", answer)
    return {pool.decode("latin-1"): _count(count, most) for pool, count in told.items()}


def _count(told: bytes, most: int) -> int:
    try:
        return min(max(0, int(told)), most)
    except ValueError:
        return most


def _size(entry: _Entry) -> int:
    return len((entry[1] or {}).get(b"data", b""))


def _pool(fields: dict[bytes, bytes] | None) -> str:
    return (fields or {}).get(b"pool", b"").decode("latin-1")


def _portion(entry: _Entry) -> DocumentPortion:
    entry_id, data, pool = entry[0].decode(), (entry[1] or {}).get(b"data", b""), _pool(entry[1])
    results = []
    try:
        results = decode_results(data)
        if len(results) > MOST_OF_PORTION:
            raise ConfigError(f"it has {len(results)} results, and a worker stores {MOST_OF_PORTION} at most")
    except ConfigError as exc:
        log.warning("portion %s of documents cannot be used: %s", entry_id, exc, extra={"action": "refuse"})
        results = []
    name = hashlib.blake2b(b"%b\0%b" % (pool.encode("latin-1"), data), digest_size=DIGEST_BYTES).hexdigest()
    return DocumentPortion(name, [pools.as_owed(pool, each) for each in results], pool, entry_id)
