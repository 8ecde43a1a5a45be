"""Jobs and results as JSON: exact for every path, versioned, and garbage is refused in one way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import (
    VERSION,
    Cause,
    Job,
    JobItem,
    Result,
    decode_job,
    decode_results,
    encode_job,
    encode_results,
)
from tests.support.records.strategies import fids
from tests.support.rows import each_row

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
i64 = st.integers(-(1 << 63), (1 << 63) - 1)
json_values = st.recursive(
    st.none() | st.booleans() | i64 | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(texts, json_values, max_size=3)
jobs = st.builds(
    Job,
    id=words,
    extractor=words,
    serial=st.integers(0, 1 << 31),
    owner=st.integers(-1, (1 << 32) - 1),
    items=st.lists(
        st.builds(
            JobItem,
            fids,
            st.integers(0, 1 << 62),
            st.binary(max_size=40),
            recall=st.booleans(),
            cause=st.none()
            | st.builds(Cause, st.integers(0, 0xFFFF), st.integers(0, 1 << 62), st.integers(0, 1 << 62)),
        ),
        max_size=4,
    ).map(tuple),
)
results = st.builds(
    Result,
    fid=fids,
    extractor=words,
    serial=st.integers(0, 1 << 31),
    generation=st.integers(0, 1 << 62),
    status=st.sampled_from(["ok", "failed", "gone"]),
    document=documents,
    provenance=documents,
    error=texts,
    stderr=texts,
    blame=st.sampled_from(["file", "extractor"]),
)

JOB = Job(
    "j1", "tabular", 3, 1000, (JobItem(FID(0x200000401, 1, 0), 7, b"proj/run 7/\xff%.csv", True, Cause(1, 5, 9)),)
)
RESULT = Result(fid=FID(0x200000401, 1, 0), extractor="tabular", serial=3, generation=7, status="ok")


@given(jobs)
def test_a_job_comes_back(job: Job) -> None:
    """A job survives JSON exactly, whatever bytes its paths are made of."""
    carried = json.dumps(encode_job(job))

    assert carried.isascii()
    assert decode_job(json.loads(carried)) == job


@given(st.lists(results, max_size=4))
def test_results_come_back(values: list[Result]) -> None:
    """Results survive JSON exactly, documents with any keys and values included."""
    assert decode_results(encode_results(values)) == values


def test_a_job_reads_well() -> None:
    """What stands in Redis can be read by a person: names as names, other bytes percent-encoded."""
    assert encode_job(JOB) == {
        "v": 2,
        "id": "j1",
        "extractor": "tabular",
        "serial": 3,
        "owner": 1000,
        "items": [
            ["[0x200000401:0x1:0x0]", 7, "proj/run%207/%FF%25.csv", True, {"mdt": 1, "epoch": 5, "record": 9}, ""]
        ],
    }


def test_version_1_is_read() -> None:
    """Jobs and results that the first version wrote are understood: this is what stands in a Redis out there."""
    job = '{"v":1,"id":"a","extractor":"hdf5","serial":1,"owner":-1,"items":[["[0x1:0x2:0x0]",4,"a/b%20c"]]}'
    old = (
        b'{"v":1,"results":[{"fid":"[0x1:0x2:0x0]","extractor":"stat","serial":1,"generation":4,"status":"gone",'
        b'"document":{},"provenance":{},"error":"","stderr":""}]}'
    )

    assert decode_job(json.loads(job)) == Job("a", "hdf5", 1, -1, (JobItem(FID(1, 2, 0), 4, b"a/b c"),))
    assert decode_results(old) == [
        Result(fid=FID(1, 2, 0), extractor="stat", serial=1, generation=4, status="gone")
    ]


def test_blame_is_of_the_file_or_of_the_extractor() -> None:
    """Whose fault a failure is decides over its tries, so nothing else is taken."""
    data = json.loads(encode_results([RESULT]))
    data["results"][0]["blame"] = "weather"
    with pytest.raises(ConfigError):
        decode_results(json.dumps(data).encode())


@each_row("version", [0, 3, "1", None, 99])
def test_another_version_is_refused(version: object) -> None:
    """A job or results of another version are refused, and nothing is guessed."""
    with pytest.raises(ConfigError):
        decode_job({**encode_job(JOB), "v": version})
    with pytest.raises(ConfigError):
        decode_results(json.dumps({**json.loads(encode_results([RESULT])), "v": version}).encode())


def test_a_later_version_says_who_must_be_upgraded() -> None:
    """The message for results names both versions and the side that is too old."""
    later = json.dumps({"v": VERSION + 1, "results": {"of another": "form"}}).encode()
    with pytest.raises(ConfigError, match=rf"version {VERSION + 1}.*dispatcher.*version {VERSION}"):
        decode_results(later)
    with pytest.raises(ConfigError, match=rf"version {VERSION + 1}.*worker.*version {VERSION}"):
        decode_job({**encode_job(JOB), "v": VERSION + 1})


@each_row(
    "change",
    [
        {"id": 5},
        {"extractor": None},
        {"extractor": ["tabular"]},
        {"serial": "3"},
        {"serial": 3.5},
        {"serial": True},
        {"owner": None},
        {"owner": 1e400},
        {"items": "abc"},
        {"items": [[]]},
        {"items": [["[0x1:0x2:0x0]", 7]]},
        {"items": [["not a fid", 7, "a"]]},
        {"items": [[5, 7, "a"]]},
        {"items": [["[0x1:0x2:0x0]", "seven", "a"]]},
        {"items": [["[0x1:0x2:0x0]", 7, 5]]},
        {"items": [["[0x1:0x2:0x0]", 7, None]]},
        {"items": {"a": 1}},
        {"items": None},
    ],
)
def test_a_job_with_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    """A field of another type is not bent into shape: a job that was tampered with runs nothing."""
    with pytest.raises(ConfigError):
        decode_job({**encode_job(JOB), **change})


@given(json_values | st.dictionaries(st.sampled_from(["v", "id", "extractor", "items", "x"]), json_values))
def test_garbage_is_no_job(data: object) -> None:
    """Whatever JSON arrives in a job's place, it is a ConfigError, never another exception."""
    with pytest.raises(ConfigError):
        decode_job(data)


