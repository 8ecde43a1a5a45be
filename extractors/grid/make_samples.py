#!/usr/bin/env python3
"""Write the samples of the extractor anew: the same bytes each time. Needs eccodes, zarr and pyhdf."""

from __future__ import annotations

import bz2
import gzip
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import eccodes
import numpy as np
import pyhdf.VS  # noqa: F401 - pyhdf.HDF needs it
import zarr
from pyhdf.HDF import HDF
from pyhdf.SD import SD, SDC

CORE = """
GROUP = INVENTORYMETADATA
 GROUP = RANGEDATETIME
  OBJECT = RANGEBEGINNINGDATE
   NUM_VAL = 1
   VALUE = "2026-03-02"
  END_OBJECT = RANGEBEGINNINGDATE
  OBJECT = RANGEBEGINNINGTIME
   NUM_VAL = 1
   VALUE = "10:05:00.000000"
  END_OBJECT = RANGEBEGINNINGTIME
  OBJECT = RANGEENDINGDATE
   VALUE = "2026-03-02"
  END_OBJECT = RANGEENDINGDATE
  OBJECT = RANGEENDINGTIME
   VALUE = "10:10:00.000000"
  END_OBJECT = RANGEENDINGTIME
 END_GROUP = RANGEDATETIME
 OBJECT = WESTBOUNDINGCOORDINATE
  VALUE = -10.5
 END_OBJECT = WESTBOUNDINGCOORDINATE
 OBJECT = EASTBOUNDINGCOORDINATE
  VALUE = 20.25
 END_OBJECT = EASTBOUNDINGCOORDINATE
 OBJECT = SOUTHBOUNDINGCOORDINATE
  VALUE = 30
 END_OBJECT = SOUTHBOUNDINGCOORDINATE
 OBJECT = NORTHBOUNDINGCOORDINATE
  VALUE = 55
 END_OBJECT = NORTHBOUNDINGCOORDINATE
 OBJECT = SHORTNAME
  VALUE = "DEMO06_L2"
 END_OBJECT = SHORTNAME
 OBJECT = ASSOCIATEDINSTRUMENTSHORTNAME
  CLASS = "1"
  VALUE = "MODIS"
 END_OBJECT = ASSOCIATEDINSTRUMENTSHORTNAME
END_GROUP = INVENTORYMETADATA
END
"""


def message(edition: int, **said: object) -> bytes:
    """Return one message."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    for key, value in said.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, np.arange(float(eccodes.codes_get(handle, "numberOfDataPoints"))) / 8)
    content: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


def gribs(folder: Path) -> None:
    """Write a forecast of two parameters in edition 2, a field of edition 1, a global one, and a torn one."""
    day = {"dataDate": 20260302, "dataTime": 600}
    forecast = [message(2, **day, shortName=name, stepRange=step) for step in (0, 6, 12) for name in ("2t", "msl")]
    (folder / "forecast.grib2").write_bytes(b"".join(forecast))
    (folder / "torn.grib2").write_bytes(b"".join(forecast)[:-300])
    (folder / "old.grib1").write_bytes(message(1, **day, indicatorOfParameter=11))
    world = {
        "Ni": 36, "Nj": 19, "iDirectionIncrementInDegrees": 10, "jDirectionIncrementInDegrees": 10,
        "latitudeOfFirstGridPointInDegrees": 90, "latitudeOfLastGridPointInDegrees": -90,
        "longitudeOfFirstGridPointInDegrees": 0, "longitudeOfLastGridPointInDegrees": 350,
    }  # fmt: skip
    (folder / "world.grib2").write_bytes(message(2, **day, **world, shortName="tp", stepRange="0-6"))


def stores(folder: Path) -> None:
    """Write Zarr of both versions: the metadata of an array, consolidated ones, and a store in an archive."""
    with tempfile.TemporaryDirectory() as place:
        for version in (2, 3):
            path = Path(place) / f"v{version}.zarr"
            root = zarr.open_group(path, mode="w", zarr_format=version)
            root.attrs.update(
                {"title": "Sea surface", "institution": "Example Institute", "keywords": "ocean, heat"}
            )
            names = {"dimension_names": ["time", "lat", "lon"]} if version == 3 else {}
            sst = root.create_array("sst", shape=(4, 6, 8), chunks=(2, 6, 8), dtype="float32", **names)
            old = {"_ARRAY_DIMENSIONS": ["time", "lat", "lon"]} if version == 2 else {}
            sst.attrs.update({"units": "K"} | old)
            root.create_group("quality").create_array("flag", shape=(4,), chunks=(4,), dtype="uint8")
            zarr.consolidate_metadata(path, zarr_format=version)
        shutil.copyfile(Path(place) / "v2.zarr/.zmetadata", folder / "consolidated.zmetadata")
        shutil.copyfile(Path(place) / "v2.zarr/sst/.zarray", folder / "array.zarray")
        shutil.copyfile(Path(place) / "v3.zarr/zarr.json", folder / "group.zarr.json")
        shutil.copyfile(Path(place) / "v3.zarr/sst/zarr.json", folder / "array.zarr.json")
        for version in (2, 3):
            with zipfile.ZipFile(folder / f"store{version}.zarr.zip", "w") as archive:
                root_path = Path(place) / f"v{version}.zarr"
                for path in sorted(root_path.rglob("*")):
                    if path.is_file():
                        archive.writestr(zipfile.ZipInfo(str(path.relative_to(root_path))), path.read_bytes())


def hdf4(folder: Path) -> None:
    """Write HDF4 as a satellite's product has it."""
    path = folder / "swath.hdf"
    path.unlink(missing_ok=True)
    file = SD(str(path), SDC.WRITE | SDC.CREATE)
    file.attr("CoreMetadata.0").set(SDC.CHAR, CORE)
    file.title = "Cloud mask of a demonstration"
    for name, kind, shape in (("cloud_mask", SDC.UINT8, (20, 30)), ("radiance", SDC.FLOAT32, (2, 20, 30))):
        one = file.create(name, kind, shape)
        for place, label in enumerate(("band", "row", "column")[3 - len(shape) :]):
            one.dim(place).setname(label)
        one.units = "1" if name == "cloud_mask" else "W/m^2/sr"
        one[:] = np.zeros(shape, {SDC.UINT8: "uint8"}.get(kind, "float32"))
        one.endaccess()
    file.end()
    inner = HDF(str(path), 2)
    place = inner.vstart()
    table = place.create("calibration", (("gain", SDC.FLOAT32, 1), ("offset", SDC.FLOAT32, 1)))
    table.write([[1.0, 0.5], [2.0, 0.25], [3.0, 0.125]])
    table.detach()
    place.end()
    inner.close()


def main() -> None:
    """Write all."""
    folder = Path(__file__).resolve().parent / "samples"
    folder.mkdir(exist_ok=True)
    gribs(folder)
    stores(folder)
    hdf4(folder)
    (folder / "forecast.grib2.gz").write_bytes(gzip.compress((folder / "forecast.grib2").read_bytes(), mtime=0))
    (folder / "swath.hdf.bz2").write_bytes(bz2.compress((folder / "swath.hdf").read_bytes()))
    (folder / "bad-other.json").write_text(json.dumps({"a": 1}))
    (folder / "bad-text.grib").write_text("a text about GRIB\n")


if __name__ == "__main__":
    main()
