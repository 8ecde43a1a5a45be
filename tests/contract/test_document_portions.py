"""Results for indexers in a real Redis: from lists that workers append to, through one stream, to indexers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.jobs import pools
from lustre_events.jobs.messages import BUILTIN_QUEUE, MOST_OF_PORTION, Result, encode_results
from lustre_events.jobs.pools import documents_key, new_job_id, queue_of, results_key
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.documents import (
    ENOUGH_BYTES,
    ENTRIES,
    KEPT_SECONDS,
    LOOK_SECONDS,
    MOST_DELIVERIES,
    IndexerState,
    RedisDocuments,
    RedisPortions,
    UnwantedDocuments,
)
from lustre_events.streams.results import ID_BYTES, RedisResults
from tests.support.need import need
from tests.support.records.builders import fid_of
from tests.support.servers.redis import start_redis


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need("redis-server")
    folder: Path = tmp_path_factory.mktemp("redis")
    with start_redis(folder / "redis") as server:
        yield server.url


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with connect(redis_url, 5.0) as made:
        made.flushdb()
        yield made


def result(number: int, job: str, **fields: object) -> Result:
    values = {"serial": 1, "generation": 1, "status": "ok", "document": {"n": number}, **fields}
    return Result(fid=fid_of(number), extractor="x", provenance={"job": job}, **values)  # type: ignore[arg-type]


def numbers(portions: RedisPortions) -> list[int]:
    return [each.document["n"] for portion in portions.read() for each in portion.results]


def test_each_portion_is_given_once_and_waits_until_it_is_acknowledged(client: Client) -> None:
    """Two indexers share what there is; nothing is left only when each has acknowledged its part."""
    put, backlog = RedisResults(client, keys.DOCUMENTS), RedisDocuments(client)
    first, second = RedisPortions(client, "a.1"), RedisPortions(client, "a.2")
    assert first.read() == []
    for number in range(6):
        put.put([result(number, "job")])
    assert backlog.waiting() == {"": 6}
    found = [*first.read(), *second.read()]
    assert sorted(each.document["n"] for portion in found for each in portion.results) == list(range(6))
    assert first.read() == second.read() == []
    assert backlog.waiting() == {"": 6}
    first.acknowledge(found)
    assert backlog.waiting() == {"": 0}


def test_an_indexer_gets_again_what_it_had(client: Client) -> None:
    """Started again under its name it is given what it has not acknowledged, and then what is new."""
    put = RedisResults(client, keys.DOCUMENTS)
    RedisPortions(client, "a.1").read()
    put.put([result(1, "job")])
    assert numbers(RedisPortions(client, "a.1")) == [1]
    put.put([result(2, "job")])
    again = RedisPortions(client, "a.1")
    [had] = again.read()
    again.acknowledge([had])
    assert [had.results[0].document["n"], *numbers(again)] == [1, 2]


def test_what_another_had_is_taken_over(client: Client) -> None:
    """What an indexer that is gone has not acknowledged comes to another, once that was long ago."""
    put = RedisResults(client, keys.DOCUMENTS)
    lost = RedisPortions(client, "gone.1")
    lost.read()
    put.put([result(1, "job")])
    assert numbers(lost) == [1]
    other = RedisPortions(client, "a.1")
    assert other.read() == []
    [entry] = client.xpending_range(keys.PORTIONS, "indexers", "-", "+", 10)
    client.xclaim(keys.PORTIONS, "indexers", "gone.1", 0, [entry["message_id"]], idle=120_000, justid=True)
    assert numbers(RedisPortions(client, "a.1")) == [1]


def test_a_portion_that_ends_whoever_tries_is_dropped(client: Client) -> None:
    """After ten tries it is given to nobody, and nothing waits for it."""
    put = RedisResults(client, keys.DOCUMENTS)
    RedisPortions(client, "a.1").read()
    put.put([result(1, "job")])
    tries = sum(bool(RedisPortions(client, "a.1").read()) for _ in range(MOST_DELIVERIES + 5))
    assert tries == MOST_DELIVERIES
    assert RedisDocuments(client).waiting() == {"": 0}


def test_a_pool_answers_for_its_own_jobs_only(client: Client) -> None:
    """Of another's job a result has no job, and no document; a failure of the pool's nodes blames no extractor."""
    client.sadd(pools.NAMES, "p", "q")
    own, foreign = new_job_id(queue_of("p")), new_job_id(queue_of("q"))
    RedisPortions(client, "a.1").read()
    RedisResults(client, documents_key("p")).put([
        result(1, own), result(2, foreign), result(3, "of-the-site"),
        result(4, own, status="failed", blame="extractor"),
    ])  # fmt: skip
    RedisResults(client, keys.DOCUMENTS).put([result(5, own), result(6, "of-the-site")])
    found = {each.fid: each for portion in RedisPortions(client, "a.1").read() for each in portion.results}
    assert [number for number in range(1, 7) if found[fid_of(number)].provenance.get("job")] == [1, 4, 6]
    assert not found[fid_of(2)].document
    assert found[fid_of(4)].blame == "worker"


def test_whose_results_are_for_indexers(client: Client) -> None:
    """Those of the site and of pools whose lists are here; not what is built in, nor a pool with another Redis."""
    backlog = RedisDocuments(client, ["p"])
    assert [backlog.takes(queue) for queue in ("default", queue_of("p"), queue_of("q"), BUILTIN_QUEUE)] == [
        True, True, False, False,
    ]  # fmt: skip


def test_a_portions_name_is_that_of_its_bytes(client: Client) -> None:
    """A stream that is made anew may give an id again: other results are another portion, the same are none."""
    put = [("1-1", "", 1), ("1-1", "", 2), ("7-3", "", 1), ("1-1", "p", 1)]
    names = []
    for entry, pool, number in put:
        client.flushdb()
        data = encode_results([result(number, "job")])
        client.xadd(keys.PORTIONS, {"pool": pool, "data": data}, id=entry)
        portions = RedisPortions(client, "a.1")
        portions.read()
        [portion] = portions.read()
        portions.acknowledge([portion])
        assert client.xlen(keys.PORTIONS) == 0
        names.append(portion.id)
    first, other, again, of_a_pool = names
    assert again == first
    assert len({first, other, of_a_pool}) == 3


def test_small_portions_are_taken_together(client: Client) -> None:
    """An indexer takes many at once, and knows whether there may be more."""
    put = RedisResults(client, keys.DOCUMENTS)
    portions = RedisPortions(client, "a.1")
    portions.read()
    for number in range(ENTRIES + 3):
        put.put([result(number, "job")])
    assert (numbers(portions), portions.more) == ([*range(ENTRIES)], True)
    assert (numbers(portions), portions.more) == ([*range(ENTRIES, ENTRIES + 3)], False)
    assert (numbers(portions), portions.more) == ([], False)


def test_no_pool_waits_behind_the_long_portions_of_another(client: Client) -> None:
    """Where one portion is enough, the next one is of another list."""
    client.sadd(pools.NAMES, "p")
    own = new_job_id(queue_of("p"))
    RedisPortions(client, "a.1").read()
    for number in range(3):
        for key, job in ((keys.DOCUMENTS, "job"), (documents_key("p"), own)):
            document = {"n": number, "long": "x" * ENOUGH_BYTES}
            RedisResults(client, key).put([result(number, job, document=document)])
    portions = RedisPortions(client, "a.1")
    found = [portion.pool for _ in range(4) for portion in portions.read()]
    assert sorted(found) == ["", "", "p", "p"]


def test_indexers_know_how_many_there_are_and_forget_who_is_gone(client: Client) -> None:
    """Who is silent shares nothing; after a day nothing is left of it, nor of what nobody can read."""
    now, second = 1_800_000_000 * 10**9, 10**9
    for name, silent in (("b.1", 1), ("b.2", 60), ("b.3", KEPT_SECONDS + 1), ("b.4", -1)):
        RedisPortions(client, name).publish(IndexerState(int(now - silent * second)))
    client.hset(keys.INDEXERS, b"b.\xff", "x")
    timer = iter([0.0, LOOK_SECONDS, LOOK_SECONDS])
    portions = RedisPortions(client, "a.1", lambda: next(timer))
    assert portions.sharing == 1
    portions.publish(IndexerState(now))
    assert portions.sharing == 3
    assert sorted(client.hkeys(keys.INDEXERS)) == [b"a.1", b"b.1", b"b.2", b"b.4"]


def test_what_is_no_portion_holds_up_nobody(client: Client) -> None:
    """Bytes that nobody can read, and a list that is something else, are passed over."""
    client.sadd(pools.NAMES, "p")
    client.set(documents_key("p"), "x")
    RedisPortions(client, "a.1").read()
    client.rpush(keys.DOCUMENTS, b"\x00" * ID_BYTES + b"\xff no JSON", b"")
    RedisResults(client, keys.DOCUMENTS).put([result(1, "job")])
    found = RedisPortions(client, "a.1").read()
    assert [len(portion.results) for portion in found] == [0, 0, 1]
    assert RedisDocuments(client, ["p"]).waiting() == {"": 3, "p": 0}


def test_a_full_redis_is_emptied(client: Client) -> None:
    """Where there is no memory left indexers still get what waits, and say how it goes."""
    put = RedisResults(client, keys.DOCUMENTS)
    RedisPortions(client, "a.1").read()
    for number in range(20):
        put.put([result(number, "job", document={"n": number, "long": "x" * 100_000})])
    client.config_set("maxmemory", "1mb")
    try:
        done = []
        portions = RedisPortions(client, "a.1")
        while found := portions.read():
            done += [each.document["n"] for portion in found for each in portion.results]
            portions.acknowledge(found)
            portions.publish(IndexerState(7, len(done)))
    finally:
        client.config_set("maxmemory", "0")
    assert done == list(range(20))
    assert RedisDocuments(client).indexers() == {"a.1": IndexerState(7, 20)}


def test_what_waits_is_counted_by_pool(client: Client) -> None:
    """In lists and in the stream alike, until it is acknowledged; a pool that waits is no other's matter."""
    client.sadd(pools.NAMES, "p", "q")
    RedisPortions(client, "a.1").read()
    for pool in ("p", "p", "q"):
        RedisResults(client, documents_key(pool)).put([result(1, new_job_id(queue_of(pool)))])
    backlog = RedisDocuments(client, ["p", "q"])
    assert backlog.waiting() == {"": 0, "p": 2, "q": 1}
    portions = RedisPortions(client, "a.1")
    found = portions.read()
    assert backlog.waiting() == {"": 0, "p": 2, "q": 1}
    portions.acknowledge([each for each in found if each.pool == "p"])
    portions.acknowledge([each for each in found if each.pool == "p"])
    assert backlog.waiting() == {"": 0, "p": 0, "q": 1}
    portions.acknowledge(found)
    assert backlog.waiting() == {"": 0, "p": 0, "q": 0}


