#!/usr/bin/env python3
"""Write the samples of tables, arrays, images and FITS anew: small files of every kind, the same bytes each time.

Needs h5py, netCDF4, pyarrow, pillow, pillow-heif, tifffile and astropy. All contents are made up here.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pillow_heif
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from astropy.io import fits
from PIL import Image

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
    times = pa.array([1_000_000 * place for place in range(20)], pa.timestamp("us", "UTC"))
    table = pa.Table.from_pylist(objects).append_column("time", times)
    table = table.append_column("spectrum", pa.array([[1.0, 2.0]] * 20))
    table = table.replace_schema_metadata({"instrument": "weather mast"})
    pq.write_table(table, folder / "weather.parquet", row_group_size=8, compression="zstd")
    with pa.OSFile(str(folder / "weather.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=8)
    with pa.OSFile(str(folder / "weather.arrows"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=8)


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
    with netCDF4.Dataset(folder / "classic.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.Conventions = "CF-1.8"
        file.title = "air temperature"
        file.createDimension("time", None)
        file.createDimension("lat", 2)
        hours = file.createVariable("time", "f8", ("time",))
        hours.units, hours.standard_name, hours.axis = "hours since 2026-01-01", "time", "T"
        hours[:] = [0, 6, 12]
        air = file.createVariable("tas", "f4", ("time", "lat"))
        air.units, air.standard_name, air.valid_range = "K", "air_temperature", np.array([200, 350], "f4")
        air[:] = 280
    with h5py.File(folder / "nexus.nxs", "w") as file:
        file.attrs["default"] = "entry"
        kinds = {"entry": "NXentry", "entry/instrument": "NXinstrument", "entry/sample": "NXsample",
                 "entry/instrument/source": "NXsource", "entry/data": "NXdata"}  # fmt: skip
        for place, kind in kinds.items():
            file.create_group(place).attrs["NX_class"] = kind
        file["entry/title"], file["entry/definition"] = "powder diffraction of silicon", "NXmonopd"
        file["entry/start_time"] = "2026-03-01T12:00:00+01:00"
        file["entry/sample/name"], file["entry/sample/temperature"] = "Si", 293.5
        file["entry/instrument/source/energy"] = 6.0
        file["entry/instrument/source/energy"].attrs["units"] = "GeV"
        file["entry/data"].attrs["signal"] = "counts"
        file.create_dataset("entry/data/counts", data=np.arange(64), chunks=(32,), compression="gzip", shuffle=True)
    climate(folder)
    (folder / "bad-torn.h5").write_bytes((folder / "scan.h5").read_bytes()[:600])


def climate(folder: Path) -> None:
    """Write NetCDF-4 as models and observatories do, one within gzip; and HDF5 with what is easily lost."""
    with netCDF4.Dataset(folder / "model.nc", "w", format="NETCDF4") as file:
        file.Conventions, file.title, file.institution = (
            "CF-1.8, ACDD-1.3",
            "near-surface air",
            "Institute of Tests",
        )
        file.source, file.date_created, file.keywords = "model 7", "2026-02-03T04:05:06Z", "air, temperature"
        file.references = "https://doi.org/10.5072/Test.7."
        for name, size in (("time", 4), ("lat", 3), ("lon", 5)):
            file.createDimension(name, size)
        days = file.createVariable("time", "f8", ("time",))
        days.units, days.calendar, days.standard_name = "days since 1970-01-01", "noleap", "time"
        days[:] = [0, 59, 365, 730.5]
        lat, lon = file.createVariable("lat", "f4", ("lat",)), file.createVariable("lon", "f4", ("lon",))
        lat.units, lon.units, lat[:], lon[:] = (
            "degrees_north",
            "degrees_east",
            [-10, 0, 10],
            [340, 350, 360, 370, 380],
        )
        grid = file.createVariable("crs", "i4", ())
        grid.grid_mapping_name, grid.epsg_code = "latitude_longitude", "EPSG:4326"
        air = file.createVariable("tas", "f4", ("time", "lat", "lon"), zlib=True, fill_value=np.float32("nan"))
        air.units, air.standard_name, air.grid_mapping = "K", "air_temperature", "crs"
        air[:] = 280
    (folder / "model.nc.gz").write_bytes(gzip.compress((folder / "model.nc").read_bytes(), mtime=0))
    with h5py.File(folder / "lost.h5", "w", userblock_size=4096) as file:
        for number in range(70):
            file.attrs[f"a{number:03}"] = number
        file.attrs["instrument"], file.attrs["large"] = "ARPES", np.uint64(2**64 - 1)
        file.attrs["nothing"], file.attrs["long"] = np.nan, np.arange(200)
        file["table"] = np.array([(1, 2.5, b"a"), (2, 3.5, b"b")], dtype="i4,f8,S1")


def sky(folder: Path) -> None:
    """Write FITS files: an image with world coordinates, tables, and one torn in its first header."""
    folder.mkdir(parents=True, exist_ok=True)
    header = fits.Header([
        ("OBJECT", "M 31"), ("TELESCOP", "Test 1 m"), ("INSTRUME", "camera"), ("FILTER", "r"), ("EXPTIME", 30.0),
        ("DATE-OBS", "2026-01-02T03:04:05"), ("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CRVAL1", 10.6847),
        ("CRVAL2", 41.269), ("CRPIX1", 8.5), ("CRPIX2", 8.5), ("CDELT1", -0.001), ("CDELT2", 0.001),
        ("CUNIT1", "deg"), ("CUNIT2", "deg"), ("RADESYS", "ICRS"), ("HISTORY", "made for a test"),
    ])  # fmt: skip
    fits.PrimaryHDU(np.arange(256, dtype="i2").reshape(16, 16), header).writeto(folder / "m31.fits", overwrite=True)
    columns = [
        fits.Column("flux", "D", unit="Jy", array=np.arange(5.0)),
        fits.Column("name", "8A", array=["a", "b", "c", "d", "e"]),
        fits.Column("spectrum", "3E", array=np.zeros((5, 3))),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SOURCES")
    packed = fits.CompImageHDU(np.zeros((16, 16), "i4"), name="MASK")
    fits.HDUList([fits.PrimaryHDU(), table, packed]).writeto(folder / "catalogue.fits", overwrite=True)
    (folder / "m31.fits.gz").write_bytes(gzip.compress((folder / "m31.fits").read_bytes(), mtime=0))
    first = fits.PrimaryHDU(header=fits.Header([("ORIGIN", "Test Observatory"), ("COMMENT", "two units")]))
    plane = fits.Header([
        ("OBJECT", "M 31"), ("INSTRUME", "WFC"), ("DATE-OBS", "31/12/98"), ("UT", "23:59:59.5"),
        ("MJD-END", 51179.5),
        ("CTYPE1", "GLON-CAR"), ("CTYPE2", "GLAT-CAR"), ("CRVAL1", 121.1743), ("CRVAL2", -21.5733), ("BUNIT", "Jy"),
        *((f"KEY{number}", number) for number in range(250)), ("LARGE", 2**64),
    ])  # fmt: skip
    fits.HDUList([first, fits.ImageHDU(np.eye(8), plane, name="SCI")]).writeto(
        folder / "galactic.fits", overwrite=True
    )
    (folder / "bad-torn.fits").write_bytes((folder / "m31.fits").read_bytes()[:1000])


def pictures(folder: Path) -> None:
    """Write images with what cameras, microscopes and maps say in their tags."""
    folder.mkdir(parents=True, exist_ok=True)
    ramp = np.arange(48 * 64, dtype="u2").reshape(48, 64)
    colours = Image.fromarray(np.stack([ramp % 256, ramp // 16 % 256, ramp // 64], axis=-1).astype("u1"))
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132], exif[0x0112] = "Maker", "Camera 1", "2026:01:02 03:04:05", 6
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0x829D: 2.8, 0x8827: 200, 0x920A: 50.0})
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 55.0, 12.0), 3: "W", 4: (11.0, 35.0, 6.0)})
    colours.save(folder / "photo.jpg", exif=exif, quality=70)
    colours.convert("P").save(folder / "palette.png", pnginfo=None)
    colours.save(
        folder / "moving.gif", save_all=True, append_images=[colours.transpose(Image.Transpose.ROTATE_180)]
    )
    colours.save(folder / "photo.webp", quality=50)
    tifffile.imwrite(folder / "detector.tif", ramp, compression="zlib", metadata=None, resolution=(300, 300),
                     description="detector 7", software="made by hand")  # fmt: skip
    ome = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="cells">'
        '<AcquisitionDate>2026-01-02T03:04:05</AcquisitionDate><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        'Type="uint16" SizeX="64" SizeY="48" SizeZ="1" SizeC="2" SizeT="1" PhysicalSizeX="0.25" '
        'PhysicalSizeY="0.25">'
        '<Channel ID="Channel:0:0" Name="DAPI"/><Channel ID="Channel:0:1" Name="GFP"/><TiffData/></Pixels></Image>'
        "</OME>"
    )
    tifffile.imwrite(folder / "cells.ome.tif", np.stack([ramp, ramp]), description=ome, metadata=None,
                     photometric="minisblack", compression="zlib")  # fmt: skip
    geo = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0, 0, 0, 600000.0, 5640000.0, 0), True),
        (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632), True),
    ]  # fmt: skip
    tifffile.imwrite(folder / "map.tif", ramp.astype("f4"), metadata=None, extratags=geo, compression="zlib")
    described(folder, colours)
    (folder / "bad-torn.png").write_bytes((folder / "palette.png").read_bytes()[:20])


XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmp:CreateDate="2026-03-04T05:06:07+02:00" xmp:CreatorTool="Editor 7">
<dc:title><rdf:Alt><rdf:li xml:lang="de">Wafer</rdf:li>
<rdf:li xml:lang="x-default">Silicon wafer</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>Noether, Emmy</rdf:li><rdf:li>Curie, Marie</rdf:li></rdf:Seq></dc:creator>
<dc:subject><rdf:Bag><rdf:li>wafer</rdf:li></rdf:Bag></dc:subject><dc:identifier>doi:10.5072/ABC</dc:identifier>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""


def described(folder: Path, colours: Image.Image) -> None:
    """Write pictures of more kinds, with XMP and IPTC, and maps whose place is told in other ways."""
    datasets = b"".join(
        b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text
        for number, text in (
            (5, b"From IPTC"),
            (25, b"semiconductor"),
            (25, "Größe".encode()),
            (80, b"Curie, Marie"),
        )
    )
    resource = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + len(datasets).to_bytes(4, "big") + datasets
    resource += bytes(len(datasets) % 2)
    colours.save(folder / "described.jpg", xmp=XMP.encode(), quality=50)
    content = (folder / "described.jpg").read_bytes()
    part = b"\xff\xed" + (len(resource) + 2).to_bytes(2, "big") + resource
    (folder / "described.jpg").write_bytes(content[:2] + part + content[2:])
    for name in ("photo.avif", "photo.tga", "photo.pcx", "photo.dds"):
        colours.save(folder / name)
    (folder / "plain.pgm.gz").write_bytes(gzip.compress(b"P5 4 2 255\n" + bytes(range(8)), mtime=0))
    heic = pillow_heif.from_pillow(Image.new("RGB", (32, 32)))  # coded as 64 by 64, and cut
    heic.add_from_pillow(colours.resize((81, 61)))
    exif = Image.Exif()
    exif[0x112] = 6  # turned to the right
    heic.save(folder / "photo.heic", quality=30, primary_index=1, exif=exif.tobytes())
    ramp = np.arange(8 * 4, dtype="u1").reshape(4, 8)
    degrees = [
        (33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 6, (0, 0, 0, -10.0, 50.0, 0), True),
        (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 2, 2048, 0, 1, 4326), True),
    ]  # fmt: skip
    tifffile.imwrite(folder / "degrees.tif", ramp, metadata=None, extratags=degrees)
    turned = [
        (34264, "d", 16, (0, -100.0, 0, 1_000_000.0, -100.0, 0, 0, 6_000_000.0, *[0] * 7, 1.0), True),
        (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 3857), True),
    ]  # fmt: skip
    tifffile.imwrite(folder / "turned.tif", ramp, metadata=None, extratags=turned)


if __name__ == "__main__":
    tables(HERE / "tabular" / "samples")
    scans(HERE / "hdf5" / "samples")
    sky(HERE / "fits" / "samples")
    pictures(HERE / "image" / "samples")
