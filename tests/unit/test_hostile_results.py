"""What a stolen login of a worker could write: the dispatcher takes answers to what it asked, and only these."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import tests.support.records.builders as b
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import HEAL, SCAN, STAT, Job, decode_results, encode_results
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import FACTS, Rig, answers, csv_rig
from tests.support.records.builders import fid_of

pytestmark = pytest.mark.long

DEEP: Any = 1
for _ in range(400):
    DEEP = [DEEP]
VALUES: list[Any] = [
    10**400, -(1 << 70), 1e308, 1.5, "\0", "a\0b", "\x1b[31m", "\uf8ff", "\ud800", "x" * 300_000, DEEP, [], {},
    None, True,
    [[[]]] * 1000, {"": {"": ""}}, {"\0": "\0"}, {"k" * 5_000: 1}, {f"k{n}": n for n in range(3_000)},
    list(range(20_000)), [["a", "b"]], [["a"]], [["[0x1:0x2:0x3]", "\0"]], [["\ud800", "\ud800"]],
]  # fmt: skip
A, B = (str(fid_of(number)) for number in (1, 2))
NAMES = ["", ".", "..", "a%2Fb", "a/b", "%00", "a" * 300, "%ff%fe", "\u00e9", "%zz"]


@pytest.fixture
def rig(index_place: IndexPlace) -> Iterator[Rig]:
    """A dispatcher with a rule for CSV files."""
    made = csv_rig(index_place)
    yield made
    made.close()


def asked(rig: Rig, extractor: str, *numbers: int) -> list[Job]:
    """Return for each of some new objects a job that holds its row."""
    fids = [fid_of(number) for number in numbers]
    jobs = rig.play(*(b.create(fid=number, name=f"{number}.csv".encode()) for number in numbers))
    if extractor == SCAN:
        rig.pass_seconds(5)  # who is still at work is looked at now and then
        rig.ask("repair", directories=[str(fid) for fid in fids])
        jobs += rig.play()
    if extractor == HEAL:
        rig.answer([job for job in jobs if job.extractor == STAT], elsewhere=True)
        rig.pass_seconds(60)
        jobs += rig.play()
    found = {
        item.fid: msgspec.structs.replace(job, items=(item,))
        for job in jobs
        for item in job.items
        if job.extractor == extractor
    }
    return [found[fid] for fid in fids]


def asked_in_turn(rig: Rig, extractor: str, first: int, count: int) -> Iterator[Job]:
    """Yield jobs of new objects: all are asked at once, but directories, of which few are out at once."""
    at_once = 1 if extractor == SCAN else count
    for number in range(first, first + count, at_once):
        yield from asked(rig, extractor, *range(number, number + at_once))


def put(rig: Rig, job: Job, **fields: Any) -> bool:
    """Write an answer with some fields changed, and let the dispatcher take it; False: nobody could read it."""
    row = json.loads(encode_results(answers(job)))["results"][0] | fields
    data = json.dumps({"v": 2, "results": [row]}).encode()
    try:
        decode_results(data)
    except ConfigError:
        rig.answer([job])
        return False
    rig.store.results["9-9"] = data
    rig.dispatcher.step()
    assert rig.results.read(10) == []
    while jobs := [job for job in rig.play() if job.extractor == SCAN]:
        rig.answer(jobs, document={})  # only a number of them is given out at once
    return True


@pytest.mark.parametrize("extractor", ["tabular", STAT, SCAN, HEAL])
def test_no_value_in_a_result_stops_the_dispatcher(rig: Rig, extractor: str) -> None:
    """Whatever stands in an answer to what was asked is written or refused, and what comes behind it is taken."""
    keys = ("x",) if extractor == "tabular" else ("x", "entries", "names", "mime", "acl", "after", "last", "more")
    variants: list[dict[str, Any]] = []
    for value in VALUES:
        variants += [{"document": {**FACTS, key: value}} for key in keys]
        variants += [{"status": "failed", "error": str(value), "stderr": str(value)}]
        variants += [{"provenance": {"x": value, "host": value, "duration_ms": value, "files": value}}]
    taken = 0
    for variant, job in zip(variants, asked_in_turn(rig, extractor, 1, len(variants)), strict=True):
        provenance = {"job": job.id, **variant.get("provenance", {})}
        taken += put(rig, job, **{**variant, "provenance": provenance})
    assert taken > len(VALUES)
    assert not rig.writer.counters().get("results_dropped"), "an answer to what was asked counts as none"
    rig.answer(asked(rig, "tabular", 5_000))
    assert '{"rows":3}' in rig.select("SELECT body FROM document WHERE failure IS NULL")


@pytest.mark.parametrize("extractor", [SCAN, HEAL])
def test_no_name_in_a_result_stops_the_dispatcher(rig: Rig, extractor: str) -> None:
    """What is not a name of a directory's entry is refused; an object inside of itself has no endless path."""
    cases = [(name, fid) for name in NAMES for fid in (A, B, str(ROOT_FID), "[0:0x0:0x0]", "nonsense")]
    for (name, fid), job in zip(cases, asked_in_turn(rig, extractor, 11, len(cases)), strict=True):
        for target in (fid, str(job.items[0].fid)):
            entries = [[name, target, {**FACTS, "type": "d"}]]
            document = {"entries": entries, "after": "", "names": [[target, name]], "whole": True}
            put(rig, job, document=document)
    rig.settle()
    names = {bytes(name) for name in rig.select("SELECT name FROM link WHERE fid IS NOT NULL")}
    assert [
        name for name in names if name in {b"", b".", b".."} or b"/" in name or b"\0" in name or len(name) > 255
    ] == []
    assert rig.paths(1, 2, 11, 12) is not None


