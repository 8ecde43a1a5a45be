"""Facts beyond what the index can hold, on both databases: kept as the end of the range, found, sorted, counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.records.builders as b
from lustre_events.domain.bounds import LEAST, MOST, within
from lustre_events.index.search.hits import hit_json
from lustre_events.jobs.messages import STAT, decode_results, encode_results
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.model.dispatcher import FACTS, Rig, answers
from tests.support.profiles import examples
from tests.support.records.numbers import NUMBERS, any_number

both = pytest.mark.parametrize("backend", BACKENDS)


@both
@examples(25)
@given(odd=st.dictionaries(st.sampled_from(NUMBERS), any_number, min_size=1), position=st.integers(0, 2))
def test_any_number_costs_itself_only(
    empty_place: EmptyPlace, backend: str, odd: dict[str, int], position: int
) -> None:
    """One file with any 128-bit integers as its facts is kept within the range; its neighbours as told."""
    rig = Rig(empty_place(backend))
    try:
        [job] = rig.play(*(b.create(fid=number, name=b"%d" % number) for number in (1, 2, 3)))
        assert job.extractor == STAT
        results = answers(job)
        results[position].document.update(odd)
        rig.results.put(decode_results(encode_results(results)))
        rig.settle()

        facts: dict[str, Any] = {**FACTS, **odd}
        rows = rig.select(f"SELECT {', '.join(NUMBERS)} FROM object WHERE fid = ?", results[position].fid.pack())  # noqa: S608
        others = rig.select("SELECT mtime_ns FROM object WHERE fid <> ?", results[position].fid.pack())
        assert rows == [tuple(within(facts[name]) for name in NUMBERS)]
        assert others == [FACTS["mtime_ns"]] * 2
        assert rig.pending() == set()
    finally:
        rig.close()


@both
def test_a_record_of_any_time_is_taken(empty_place: EmptyPlace, backend: str) -> None:
    """A record of the last time that the wire can carry, in the year 2514, is taken, and so is the next one."""
    rig = Rig(empty_place(backend))
    try:
        last = (1 << 34) * 10**9 - 1
        jobs = rig.play(b.create(fid=1, name=b"far", time_ns=last), b.create(fid=2, name=b"near"))
        rig.answer(jobs)
        rig.pass_seconds(60)
        rig.answer(rig.play())
        assert rig.paths(1, 2) == [[b"far"], [b"near"]]
        assert rig.pending() == set()
    finally:
        rig.close()


@both
def test_ends_of_the_range_are_found_sorted_and_summed(empty_place: EmptyPlace, backend: str) -> None:
    """Files at the ends are found by dates beyond them, come first and last in order, and their sizes add up."""
    with Contents(empty_place(backend)) as index:
        for number, end in enumerate((LEAST, 0, MOST), start=1):
            index.file(number, b"%d" % number, mtime_ns=end, ctime_ns=end, atime_ns=end, size=MOST, uid=1, gid=1)
        search = index.search()
        for query, found in {
            "mtime:>2262": [3], "mtime:2300": [3], "ctime:>=9999": [3], "atime:<1600": [1], "mtime:1600": [1],
            "mtime:<=2300": [1, 2, 3], "mtime:<2262": [1, 2], "size:>99999999E": [1, 2, 3],
            "uid:>9999999999999999999": [],
        }.items():  # fmt: skip
            assert index.found(query) == found, query
            assert index.found(f"type:f AND NOT {query}") == sorted({1, 2, 3} - set(found)), query
        pages, cursor = [], None
        for _ in range(3):
            page = search.page("type:f", limit=1, sort="-mtime", cursor=cursor)
            pages += [hit.mtime_ns for hit in page.hits]
            cursor = page.cursor
        assert pages == [MOST, 0, LEAST]
        assert json.loads(json.dumps(hit_json(search.search("mtime:2300")[0])))["mtime_ns"] == MOST
        assert [each.bytes for each in search.facets("type:f", ["mime"])["mime"]] == [3 * MOST]