def test_a_portion_of_too_many_results_is_none(client: Client) -> None:
    """A worker puts a hundred into one; whoever writes a million keeps no indexer."""
    RedisPortions(client, "a.1").read()
    RedisResults(client, keys.DOCUMENTS).put([result(number, "job") for number in range(MOST_OF_PORTION + 1)])
    [portion] = RedisPortions(client, "a.1").read()
    assert not portion.results


def test_an_indexer_takes_few_long_portions_at_once(client: Client) -> None:
    """Of long ones it takes one after the other, so its memory is bounded."""
    put = RedisResults(client, keys.DOCUMENTS)
    RedisPortions(client, "a.1").read()
    for number in range(3):
        put.put([result(number, "job", document={"n": number, "long": "x" * (ENOUGH_BYTES // 2)})])
    portions = RedisPortions(client, "a.1")
    assert [numbers(portions), numbers(portions)] == [[0, 1], [2]]
    assert [numbers(again) for again in [RedisPortions(client, "a.1")]] == [[0, 1]]


def test_what_waits_for_indexers_that_are_switched_off_is_the_dispatchers(client: Client) -> None:
    """From the stream and from all lists it goes into the results of whoever has found it, in order, once."""
    client.sadd(pools.NAMES, "p")
    own = new_job_id(queue_of("p"))
    site, pool = RedisResults(client, keys.DOCUMENTS), RedisResults(client, documents_key("p"))
    RedisPortions(client, "a.1").read()
    site.put([result(1, "job")])
    pool.put([result(2, own)])
    assert sorted(numbers(RedisPortions(client, "a.1"))) == [1, 2]
    site.put([result(3, "job")])
    pool.put([result(4, own)])
    off = UnwantedDocuments(client, ["p"])
    assert off.waiting() == off.waiting() == {"": 0, "p": 0}
    assert not off.takes("default")

    def found(key: str) -> list[int]:
        results = RedisResults(client, key)
        entries = results.read(10)
        results.acknowledge([entry_id for entry_id, _ in entries])
        assert results.read(10) == []
        return [each.document["n"] for _, some in entries for each in some]

    assert [found(keys.RESULTS), found(results_key("p"))] == [[1, 3], [2, 4]]
    assert RedisPortions(client, "a.1").read() == []


def test_a_pools_odd_keys_stop_nobody_from_switching_off(client: Client) -> None:
    """What a pool has made of its own lists, or what is of no pool any more, is passed over."""
    client.sadd(pools.NAMES, "p", "q")
    RedisPortions(client, "a.1").read()
    RedisResults(client, documents_key("q")).put([result(1, new_job_id(queue_of("q")))])
    assert RedisPortions(client, "a.1").read()
    client.set(results_key("p"), "x")
    RedisResults(client, documents_key("p")).put([result(2, new_job_id(queue_of("p")))])
    RedisResults(client, keys.DOCUMENTS).put([result(3, "job")])
    assert UnwantedDocuments(client, ["p"]).waiting() == {"": 0, "p": 1}
    assert [each.document["n"] for _, some in RedisResults(client).read(10) for each in some] == [3]


@pytest.mark.parametrize("count", [b"x", b"-5", b"9" * 5_000, None])
def test_a_damaged_count_holds_up_nobody(client: Client, count: bytes | None) -> None:
    """What is no number, or of another type, counts as no more than there is; indexers and dispatcher go on."""
    put, backlog, off = RedisResults(client, keys.DOCUMENTS), RedisDocuments(client), UnwantedDocuments(client)
    RedisPortions(client, "a.1").read()
    for number in (1, 2):
        put.put([result(number, "job")])
    portions = RedisPortions(client, "a.1")
    [first, _] = portions.read()
    client.delete(keys.MOVED)
    client.set(keys.MOVED, "x") if count is None else client.hset(keys.MOVED, "", count)
    assert 0 <= backlog.waiting()[""] <= 2
    portions.acknowledge([first])
    put.put([result(3, "job")])
    assert numbers(portions) == [3]
    assert off.waiting() == backlog.waiting() == {"": 0}
    assert [each.document["n"] for _, some in RedisResults(client).read(10) for each in some] == [2, 3]
