#!/usr/bin/env python3
"""Write the samples of the extractor anew: the same bytes each time. Needs pyshp, laspy with lazrs, and pyproj."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from datetime import date
from pathlib import Path

import laspy
import numpy as np
import shapefile
from pyproj import CRS

WELLS = [("north", 10.5, 50.25, 12), ("south", 11.75, 49.5, 30), ("east", 12.0, 50.0, None)]
UTM = CRS.from_epsg(32632)
GPX = """<?xml version="1.0"?>
<gpx version="1.1" creator="Field logger 3" xmlns="http://www.topografix.com/GPX/1/1">
<metadata><name>Round of the stations</name><author><name>Ada
Example</name></author><time>2026-05-04T06:00:00Z</time>
</metadata><wpt lat="50.9" lon="11.5"><name>start</name></wpt>
<trk><name>morning</name><trkseg>
<trkpt lat="50.90" lon="11.50"><ele>150</ele><time>2026-05-04T07:00:00Z</time></trkpt>
<trkpt lat="50.95" lon="11.75"><ele>160</ele><time>2026-05-04T08:30:00Z</time></trkpt>
</trkseg></trk></gpx>
"""
KML = """<?xml version="1.0"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>Wells</name>
<Placemark><name>north</name><Point><coordinates>10.5,50.25,0</coordinates></Point></Placemark>
<Placemark><name>fence</name><LineString><coordinates>10.5,50.25 11.75,49.5
12.0,50.0</coordinates></LineString></Placemark></Document></kml>
"""


def texts(folder: Path) -> None:
    """Write GeoJSON in several forms, GPX and KML."""
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, y]},
         "properties": {"name": name, "depth": depth}}
        for name, x, y, depth in WELLS
    ]  # fmt: skip
    area = {"type": "Polygon", "coordinates": [[[10, 49], [12.5, 49], [12.5, 51], [10, 51], [10, 49]]]}
    features.append({"type": "Feature", "geometry": area, "properties": {"name": "district", "tags": ["a"]}})
    whole = {"type": "FeatureCollection", "name": "wells", "features": features}
    (folder / "wells.geojson").write_text(json.dumps(whole, indent=1))
    (folder / "wells.geojsonl").write_text("".join(json.dumps(one) + "\n" for one in features))
    (folder / "wells.geojson.gz").write_bytes(gzip.compress(json.dumps(whole).encode(), mtime=0))
    name = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}
    (folder / "metres.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "crs": name, "features": [
            {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [650000,
            5650000]}}]})
    )  # fmt: skip
    (folder / "round.gpx").write_text(GPX)
    (folder / "wells.kml").write_text(KML)
    with zipfile.ZipFile(folder / "wells.kmz", "w") as archive:
        archive.writestr(zipfile.ZipInfo("doc.kml"), KML)
    (folder / "utm.prj").write_text(UTM.to_wkt("WKT1_GDAL"))
    (folder / "esri.prj").write_text(UTM.to_wkt("WKT1_ESRI"))
    (folder / "bad-other.json").write_text('{"type": "Topology", "objects": {}}')


def shapes(folder: Path) -> None:
    """Write a shapefile with its index and table."""
    parts = {kind: io.BytesIO() for kind in ("shp", "shx", "dbf")}
    with shapefile.Writer(**parts, shapeType=shapefile.POINT, encoding="cp1252") as writer:
        writer.field("name", "C", 20)
        writer.field("depth", "N", 8, 2)
        writer.field("drilled", "D")
        for number, (name, x, y, depth) in enumerate(WELLS):
            writer.point(x, y)
            writer.record(name, depth, date(2026, 3, number + 1))
    for kind, content in parts.items():
        data = bytearray(content.getvalue())
        if kind == "dbf":
            data[1:4] = bytes((126, 3, 2))  # the day of the last change
        (folder / f"wells.{kind}").write_bytes(data)
    (folder / "torn.shp").write_bytes((folder / "wells.shp").read_bytes()[:-20])


def clouds(folder: Path) -> None:
    """Write LAS and LAZ."""
    for name, version, layout in (("scan.las", "1.4", 6), ("scan.laz", "1.2", 3)):
        header = laspy.LasHeader(point_format=layout, version=version)
        header.offsets, header.scales = [600_000, 5_600_000, 0], [0.01, 0.01, 0.01]
        header.creation_date = date(2026, 2, 3)
        header.system_identifier, header.generating_software = "DRONE 7", "pointer 2.1"
        if version == "1.4":
            header.add_crs(UTM)
        cloud = laspy.LasData(header)
        cloud.x = np.array([600_000.25, 600_100.5, 600_050])
        cloud.y = np.array([5_600_000, 5_600_010.75, 5_600_005])
        cloud.z = np.array([100, 101.5, 99.25])
        cloud.write(folder / name)


def package(folder: Path) -> None:
    """Write a GeoPackage by the statements of its standard."""
    path = folder / "wells.gpkg"
    path.unlink(missing_ok=True)
    base = sqlite3.connect(path)
    base.executescript("""
        PRAGMA application_id = 1196444487; PRAGMA user_version = 10300;
        CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT,
            organization_coordsys_id INTEGER, definition TEXT, description TEXT);
        CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT, identifier TEXT, description TEXT,
            last_change DATETIME, min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER);
        CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT, srs_id
        INTEGER,
            z TINYINT, m TINYINT);
        CREATE TABLE wells (fid INTEGER PRIMARY KEY, geom BLOB, name TEXT, depth REAL);
        CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
    """)
    base.execute(
        "INSERT INTO gpkg_spatial_ref_sys VALUES ('WGS 84', 4326, 'EPSG', 4326, ?, NULL)",
        [CRS(4326).to_wkt("WKT1_GDAL")],
    )
    base.executemany(
        "INSERT INTO gpkg_contents VALUES (?, ?, ?, ?, '2026-03-02T10:00:00.000Z', ?, ?, ?, ?, ?)",
        [("wells", "features", "Wells", "of the district", 10.5, 49.5, 12.0, 50.25, 4326),
         ("notes", "attributes", "notes", "", None, None, None, None, None)],
    )  # fmt: skip
    base.execute("INSERT INTO gpkg_geometry_columns VALUES ('wells', 'geom', 'POINT', 4326, 0, 0)")
    base.executemany(
        "INSERT INTO wells (name, depth) VALUES (?, ?)", [(name, depth) for name, _, _, depth in WELLS]
    )
    base.commit()
    base.close()
    plain = folder / "bad-plain.gpkg"
    plain.unlink(missing_ok=True)
    base = sqlite3.connect(plain)
    base.execute("CREATE TABLE a (b)")
    base.commit()
    base.close()


def main() -> None:
    """Write all."""
    folder = Path(__file__).resolve().parent / "samples"
    folder.mkdir(exist_ok=True)
    texts(folder)
    shapes(folder)
    clouds(folder)
    package(folder)


if __name__ == "__main__":
    main()
