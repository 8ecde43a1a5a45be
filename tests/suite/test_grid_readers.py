"""Grids: the golden documents are what independent readers say, or how the samples were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import eccodes
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from pyhdf.SD import SD, SDC

from tests.suite.families import families
from tests.support.profiles import examples
from tests.support.programs import program

GRID = families()["grid"]
SAMPLES = GRID.manifest.folder / "samples"
grid = program("grid")
reader = program("grid", "grid_zarr")


def golden(name: str) -> dict[str, Any]:
    """Return the golden document of a sample."""
    return GRID.expected(SAMPLES / name)


def bytes_of(messages: bytes) -> list[bytes]:
    """Return the messages of a file, by the lengths in their first section (WMO 306, FM 92)."""
    found = []
    while messages:
        wide = messages[7] == 2
        length = int.from_bytes(messages[8:16] if wide else messages[4:7], "big")
        found.append(messages[:length])
        messages = messages[length:]
    return found


def test_messages_are_those_of_the_bytes() -> None:
    """Messages, edition, reference time and points of the grid equal those at their places in the sections."""
    found = golden("forecast.grib2")
    messages = bytes_of((SAMPLES / "forecast.grib2").read_bytes())
    assert found["messages"] == len(messages)
    for one in messages:
        sections, at = {}, 16
        while one[at : at + 4] != b"7777":
            length = int.from_bytes(one[at : at + 4], "big")
            sections[one[at + 4]] = one[at : at + length]
            at += length
        year = int.from_bytes(sections[1][12:14], "big")
        month, day, hour, minute, second = sections[1][14:19]
        when = f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        assert found["reference_first"] == found["reference_last"] == when
        assert found["ni"] == int.from_bytes(sections[3][30:34], "big")
        assert found["nj"] == int.from_bytes(sections[3][34:38], "big")
    assert (found["valid_first"], found["valid_last"]) == ("2026-03-02T06:00:00Z", "2026-03-02T18:00:00Z")
    assert {name: one["messages"] for name, one in found["parameter"].items()} == {"2t": 3, "msl": 3}


def test_boxes_of_grids_are_those_that_were_set() -> None:
    """A grid around the Earth has its whole width though its last column is one step before the first."""
    assert golden("world.grib2")["common"]["bbox"] == [-180, -90, 180, 90]
    assert golden("old.grib1")["common"]["bbox"] == [0, 0, 30, 60]


@pytest.mark.parametrize("name", ["store2.zarr.zip", "store3.zarr.zip"])
def test_a_store_is_as_zarr_reads_it(name: str) -> None:
    """Arrays with shape, type and chunks equal those of the zarr library, in both versions and all forms."""
    with zarr.storage.ZipStore(SAMPLES / name, mode="r") as store:
        root = zarr.open_group(store, mode="r", use_consolidated=False)
        expected = {
            path: (list(one.shape), str(one.dtype), list(one.chunks))
            for path, one in root.members(max_depth=None)
            if isinstance(one, zarr.Array)
        }
    for form in (name, "consolidated.zmetadata" if "2" in name else "group.zarr.json"):
        found = golden(form)
        assert {
            path: (one["shape"], one["dtype"], one["chunks"]) for path, one in found["dataset"].items()
        } == expected


def test_hdf4_is_as_its_library_reads_it() -> None:
    """Datasets equal those of HDF4's library; instrument, times and box are those of the core metadata."""
    found = golden("swath.hdf")
    expected = {name: list(one[1]) for name, one in SD(str(SAMPLES / "swath.hdf"), SDC.READ).datasets().items()}
    assert {name: one["shape"] for name, one in found["dataset"].items()} == expected
    assert found["tables"] == {"calibration": 3}
    assert found["common"] == {
        "title": "Cloud mask of a demonstration", "instrument": ["MODIS"], "start": "2026-03-02T10:05:00Z",
        "end": "2026-03-02T10:10:00Z", "bbox": [-10.5, 30.0, 20.25, 55.0], "units": ["1", "W/m^2/sr"],
        "keywords": ["DEMO06_L2"],
    }  # fmt: skip