@given(st.dictionaries(st.sampled_from(["id", "extractor", "serial", "owner", "items"]), json_values, min_size=1))
def test_a_job_with_anything_in_a_field_is_a_job_or_refused(changes: dict[str, Any]) -> None:
    """Any JSON in any field gives a job of the right types or a ConfigError."""
    try:
        job = decode_job({**encode_job(JOB), **changes})
    except ConfigError:
        return

    assert decode_job(encode_job(job)) == job
    assert all(type(item.path) is bytes and type(item.fid) is FID for item in job.items)


def test_deep_garbage_is_no_results() -> None:
    """Brackets without end are refused like any other garbage."""
    for data in (b"[" * 100_000, b'{"v":1,"results":' + b"[" * 100_000):
        with pytest.raises(ConfigError):
            decode_results(data)


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_no_results(data: bytes) -> None:
    """Whatever bytes arrive in the results' place, they are a ConfigError, never another exception."""
    with pytest.raises(ConfigError):
        decode_results(data)


@given(st.dictionaries(st.sampled_from([*Result.__struct_fields__, "more"]), json_values, min_size=1))
def test_a_result_with_anything_in_a_field_is_a_result_or_refused(changes: dict[str, Any]) -> None:
    """Any JSON in any field of a result gives a result of the right types or a ConfigError."""
    envelope = json.loads(encode_results([RESULT]))
    envelope["results"][0].update(changes)
    try:
        (result,) = decode_results(json.dumps(envelope).encode())
    except ConfigError:
        return

    assert decode_results(encode_results([result])) == [result]


@each_row("fid", ["", "x", None, 5, ["[0x1:0x2:0x0]"], {"seq": 1, "oid": 2, "ver": 3}])
def test_a_result_without_a_fid_is_refused(fid: object) -> None:
    """A result must say which object it is about, as text."""
    envelope = json.loads(encode_results([RESULT]))
    envelope["results"][0]["fid"] = fid
    with pytest.raises(ConfigError):
        decode_results(json.dumps(envelope).encode())


@each_row("status", ["", "OK", "done"])
def test_a_result_of_unknown_status_is_refused(status: str) -> None:
    """Only ok, failed and gone mean something; anything else would be lost in silence."""
    envelope = json.loads(encode_results([RESULT]))
    envelope["results"][0]["status"] = status
    with pytest.raises(ConfigError, match="status"):
        decode_results(json.dumps(envelope).encode())
