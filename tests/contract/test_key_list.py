"""Fields and keys that one can ask for, on both databases: with what they are, and nothing that is hidden."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace

STRANGER = Viewer(7)


@pytest.fixture(params=BACKENDS)
def search(request: pytest.FixtureRequest, empty_place: EmptyPlace) -> Iterator[Search]:
    """Two tables that all can read, and a document that one user can."""
    with Contents(empty_place(request.param)) as index:
        index.object(0, type="d", uid=0, gid=0, mode=0o755)
        for number in (1, 2):
            column = {"pressure_zz": {"min": 3 * number, "unit": "mbar"}}
            table = {"tabular": {"column": column, "taken_zz": f"2026-03-0{number}", "zz%": "red"}}
            index.file(number, b"%d.csv" % number, table, type="f", uid=1, gid=1, mode=0o644, size=9)
        secret = {"zz_secret": "XPS", "zz%": "blue"}
        index.file(3, b"c.txt", {"secretive": secret}, type="f", uid=1, gid=1, mode=0o600, size=5)
        yield index.search()


def test_keys_have_types_units_and_examples(search: Search) -> None:
    """A key of documents is told with type, unit beside it, extractors, values and how many files have it."""
    (key,) = [each for each in search.fields("pressure_zz") if each.name.endswith(".min")]
    assert (key.name, key.type, key.unit) == ("column.pressure_zz.min", "number", "mbar")
    assert (key.extractors, key.examples, key.files) == (("tabular",), ("3", "6"), 2)
    (time,) = search.fields("TAKEN_zz")
    assert (time.type, time.files) == ("time", 2)


def test_keys_of_schemas_and_fields_need_no_file(search: Search) -> None:
    """What names and facts have, and what shipped extractors can give, is listed for anybody, with its help."""
    found = {each.name: each for each in search.fields("", limit=1000, visible_to=STRANGER)}
    assert found["size"].help == "bytes"
    assert found["common.instrument"].extractors
    assert found["column.*.min"].files == 0
    assert [each.name for each in search.fields("mtim")] == ["mtime"]


def test_keys_of_one_extractor_stand_behind_its_name(search: Search) -> None:
    """Behind an extractor's name its keys are listed and completed as a query takes them, with what they are."""
    found = {each.name: each for each in search.fields("tabular.", limit=1000)}
    assert set(found) >= {"tabular.column.pressure_zz.min", "tabular.taken_zz", "tabular.zz%", "tabular.format"}
    assert all(each.extractors == ("tabular",) for name, each in found.items() if name.startswith("tabular."))
    (key,) = search.fields("Tabular.column.pressure_zz.m")
    assert (key.name, key.type, key.unit) == ("tabular.column.pressure_zz.min", "number", "mbar")
    assert (key.examples, key.files) == (("3", "6"), 2)
    assert search.fields("tabular.zz%")[0].examples == ("red",)
    assert search.complete("tabular.take") == ("tabular.taken_zz:",)
    assert search.complete("tabular.taken_zz:") == ("tabular.taken_zz:2026-03-01", "tabular.taken_zz:2026-03-02")
    assert search.count("tabular.taken_zz:*") == 2
    assert search.fields("secretive.", visible_to=STRANGER) == ()
    assert {each.name for each in search.fields("secretive.", visible_to=Viewer(1))} == {
        "secretive.zz_secret",
        "secretive.zz%",
    }


def test_hidden_keys_are_not_listed(search: Search) -> None:
    """A key, an extractor or a value that only a hidden file has is told to nobody else; its owner sees it."""
    for viewer, names, extractors in (
        (STRANGER, {"zz%"}, ("tabular",)), (Viewer(1), {"zz%", "zz_secret"}, ("secretive", "tabular")),
    ):  # fmt: skip
        found = {each.name: each for each in search.fields("zz", visible_to=viewer)}
        assert set(found) == names
        assert found["zz%"].extractors == extractors
        assert ("blue" in found["zz%"].examples) == (viewer != STRANGER)
    assert search.complete("zz_s", visible_to=STRANGER) == ()
    assert search.complete("zz_secret:", visible_to=STRANGER) == ()


def test_a_query_is_completed_while_it_is_typed(search: Search) -> None:
    """First the field with its colon, then a value of it; what stands before stays as it is."""
    assert search.complete("type:f AND (takenz") == ()
    assert search.complete("type:f AND (taken") == ("type:f AND (taken_zz:",)
    assert search.complete('size:>1 "zz%":r') == ()
    assert "ext:csv" in search.complete("ext:")
    assert search.complete("extractor:ta") == ("extractor:tabular",)
    assert search.complete("column.pressure_zz.min:3") == ("column.pressure_zz.min:3",)
    for typed in ("", ":", "\0", "\udcff", "a:\0", '"', "%"):
        assert isinstance(search.complete(typed, visible_to=STRANGER), tuple)
