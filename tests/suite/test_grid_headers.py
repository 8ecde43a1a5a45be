"""Of messages that differ by their reference time alone ecCodes reads one: all have the facts that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import eccodes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import program

grib = program("grid", "grid_grib")
SETTINGS = st.fixed_dictionaries(
    {
        "template": st.sampled_from([0, 0, 0, 1, 8, 40]),
        "dataDate": st.sampled_from([20240228, 20240229, 20231231, 19000101, 20240301]),
        "dataTime": st.sampled_from([0, 600, 1845]),
        "second": st.sampled_from([0, 0, 0, 30]),
        "indicatorOfUnitOfTimeRange": st.sampled_from([1, 1, 0, 2, 3, 4, 11, 13]),
        "forecastTime": st.sampled_from([0, 6, 31]),
        "perturbationNumber": st.sampled_from([0, 1]),
        "shortName": st.sampled_from(["2t", "msl"]),
        "Ni": st.sampled_from([16, 4]),
        "iScansNegatively": st.sampled_from([0, 0, 1]),
        "value": st.sampled_from([0.0, 1.5, 273.0]),
    }
)


def message(said: dict[str, Any]) -> bytes:
    """Return a message with these keys, of which some templates have not all."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    eccodes.codes_set(handle, "Ni", said["Ni"])
    eccodes.codes_set_values(handle, [said["value"]] * eccodes.codes_get(handle, "numberOfDataPoints"))
    eccodes.codes_set(handle, "shortName", said["shortName"])
    eccodes.codes_set(handle, "productDefinitionTemplateNumber", said["template"])
    for key, value in said.items():
        if eccodes.codes_is_defined(handle, key) and key not in {"Ni", "shortName"}:
            eccodes.codes_set(handle, key, value)
    content: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


def expected(content: bytes) -> tuple[Any, ...]:
    """Return what ecCodes says of a message."""
    handle = eccodes.codes_new_from_message(content)
    keys = (
        "shortName",
        "gridType",
        "typeOfLevel",
        "dataDate",
        "dataTime",
        "validityDate",
        "validityTime",
        "Ni",
        "Nj",
    )
    found = tuple(eccodes.codes_get(handle, key) for key in keys)
    eccodes.codes_release(handle)
    short, grid, level, day, hour, valid_day, valid_hour, *shape = found
    return short, grid, level, grib.when(day, hour), grib.when(valid_day, valid_hour), tuple(shape)


def told(field: Any) -> tuple[Any, ...]:
    """Return what the extractor says of a field, in the same order."""
    said = field.said
    return said["short"], said["gridType"], said["typeOfLevel"], field.base, field.valid, field.shape


@pytest.mark.parametrize("between", [b"", b"\0\0 padding"])
@examples(60)
@given(several=st.lists(SETTINGS, min_size=1, max_size=8))
def test_each_field_is_as_eccodes_reads_it(
    tmp_path_factory: pytest.TempPathFactory, between: bytes, several: list[dict[str, Any]]
) -> None:
    """Names, grids and times of all messages are those of ecCodes, also where messages are alike."""
    path: Path = tmp_path_factory.mktemp("any") / "a.grib2"
    contents = [message(said) for said in several]
    path.write_bytes(between.join(contents))
    for _ in range(2):
        with path.open("rb") as file:
            fields = list(grib.fields(file, grib.Messages()))
        assert [told(field) for field in fields] == [expected(content) for content in contents]


def test_messages_that_are_alike_are_told_from_their_header(tmp_path: Path) -> None:
    """Of a series in time one message is kept; one that is torn is not told from its header."""
    base = {"template": 0, "dataTime": 0, "forecastTime": 6, "shortName": "2t", "Ni": 16}
    days = [message(base | {"dataDate": 20240201 + day, "value": float(day)}) for day in range(9)]
    (tmp_path / "a.grib2").write_bytes(b"".join(days))
    grib.LIKE.clear()
    with (tmp_path / "a.grib2").open("rb") as file:
        fields = list(grib.fields(file, grib.Messages()))
    assert len(grib.LIKE) == 1
    assert [field.base for field in fields] == [f"2024-02-{day:02}T00:00:00Z" for day in range(1, 10)]
    (tmp_path / "torn.grib2").write_bytes(b"".join(days)[:-1])
    with (tmp_path / "torn.grib2").open("rb") as file:
        assert grib.header_of(file.fileno(), 0) is not None
        assert grib.header_of(file.fileno(), sum(map(len, days[:-1]))) is None
