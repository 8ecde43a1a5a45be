"""Lustre's own facts in the index, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.index.opening import open_search
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace, IndexPlace, open_writer
from tests.support.records.builders import fid_of
from tests.support.rows import each_row


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, empty_place: EmptyPlace) -> IndexPlace:
    return empty_place(request.param)


@pytest.fixture
def contents(place: IndexPlace) -> Iterator[Contents]:
    with Contents(place) as index:
        index.object(0, type="d")
        yield index


LAYOUTS: tuple[dict[str, Any], ...] = (
    {"mdt": 0, "stripe_count": 1, "stripe_size": 1 << 20, "layout": "raid0", "mirror_count": 1, "projid": 0},
    {"mdt": 1, "stripe_count": 8, "stripe_size": 4 << 20, "layout": "raid0 dom pfl", "mirror_count": 1,
     "projid": 7, "pool": "flash_2", "hsm": "exists archived"},
    {"mdt": 1, "stripe_count": -1, "layout": "raid0 flr", "mirror_count": 2, "pool": "disk"},
    {},
)  # fmt: skip


@pytest.fixture
def laid_out(contents: Contents) -> Contents:
    """A file with each of LAYOUTS."""
    for number, facts in enumerate(LAYOUTS, start=1):
        contents.file(number, b"f%d" % number, **facts)
    return contents


@each_row(
    ("query", "expected"),
    [
        ("mdt:1", {2, 3}),
        ("stripe_count:>1", {2}),
        ("stripe_size:4M", {2}),
        ("layout:dom", {2}),
        ("layout:raid0", {1, 2, 3}),
        ("layout:d*", {2}),
        ("layout:om", set()),
        ("layout:*", {1, 2, 3}),
        ("mirror_count:>=2", {3}),
        ("projid:7", {2}),
        ("pool:flash*", {2}),
        ("hsm:archived NOT hsm:released", {2}),
        ("NOT mdt:* AND type:f", {4}),
        ("NOT pool:disk AND type:f", {1, 2, 4}),
    ],
)
def test_files_are_found_by_what_lustre_tells(laid_out: Contents, query: str, expected: set[int]) -> None:
    """MDT, stripes, pool, layout, mirrors, project and HSM state are fields; what is not known matches none."""
    assert set(laid_out.found(query)) == expected


def test_lustre_facts_are_written_told_and_counted(place: IndexPlace) -> None:
    """What stat found is kept, shown, and counted by value."""
    writer = open_writer(place)
    writer.take_over()
    plain: dict[str, Any] = {
        "size": 1,
        "mtime_ns": 2,
        "ctime_ns": 3,
        "atime_ns": 4,
        "uid": 5,
        "gid": 6,
        "mode": 7,
        "nlink": 1,
    }
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=fid_of(1), generation=1)])
        row = transaction.objects([fid_of(1)])[fid_of(1)]
        transaction.put_facts([(row, 1, Facts(type="f", **plain, **LAYOUTS[1]))])
    with writer.transaction() as transaction:
        ((_, known),) = transaction.facts([fid_of(1)]).values()
    writer.close()

    with open_search(place if isinstance(place, str) else f"sqlite:///{place}") as search:
        facts = search.show(fid_of(1)).facts

    assert (known.pool, known.hsm, known.stripe_size) == ("flash_2", "exists archived", 4 << 20)
    assert facts is not None
    assert (facts.mdt, facts.layout, facts.projid, facts.mirror_count) == (1, "raid0 dom pfl", 7, 1)


def test_pools_and_projects_are_counted(contents: Contents) -> None:
    """Facets count files by pool, project, MDT and layout."""
    for number, facts in enumerate(LAYOUTS, start=1):
        contents.file(number, b"f%d" % number, size=10, **facts)

    found = contents.search().facets("type:f", ("pool", "projid", "mdt", "layout"))

    counted = {name: {each.value: each.files for each in values} for name, values in found.items()}
    assert counted == {
        "pool": {"flash_2": 1, "disk": 1, None: 2}, "projid": {0: 1, 7: 1, None: 2}, "mdt": {0: 1, 1: 2, None: 1},
        "layout": {"raid0": 1, "raid0 dom pfl": 1, "raid0 flr": 1, None: 1},
    }  # fmt: skip
