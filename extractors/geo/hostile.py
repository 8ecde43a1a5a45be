"""Geographic files that nobody would write on purpose: nests, absurd counts, databases that would run something."""

from __future__ import annotations

import gzip
import sqlite3
import struct
from pathlib import Path

HEAD = b'{"type": "FeatureCollection", "features": ['
POINT = b'{"type":"Feature","properties":{"a":1},"geometry":{"type":"Point","coordinates":[1,2]}}'


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    makers = {
        "deep.geojson": HEAD + b'{"properties":' * 100_000,
        "lists.geojson": HEAD + b'{"geometry":{"type":"Polygon","coordinates":' + b"[" * 1_000_000,
        "numbers.geojson": HEAD + b'{"type":"Feature","geometry":{"type":"Point","coordinates":[1e999,-1e999,'
        + b"9" * 5000 + b"]}}]}",
        "names.geojson": HEAD + b",".join(
            b'{"type":"Feature","properties":{"p%d":%d}}' % (n, n) for n in range(20_000)) + b"]}",
        "huge.geojson": HEAD + b'{"type":"Feature","properties":{"a":' + b"9" * 4000 + b"}}]}",
        "text.geojson": HEAD + b'{"type":"Feature","properties":{"a":"' + b"x" * 5_000_000 + b'"}}]}',
        "bomb.geojson.gz": gzip.compress(HEAD + b",".join([POINT] * 100_000) + b"]}", 1),
        "nothing.geojson": b"{",
        "types.geojson": b'{"type": ["Feature"], "features": {"features": []}}',
        "counts.las": b"LASF" + bytes(20) + b"\x01\x04" + b"\xff" * 350,
        "short.las": b"LASF" + bytes(200),
        "records.las": b"LASF" + bytes(20) + b"\x01\x02" + bytes(68) + struct.pack("<HII", 227, 227,
        0xFFFFFFFF) + bytes(150),
        "length.shp": b"\0\0\x27\x0a" + bytes(20) + b"\x7f\xff\xff\xff" + struct.pack("<II", 1000, 5) + bytes(64),
        "still.shp": b"\0\0\x27\x0a" + bytes(20) + b"\x7f\xff\xff\xff" + struct.pack("<II", 1000, 5) + b"\xff" * 64
        + struct.pack(">II", 1, 0) * 50_000,
        "rows.dbf": b"\x03\x7e\x03\x02" + struct.pack("<IHH", 0xFFFFFFFF, 65,
        9) + bytes(20) + b"A" * 32 + b"\r" + bytes(99),
        "fields.dbf": b"\x03\x7e\x03\x02" + struct.pack("<IHH", 0, 65505, 9) + bytes(20) + b"A" * 65473,
        "places.kml": b"<kml><Placemark><coordinates>" + b"1,2 " * 500_000 + b"</coordinates></Placemark></kml>",
        "place.kml": b"<kml><coordinates>" + b"1" * 20_000_000 + b"</coordinates></kml>",
        "deep.kml": b"<kml>" + b"<Folder>" * 300_000,
        "entity.gpx": b"<!DOCTYPE gpx [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><gpx><wpt lat='1' lon='2'/></gpx>",
        "long.prj": b'GEOGCS["' + b"x" * 5_000_000,
        "sqlite.gpkg": b"SQLite format 3\0" + b"\xff" * 5000,
    }  # fmt: skip
    for name, content in makers.items():
        (folder / name).write_bytes(content)
    for name, statements in DATABASES.items():
        base = sqlite3.connect(folder / name)
        base.executescript(CONTENTS + statements)
        base.close()


CONTENTS = (
    "CREATE TABLE gpkg_contents (table_name, data_type, identifier, description, last_change, min_x, min_y, max_x,"
    " max_y, srs_id);"
)
DATABASES = {
    "endless.gpkg": "CREATE VIEW v AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    " SELECT x FROM c;"
    "INSERT INTO gpkg_contents (table_name) VALUES ('v');",
    "view.gpkg": "DROP TABLE gpkg_contents; CREATE VIEW gpkg_contents AS SELECT load_extension('x') AS table_name;",
    "values.gpkg": "INSERT INTO gpkg_contents VALUES (x'00ff', 1e308, NULL, zeroblob(9000000), 7, 'a', 'b', 1, 2,"
    " 'x');"
    """INSERT INTO gpkg_contents (table_name) VALUES ('a"; DROP TABLE b; --');""",
    "layers.gpkg": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 50000)"
    "INSERT INTO gpkg_contents (table_name) SELECT 'layer ' || x FROM c;",
}


def large(folder: Path, size_bytes: int) -> Path:
    """Write one GeoJSON text of about `size_bytes`, all of it points."""
    path = folder / "large.geojson"
    points = b",".join([POINT] * 10_000)
    with path.open("wb") as file:
        file.write(HEAD + POINT)
        for _ in range(size_bytes // len(points)):
            file.write(b"," + points)
        file.write(b"]}")
    return path