@pytest.mark.parametrize("status", ["ok", "failed", "gone", "released"])
@pytest.mark.parametrize("extractor", ["tabular", STAT])
def test_an_answer_that_nobody_asked_for_changes_nothing(rig: Rig, extractor: str, status: str) -> None:
    """Of another job, of none, or for a file that no job has now: dropped, whatever it says."""
    jobs = rig.play(b.create(fid=1, name=b"1.csv"))
    job = next(each for each in jobs if each.extractor == extractor)
    rig.answer(each for each in jobs if each is not job)
    before = state(rig)
    for provenance in ({}, {"job": "made-up"}, {"job": 5}, {"job": [job.id]}):
        put(rig, job, provenance=provenance, status=status, elsewhere=True)
    assert state(rig) == before
    rig.answer([job])
    after = state(rig)
    put(rig, job, status=status, document={**FACTS, "mode": 0o777, "forged": 1}, elsewhere=True)
    assert state(rig) == after
    counters = rig.writer.counters()
    assert (counters["results_dropped_again"], counters["results_dropped_done"]) == (4, 1)


@pytest.mark.parametrize("serial", [2, 1 << 62, -1])
def test_an_answer_of_a_version_that_never_was_is_dropped(rig: Rig, serial: int) -> None:
    """Else a document of the highest of all serials would stand above all that any later version finds."""
    [job] = asked(rig, "tabular", 1)
    put(rig, job, serial=serial, document={"forged": 1})
    assert rig.select("SELECT count(*) FROM document") == [0]
    rig.answer([job])
    assert rig.select("SELECT count(*) FROM document") == [1]


def test_answers_that_nobody_asked_for_suspend_no_extractor(rig: Rig) -> None:
    """The breaker counts jobs of ours only; nor does it let a made-up success resume what is suspended."""
    [job] = asked(rig, "tabular", 1)
    for number in range(10):
        put(rig, job, provenance={"job": f"made-up {number}"}, status="failed", blame="extractor")
    assert rig.select("SELECT suspended, failing FROM extractor WHERE name = 'tabular'") == [(None, 0)]
    rig.ask("suspend", name="tabular")
    put(rig, job, provenance={"job": "made-up"})
    assert rig.select("SELECT suspended IS NULL FROM extractor WHERE name = 'tabular'") in ([False], [0])


def state(rig: Rig) -> list[object]:
    """Return what results could change."""
    return [
        rig.select("SELECT fid, mode, facts_generation FROM object ORDER BY fid"),
        rig.select("SELECT extractor, body, failure FROM document ORDER BY extractor"),
        rig.select("SELECT extractor, attempts, job FROM pending ORDER BY extractor"),
    ]
