#!/usr/bin/env python3
"""Write the samples of the extractors anew: small files of every kind, the same bytes each time. Needs h5py."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
STATIONS = ("north", "south", "east")


def tables(folder: Path) -> None:
    """Write one table in each format."""
    folder.mkdir(exist_ok=True)
    rows = [(place, 10.5 + place / 4, STATIONS[place % 3], place % 5 != 0) for place in range(20)]
    names = ("id", "temperature", "station", "valid")
    lines = [",".join(map(str, row)) for row in (names, *rows)]
    (folder / "weather.csv").write_text("\n".join(lines) + "\n")
    (folder / "weather.tsv").write_text("\n".join(lines).replace(",", "\t") + "\n")
    (folder / "semicolon-latin1.csv").write_bytes("Höhe;Ort\n1,5;Köln\n2,5;Jülich\n".encode("latin-1"))
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    (folder / "weather.json").write_text(json.dumps(objects))
    (folder / "weather.jsonl").write_text("".join(json.dumps(one) + "\n" for one in objects) + "{torn\n")
    (folder / "settings.json").write_text(
        json.dumps({"instrument": "ARPES", "beam": {"energy_eV": 21.2, "on": True}})
    )
    (folder / "bad-binary.csv").write_bytes(bytes(range(64)))


def scans(folder: Path) -> None:
    """Write an HDF5 file, and one as the NetCDF-4 library lays it out."""
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "scan.h5", "w") as file:
        file.attrs["instrument"] = "ARPES"
        entry = file.create_group("entry")
        entry.attrs["title"] = "a scan"
        data = entry.create_dataset("data", data=np.zeros((4, 8)), chunks=(2, 8), compression="gzip")
        data.attrs["units"] = "counts"
        data.attrs["scale"] = np.array([1.0, 2.0])
        entry.create_dataset("label", data="first")
    with h5py.File(folder / "ocean.nc", "w") as file:
        file.attrs["_NCProperties"] = np.bytes_("version=2,netcdf=4.9.0,hdf5=1.10.8")
        file.attrs["title"] = np.bytes_("sea surface")
        time = file.create_dataset("time", data=np.arange(3.0))
        time.make_scale("time")
        point = file.create_dataset("point", shape=(5,), dtype=">f4")
        point.make_scale("This is a netCDF dimension but not a netCDF variable.         5")
        surface = file.create_dataset("sst", data=np.zeros((3, 5), dtype="f4"))
        surface.attrs["long_name"] = "temperature"
        surface.dims[0].attach_scale(time)
        surface.dims[1].attach_scale(point)
    (folder / "bad-torn.h5").write_bytes((folder / "scan.h5").read_bytes()[:600])


if __name__ == "__main__":
    tables(HERE / "tabular" / "samples")
    scans(HERE / "hdf5" / "samples")
