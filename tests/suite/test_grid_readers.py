"""Grids: the golden documents are what independent readers say, or how the samples were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
