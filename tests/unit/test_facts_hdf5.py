"""Facts of HDF5 and NetCDF: what was written is what the document says, however much or oddly placed it is."""

from __future__ import annotations

import gzip
import json
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.support.profiles import examples
from tests.support.programs import Later
from tests.support.rows import each_row

h5py, netcdf, cftime = Later("h5py"), Later("netCDF4"), Later("cftime")
hdf5, calendar = Later("hdf5", "hdf5"), Later("hdf5_calendar", "hdf5")
NAMES = st.text("abcxyz_", min_size=1, max_size=6)
VALUES = st.one_of(
    st.integers(-(1 << 63), (1 << 64) - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50),
)  # fmt: skip
CALENDARS = ["standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day"]
quick = examples(40, HealthCheck.function_scoped_fixture)


@quick
@given(
    attributes=st.dictionaries(NAMES, VALUES, max_size=100),
    shapes=st.dictionaries(NAMES, arrays.array_shapes(), max_size=9),
)
def test_a_random_file_is_told_as_it_was_written(
    tmp_path: Path, attributes: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Every attribute and dataset is there: whole numbers exactly, those beyond 64 bits as texts."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value in attributes.items():
            file.attrs[name] = np.uint64(value) if isinstance(value, int) and value >= 1 << 63 else value
        for name, shape in shapes.items():
            file.create_dataset(f"group/{name}", shape=shape, dtype="i4")

    found = hdf5.extract(str(tmp_path / "a.h5"))

    assert found["attributes"] == {
        name: str(value) if type(value) is int and value >= 1 << 63 else value for name, value in attributes.items()
    }
    assert {name.removeprefix("group/"): tuple(one["shape"]) for name, one in found["dataset"].items()} == shapes
    assert "partial" not in found
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.long
def test_nexus_is_found_behind_many_other_objects_whatever_groups_are_called(tmp_path: Path) -> None:
    """Title, sample, instrument and times of NeXus stand in `common`, in a file of more objects than are listed."""
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        for path, kind in (("scan_7", "NXentry"), ("scan_7/z_what", "NXsample"), ("scan_7/z_with", "NXinstrument"),
                           ("scan_7/z_who", "NXuser"), ("scan_7/a", "NXcollection")):  # fmt: skip
            file.create_group(path).attrs["NX_class"] = np.bytes_(kind)
        for number in range(600):
            file[f"scan_7/a/m{number:03}"] = number
        file["scan_7/title"], file["scan_7/definition"] = "Silicon wafer", "NXarpes"
        file["scan_7/start_time"], file["scan_7/end_time"] = (
            "2024-05-01T10:00:00+02:00",
            "2024-05-01T11:00:00+02:00",
        )
        file["scan_7/z_what/name"], file["scan_7/z_what/chemical_formula"] = "wafer 7", "Si"
        file["scan_7/z_with/name"] = "BL 7"
        file.create_dataset("scan_7/z_who/name", data=["Noether, Emmy"], chunks=(1,), maxshape=(None,))

    found = hdf5.extract(str(tmp_path / "a.nxs"))

    assert found["dataset_count"] == 608
    assert found["nexus"]["classes"]["NXsample"] == ["scan_7/z_what"]
    assert found["common"] == {
        "title": "Silicon wafer", "creator": ["Noether, Emmy"], "instrument": ["BL 7"], "sample": ["wafer 7", "Si"],
        "technique": ["NXarpes"], "start": "2024-05-01T08:00:00Z", "end": "2024-05-01T09:00:00Z",
    }  # fmt: skip
    assert found["partial"] == "of 613 groups and datasets 500 are listed"
    assert found["objects_not_listed"] == 113


Form = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"]


@each_row("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA", "NETCDF4"])
def test_what_is_cut_or_has_no_json_is_named(tmp_path: Path, form: Form) -> None:
    """A list that is too long, and attributes beyond the room, are named in `partial`; large numbers stay."""
    with netcdf.Dataset(tmp_path / "a.nc", "w", format=form) as file:
        file.mass, file.many = 5.97e24, np.arange(101, dtype="i4")
        file.text = "x" * 4001
    found = hdf5.extract(str(tmp_path / "a.nc"))
    assert found["attributes"]["mass"] == 5.97e24
    assert found["attributes"]["many"] == list(range(100))
    assert found["partial"].startswith("2 attributes or values are cut or left out: ")
    assert {"many", "text"} == set(found["partial"].partition(": ")[2].split(", "))


@quick
@given(
    value=st.integers(-1_000_000, 1_000_000), unit=st.sampled_from(["days", "hours", "minutes", "seconds"]),
    since=st.tuples(st.integers(1, 2500), st.integers(1, 12), st.integers(1, 28)), kind=st.sampled_from(CALENDARS),
)  # fmt: skip
def test_times_of_all_calendars_are_those_of_cftime(
    value: int, unit: str, since: tuple[int, int, int], kind: str
) -> None:
    """A time of CF is the one that cftime, the reference, makes of it; absent beyond the years 1 to 9999."""
    units = f"{unit} since {'-'.join(map(str, since))} 06:30:00"
    with warnings.catch_warnings(action="ignore"):  # years before the first
        expected = cftime.num2date(value, units, kind, only_use_cftime_datetimes=True)

    (found,) = calendar.moments((value,), units, kind)

    if not 1 <= expected.year <= 9999:
        assert found is None
    else:
        assert found == f"{expected.isoformat()}Z" or f"{expected.isoformat()}Z".startswith(found + "-")
        assert len(found) > 7 or expected.day > 28  # only a day that no other calendar has is told as its month