@examples(20)
@given(
    shape=st.lists(st.integers(1, 50), min_size=1, max_size=4),
    dtype=st.sampled_from(["float32", "int16", "uint8", "float64", "bool"]),
    version=st.sampled_from([2, 3]),
)
def test_any_array_is_described_as_it_was_made(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], dtype: str, version: Any
) -> None:
    """The metadata of a random array give the shape, type and chunks that it was made with."""
    path: Path = tmp_path_factory.mktemp("any") / "a.zarr"
    made = zarr.create_array(path, shape=shape, dtype=dtype, chunks=tuple(max(1, side // 2) for side in shape),
                             zarr_format=version)  # fmt: skip
    content = (path / ("zarr.json" if version == 3 else ".zarray")).read_bytes()
    document, _, _ = reader.one_file(content, []).document()
    (about,) = document["dataset"].values()
    assert (about["shape"], about["dtype"], about["chunks"]) == (shape, dtype, list(made.chunks))


def test_lists_of_zarr_are_told_and_what_is_nested_is_named(tmp_path: Path) -> None:
    """Lists among attributes have their values; what is nested, or too long, is named as left out."""
    attributes = {"scale": [1, 2.5], "words": ["a", "b"], "model": {"name": "x"}, "long": list(range(200))}
    zarr.create_group(tmp_path / "a.zarr", zarr_format=2, attributes=attributes)
    reasons: list[str] = []
    store = reader.Store(reasons)
    store.old("/.zgroup", {"zarr_format": 2})
    store.old("/.zattrs", json.loads((tmp_path / "a.zarr/.zattrs").read_text()))
    document, _, _ = store.document()
    assert document["attributes"] == {"scale": [1, 2.5], "words": ["a", "b"], "long": list(range(100))}
    assert reasons == ["model of / is nested, and left out", "of long of / 100 values are listed"]


def test_chunks_of_shards_are_those_that_zarr_tells(tmp_path: Path) -> None:
    """An array in shards has the chunks within them as its chunks, and the shards beside them."""
    made = zarr.create_array(tmp_path / "a.zarr", shape=(100, 80), dtype="f4", chunks=(5, 10), shards=(50, 40))
    document, _, _ = reader.one_file((tmp_path / "a.zarr/zarr.json").read_bytes(), []).document()
    (about,) = document["dataset"].values()
    assert (about["chunks"], about["shards"]) == (list(made.chunks), list(made.shards or ()))
    assert about["codecs"][:2] == ["sharding_indexed", "bytes"]


def fields_of(*texts: tuple[str, dict[str, Any]]) -> bytes:
    """Return messages that ecCodes makes of its samples, with these keys set."""
    parts = []
    for sample, keys in texts:
        handle = eccodes.codes_grib_new_from_samples(sample)
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        parts.append(eccodes.codes_get_message(handle))
        eccodes.codes_release(handle)
    return b"".join(parts)


def joined(first: bytes, second: bytes) -> bytes:
    """Return one message with the fields of two: the second's from its section 4 on (WMO 306, FM 92, 92.3)."""
    at = 16
    while second[at + 4] != 4:
        at += int.from_bytes(second[at : at + 4], "big")
    body = first[16:-4] + second[at:]
    return first[:8] + (16 + len(body)).to_bytes(8, "big") + body


def test_all_fields_of_a_message_are_told(tmp_path: Path) -> None:
    """A message of several fields, as weather services put winds into one, gives each, beside messages of one."""
    one = fields_of(("regular_ll_sfc_grib2", {"shortName": "10u"}))
    other = fields_of(("regular_ll_sfc_grib2", {"shortName": "10v"}))
    last = fields_of(("regular_ll_sfc_grib2", {"shortName": "2t"}))
    (tmp_path / "a.grib2").write_bytes(last + joined(one, other) + last)
    (tmp_path / "b.grib2").write_bytes(one + other)
    found, simple = (grid.extract(str(tmp_path / name)) for name in ("a.grib2", "b.grib2"))
    assert {name: about["messages"] for name, about in found["parameter"].items()} == {"2t": 2, "10u": 1, "10v": 1}
    assert (found["messages"], found["fields"]) == (3, 4)
    assert (simple["messages"], simple["fields"]) == (2, 2)
    assert "partial" not in found


@pytest.mark.parametrize("edition", [1, 2])
def test_a_reduced_grid_has_no_number_along_a_parallel(tmp_path: Path, edition: int) -> None:
    """A reduced Gaussian grid around the Earth has the Earth's box, and no number of points along a parallel."""
    (tmp_path / "a.grib").write_bytes(fields_of((f"reduced_gg_pl_32_grib{edition}", {})))
    found = grid.extract(str(tmp_path / "a.grib"))
    assert "ni" not in found
    west, south, east, north = found["common"]["bbox"]
    assert (west, east) == (-180, 180)
    assert 85 < north == -south < 90


@pytest.mark.parametrize("edition", [1, 2])
def test_names_are_those_of_each_message(tmp_path: Path, edition: int) -> None:
    """Parameters, levels, members and times are those that ecCodes tells of each message, alike ones too."""
    counted: dict[str, int] = {}
    members, levels = set(), set()
    with (tmp_path / "a.grib").open("wb") as file:
        for day in (20240301, 20240302):
            for kind, param in (("sfc", 167), ("sfc", 165), ("pl", 130), ("pl", 129), ("pl", 133)):
                for number, level, step in ((0, 500, 0), (1, 850, 6), (1, 850, 0)):
                    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_{kind}_grib{edition}")
                    if edition == 2:
                        eccodes.codes_set(handle, "productDefinitionTemplateNumber", 1)
                        eccodes.codes_set(handle, "number", number)
                        members.add(number)
                    eccodes.codes_set(handle, "paramId", param)
                    if kind == "pl":
                        eccodes.codes_set(handle, "level", level)
                    eccodes.codes_set(handle, "dataDate", day)
                    eccodes.codes_set(handle, "step", step)
                    name = eccodes.codes_get(handle, "shortName")
                    counted[name] = counted.get(name, 0) + 1
                    levels.add(eccodes.codes_get(handle, "typeOfLevel"))
                    eccodes.codes_write(handle, file)
                    eccodes.codes_release(handle)
    found = grid.extract(str(tmp_path / "a.grib"))
    assert {name: one["messages"] for name, one in found["parameter"].items()} == counted
    assert len(counted) == 5
    assert set(found["levels"]) == levels
    assert found.get("members", 0) == len(members)
    assert (found["reference_first"][:10], found["reference_last"][:10]) == ("2024-03-01", "2024-03-02")
