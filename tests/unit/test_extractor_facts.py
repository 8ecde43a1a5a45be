"""The keys `common` and `preview`: their helper keeps to their schemas, and every family has the same helper."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import fastjsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.suite.families import SHARED, Family, families, shared_schema
from tests.support.profiles import examples
from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS

HELPER = EXTRACTORS / "base" / "extractor_facts.py"
CHECKS: dict[str, Callable[[Any], Any]] = {key: fastjsonschema.compile(shared_schema(key)) for key in SHARED}
GOLDENS = [path for path in sorted(EXTRACTORS.glob("*/golden/*.json")) if not path.name.startswith("bad-")]
ANYTHING = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=20),
    st.lists(st.text(max_size=9), max_size=9),
    st.just("x" * 3000),
    st.just([f"see https://doi.org/10.1000/A{n}." for n in range(120)]),
)
NUMBERS = st.lists(st.floats(width=32), max_size=500)


@pytest.fixture(scope="module")
def facts() -> ModuleType:
    """The helper, as a program imports it."""
    sys.path.insert(0, str(HELPER.parent))
    import extractor_facts

    sys.path.remove(str(HELPER.parent))
    return extractor_facts


@each_row("family", families().values())
def test_every_family_has_the_same_helper(family: Family) -> None:
    """A copy that differs is an error: change the one in base, and copy it."""
    folder = family.manifest.folder
    recipe = (folder / f"{folder.name}.def").read_text(encoding="utf-8")
    assert (folder / HELPER.name).exists()
    for helper in folder.glob("extractor_*.py"):
        assert helper.read_bytes() == (HELPER.parent / helper.name).read_bytes()
    for module in folder.glob("*.py"):
        assert f"{module.name} /extractor/" in recipe or module.name in {"hostile.py", "make_samples.py"}


def test_goldens_keep_to_the_shared_schemas() -> None:
    """What a golden document says under the shared keys fits their schemas and 64 KiB."""
    assert len(GOLDENS) > 200
    assert {f"{path.parents[1].name}/{path.name}": why for path in GOLDENS if (why := mistake(path))} == {}


def mistake(golden: Path) -> str:
    """Return what is wrong with the shared keys of a golden document; empty: nothing."""
    document = json.loads(golden.read_text(encoding="utf-8"))
    try:
        for key in SHARED:
            if key in document:
                CHECKS[key](document[key])
    except fastjsonschema.JsonSchemaValueException as exc:
        return str(exc)
    size = len(json.dumps(document.get("preview", {})))
    return "" if size <= 65_536 else f"its preview takes {size} bytes"


@pytest.mark.parametrize("key", SHARED)
def test_the_pages_name_every_key(key: str) -> None:
    """COMMON.md and PREVIEW.md have each key of their schema, and the README leads to them."""
    page = (EXTRACTORS / f"{key.upper()}.md").read_text(encoding="utf-8")
    assert {name for name in shared_schema(key)["properties"] if f"`{name}`" not in page} == set()
    assert f"({key.upper()}.md)" in (EXTRACTORS / "README.md").read_text(encoding="utf-8")


@given(values=st.dictionaries(st.sampled_from(sorted(shared_schema("common")["properties"])), ANYTHING))
def test_common_is_valid_whatever_is_given(facts: ModuleType, values: dict[str, Any]) -> None:
    """Of any texts and numbers only what the schema allows is kept."""
    values.pop("bbox", None)
    found = facts.common(**values)
    assert found == {} or CHECKS["common"](found["common"])


@given(sides=st.tuples(*[st.floats(-400, 400)] * 4))
def test_a_box_is_valid_or_absent(facts: ModuleType, sides: tuple[float, ...]) -> None:
    """A box out of the world is no box; longitudes of 0 to 360 become those of -180 to 180."""
    found = facts.box(*sides)
    assert found is None or CHECKS["common"]({"bbox": found})
    assert facts.box(350, -10, 370, 10) == [-10, -10, 10, 10]
    assert facts.box(0, -90, 360, 90) == [-180, -90, 180, 90]
    assert facts.box(170, 0, 190, 1) == [170, 0, -170, 1]


@given(when=st.datetimes(), minutes=st.one_of(st.none(), st.integers(-840, 840)))
def test_a_time_is_the_same_in_utc(facts: ModuleType, when: datetime, minutes: int | None) -> None:
    """A time with a zone is told in UTC, one without stays without."""
    zone = None if minutes is None else timezone(timedelta(minutes=minutes))
    found = facts.moment(when.replace(tzinfo=zone).isoformat())
    if zone is None:
        assert datetime.fromisoformat(found) == when
    elif found is not None:  # beyond the years 1 to 9999 there is none
        assert datetime.fromisoformat(found) == when.replace(tzinfo=zone)
        assert found.endswith("Z")
        assert datetime.fromisoformat(found).tzinfo == UTC


@each_row(
    ("given", "found"),
    [
        ("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00Z"), ("2026:03:01 12:00:00", "2026-03-01T12:00:00"),
        ("20260301T120000Z", "2026-03-01T12:00:00Z"), ("2026-03-01 12:00:00.500 UTC", "2026-03-01T12:00:00.5Z"),
        ("2026-03", "2026-03"), ("2026", "2026"), ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("0000-01-01", None), ("2026-02-30", None), ("202603", None), ("yesterday", None), ("", None),
        (20260301, None),
    ],
)  # fmt: skip
def test_times_are_taken_as_they_are_written(facts: ModuleType, given: Any, found: str | None) -> None:
    """The forms of ISO 8601, EXIF and logs are read; what is no date of a calendar is none."""
    assert facts.moment(given) == found


@given(values=NUMBERS, step=st.integers(1, 50))
def test_a_line_holds_its_numbers_between_low_and_high(facts: ModuleType, values: list[float], step: int) -> None:
    """A line has at most 64 points, the extremes of all finite numbers, and their count."""
    line = facts.Line("x", "K")
    for place in range(0, len(values), step):
        line.add(values[place : place + step])
    found = line.shown()
    finite = [value for value in values if abs(value) < float("inf")]
    if found is None:
        assert not finite
        return
    CHECKS["preview"]({"lines": [found]})
    assert found["count"] == len(finite)
    assert min(found["low"]) == pytest.approx(min(finite), rel=1e-5)
    assert max(found.get("high", found["low"])) == pytest.approx(max(finite), rel=1e-5)


@examples(20)
@given(
    row=st.lists(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=300)), min_size=1, max_size=30),
    picture=st.integers(0, 60_000),
)
def test_a_preview_is_valid_and_small_whatever_is_given(facts: ModuleType, row: list[Any], picture: int) -> None:
    """However much there is to show, it fits the schema and 64 KiB, and a thumbnail that fits is kept."""
    found = facts.preview(
        thumbnail=facts.thumbnail("image/png", bytes(picture)),
        table=facts.table([f"column {n}" for n in range(len(row))], [row] * 20),
        lines=[facts.Line(f"{n}").shown() for n in range(3)] + [{"name": "x", "count": 1, "low": [1.0]}] * 30,
        tree=[{"path": f"{n}/" + "é" * 900, "about": "group"} for n in range(500)],
        excerpt="ü\0\n" * 5000,
    )["preview"]
    CHECKS["preview"](found)
    assert len(json.dumps(found)) <= 65_536
    assert ("thumbnail" in found) == (0 < picture < 49_000)


def test_a_list_that_is_cut_is_told(facts: ModuleType) -> None:
    """Where `common` keeps 100 of more texts, or a family the first of a list, `partial` says so."""
    several = [f"name {n}" for n in range(120)]

    def extract(path: str) -> dict[str, Any]:
        if path == "short":
            return facts.common(creator=several[:100])
        return facts.common(creator=several) | {"keys": facts.first(several, 7, "keys"), "partial": "it is torn"}

    told = facts.told(extract)
    document = told("long")
    assert (len(document["common"]["creator"]), len(document["keys"])) == (100, 7)
    assert document["partial"] == (
        "it is torn; of 120 texts of common.creator 100 are listed; of 120 keys 7 are listed"
    )
    assert "partial" not in told("short")


@each_row("family", families().values())
def test_every_family_tells_what_it_cuts(family: Family) -> None:
    """The program of each family that fills `common` runs its `extract` with what tells of cut lists."""
    folder, name = family.manifest.folder, family.manifest.name
    program = folder / family.manifest.command[-1].rpartition("/")[2]
    if any("facts.common(" in path.read_text() for path in folder.glob(f"{name}*.py")):
        assert "extractor_batch.run(facts.told(extract)" in program.read_text()


class OutOfTime(Exception):
    """As extractor_batch has it."""


@each_row(
    ("raised", "told"),
    [
        (ValueError("no table"), ("ValueError", "no table")),
        (UnicodeDecodeError("utf-8", b"a", 0, 1, "odd"), ("ValueError", "'utf-8' codec can't decode byte 0x61")),
        (OSError("truncated file"), ("ValueError", "truncated file")),
        (KeyError("rows"), ("ValueError", "KeyError: 'rows'")),
        (RecursionError(), ("ValueError", "RecursionError: ")),
        (OSError(errno.EIO, "Input/output error"), ("OSError", "[Errno 5] Input/output error")),
        (MemoryError(), ("MemoryError", "")),
        (ImportError("no module"), ("ImportError", "no module")),
        (OutOfTime(), ("OutOfTime", "")),
    ],
)
def test_what_the_content_is_to_blame_for_is_a_value_error(
    facts: ModuleType, raised: Exception, told: tuple[str, str]
) -> None:
    """Errors that the same content would have again are final; those that may pass stay what they are."""

    def extract(_: str) -> dict[str, Any]:
        raise raised

    with pytest.raises(type(raised) if told[0] == type(raised).__name__ else ValueError) as caught:
        facts.told(extract)("x")
    assert type(caught.value).__name__ == told[0]
    assert f"{caught.value}".startswith(told[1])