@each_row(
    ("value", "units", "found"),
    [
        (1.5, "hours since 2026-01-01 00:00 +02:00", "2025-12-31T23:30:00Z"),
        (0, "days since 1970-1-1T00:00:00Z", "1970-01-01T00:00:00Z"), (1, "months since 2026-01-01", None),
        (0, "days since 2026-02-30", None), (float("inf"), "days since 2026-01-01", None), (0, "days", None),
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_known_is_absent(value: float, units: str, found: str | None) -> None:
    """Zones of the units count; months have no length, and a wrong date is none."""
    assert calendar.moments((value,), units) == [found]


@quick
@given(
    seconds=st.lists(st.integers(0, 2_000_000_000), min_size=1, max_size=9),
    south=st.integers(-90, 80), west=st.integers(-180, 170),
    form=st.sampled_from(["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF4"]),
)  # fmt: skip
def test_coverage_is_that_of_the_coordinates(
    tmp_path: Path, seconds: list[int], south: int, west: int, form: Form
) -> None:
    """Time and box come from the coordinates, packed, missing and in records or not, within gzip or not."""
    with netcdf.Dataset(tmp_path / "a.nc", "w", format=form) as file:
        file.createDimension("time", None)
        file.createDimension("y", 2)
        file.createDimension("x", 3)
        times = file.createVariable("time", "f8", ("time",), fill_value=9.96e36)
        times.units = "seconds since 1970-01-01"
        times[:] = [*seconds, 9.96e36]
        file.createVariable("unwritten", "f4", ("y",)).standard_name = "latitude"
        file.createVariable("odd", "i1", ("time",))[:] = 1  # records have a length that is rounded up
        lat = file.createVariable("lat", "i2", ("y", "x"))
        lat.standard_name, lat.scale_factor, lat.add_offset = "latitude", 0.5, float(south)
        lat.set_auto_scale(False)
        lat[:] = [[0, 1, 2], [3, 4, 20]]
        lon = file.createVariable("lon", "f8", ("x",))
        lon.units = "degrees_east"
        lon[:] = [west, west + 1, west + 10]
    (tmp_path / "a.nc.gz").write_bytes(gzip.compress((tmp_path / "a.nc").read_bytes()))

    for name in ("a.nc", "a.nc.gz"):
        common = hdf5.extract(str(tmp_path / name))["common"]
        assert common["bbox"] == [west, south, west + 10, south + 10]
        assert datetime.fromisoformat(common["start"]) == datetime.fromtimestamp(min(seconds), UTC)
        assert datetime.fromisoformat(common["end"]) == datetime.fromtimestamp(max(seconds), UTC)


@pytest.mark.parametrize("named", ["lat lon", ""])
def test_a_place_that_is_one_number_counts_where_data_have_it(tmp_path: Path, named: str) -> None:
    """A scalar place is that of the data only if their attribute `coordinates` names it."""
    with netcdf.Dataset(tmp_path / "a.nc", "w") as file:
        file.time_coverage_start, file.time_coverage_end = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
        for name, standard, unit, value in (
            ("lat", "latitude", "degrees_north", 5),
            ("lon", "longitude", "degrees_east", 7),
            ("t", "time", "hours since 2026-01-01", 12),
        ):
            made = file.createVariable(name, "f8", ())
            made.standard_name, made.units, made[()] = standard, unit, value
        file.createVariable("data", "f4", ()).coordinates = f"{named} t"
    common = hdf5.extract(str(tmp_path / "a.nc"))["common"]
    assert common.get("bbox") == ([7, 5, 7, 5] if named else None)
    assert (common["start"], common["end"]) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")


@each_row(
    ("longitudes", "box"),
    [(np.arange(0, 360, 2.5), [-180, 180]), ([350, 355, 360, 365], [-10, 5]),
     ([170, 175, 180, -175, -170], [170, -170]), ([-170, 0, 170], [-170, 170])],
)  # fmt: skip
def test_longitudes_go_around_the_world(tmp_path: Path, longitudes: Any, box: list[float]) -> None:
    """A global grid is all of the world; longitudes beyond 180 and axes across the date line are those of a map."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["lon"], file["lat"] = np.asarray(longitudes, "f4"), [-5.0, 5.0]
        file["lon"].attrs["units"], file["lat"].attrs["units"] = "degrees_east", "degrees_north"
    assert hdf5.extract(str(tmp_path / "a.h5"))["common"]["bbox"] == [box[0], -5, box[1], 5]


@each_row("units", ["radian", "radians", "rad"])
@each_row("classic", [True, False])
def test_coordinates_in_radians_are_told_in_degrees(tmp_path: Path, units: str, *, classic: bool) -> None:
    """Latitudes and longitudes in radians, as models of icosahedral grids write them, give a box in degrees."""
    with netcdf.Dataset(tmp_path / "a.nc", "w", format="NETCDF3_CLASSIC" if classic else "NETCDF4") as file:
        file.createDimension("cell", 3)
        for name, standard, values in (("clat", "latitude", [-45, 0, 30]), ("clon", "longitude", [-90, 10, 60])):
            variable = file.createVariable(name, "f8", ("cell",))
            variable.setncatts({"standard_name": standard, "units": units})
            variable[:] = np.radians(values)
    assert hdf5.extract(str(tmp_path / "a.nc"))["common"]["bbox"] == [-90, -45, 60, 30]


def test_coordinates_in_units_that_are_no_angles_make_no_box(tmp_path: Path) -> None:
    """What is called a latitude but counts metres is no place in degrees."""
    with netcdf.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("cell", 2)
        for name in ("latitude", "longitude"):
            variable = file.createVariable(name, "f8", ("cell",))
            variable.setncatts({"standard_name": name, "units": "m"})
            variable[:] = [1, 2]
    assert "bbox" not in hdf5.extract(str(tmp_path / "a.nc")).get("common", {})
