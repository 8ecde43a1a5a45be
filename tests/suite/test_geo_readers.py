"""Geographic data: the golden documents are what independent readers say, or how the samples were made."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import laspy
import pytest
import shapefile
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from tests.suite.families import families
from tests.support.profiles import examples
from tests.support.programs import program

GEO = families()["geo"]
SAMPLES = GEO.manifest.folder / "samples"
geo = program("geo")
crs = program("geo", "geo_crs")


def golden(name: str) -> dict[str, Any]:
    """Return the golden document of a sample."""
    return GEO.expected(SAMPLES / name)


def positions(value: Any) -> list[list[float]]:
    """Return the positions in coordinates of any depth."""
    if value and isinstance(value[0], (int, float)):
        return [value]
    return [each for part in value for each in positions(part)]


@pytest.mark.parametrize("name", ["wells.geojson", "wells.geojsonl", "metres.geojson"])
def test_geojson_is_as_json_reads_it(name: str) -> None:
    """Features, properties and the box equal those of the whole text."""
    text = (SAMPLES / name).read_text()
    features = (
        [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)["features"]
    )
    found = golden(name)
    points = [each for one in features for each in positions(one["geometry"]["coordinates"])]
    assert (found["features"], found["points"]) == (len(features), len(points))
    xs, ys = [each[0] for each in points], [each[1] for each in points]
    assert found["extent"] == [min(xs), min(ys), max(xs), max(ys)]
    assert set(found.get("properties", ())) == {key for one in features for key in one["properties"]}


@pytest.mark.parametrize("name", ["scan.las", "scan.laz"])
def test_clouds_are_as_laspy_reads_them(name: str) -> None:
    """Points, their box and format of a header equal those of the points that laspy unpacks."""
    cloud, found = laspy.read(SAMPLES / name), golden(name)
    assert (found["points"], found["point_format"]) == (len(cloud.points), cloud.header.point_format.id)
    assert found["extent"] == pytest.approx([cloud.x.min(), cloud.y.min(), cloud.x.max(), cloud.y.max()])
    assert (found["z_min"], found["z_max"]) == pytest.approx((cloud.z.min(), cloud.z.max()))
    assert found["created"] == cloud.header.creation_date.isoformat()


def test_shapes_are_as_pyshp_reads_them() -> None:
    """Shapes, their box, and fields and rows of the table equal those of pyshp."""
    with shapefile.Reader(str(SAMPLES / "wells.shp")) as reader:
        for name in ("wells.shp", "wells.shx"):
            assert golden(name)["features"] == len(reader)
            assert golden(name)["extent"] == list(reader.bbox)
            assert golden(name)["shape_type"].upper() == reader.shapeTypeName
        table = golden("wells.dbf")
        assert table["columns"] == [field[0] for field in reader.fields[1:]]
        rows = [[str(each) if hasattr(each, "year") else each for each in one] for one in reader.iterRecords()]
        assert table["preview"]["table"]["rows"] == rows


def test_tracks_are_as_an_xml_tree_has_them() -> None:
    """Points, times and the box of GPX equal those of the whole tree."""
    tree, found = ET.parse(SAMPLES / "round.gpx").getroot(), golden("round.gpx")  # noqa: S314 - ours
    points = [each for each in tree.iter() if "lat" in each.attrib]
    assert found["points"] == len(points)
    sides = [sorted(float(each.attrib[key]) for each in points) for key in ("lon", "lat")]
    assert found["extent"] == [sides[0][0], sides[1][0], sides[0][-1], sides[1][-1]]
    assert (found["start"], found["end"]) == ("2026-05-04T07:00:00Z", "2026-05-04T08:30:00Z")


@pytest.mark.parametrize("name", ["wells.kml", "wells.kmz"])
def test_places_are_as_an_xml_tree_has_them(name: str) -> None:
    """Places, geometries, points and the box of KML, also in a zip archive, equal those of the whole tree."""
    found, path = golden(name), SAMPLES / name
    if path.suffix == ".kmz":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(next(each for each in archive.namelist() if each.endswith(".kml")))
    else:
        text = path.read_bytes()
    tree = ET.fromstring(text)  # noqa: S314 - ours
    kinds = Counter(each.tag.rpartition("}")[2] for each in tree.iter())
    words = [each.text.split() for each in tree.iter() if each.tag.endswith("}coordinates") and each.text]
    points = [tuple(map(float, word.split(",")))[:2] for one in words for word in one]
    assert (found["features"], found["points"]) == (kinds["Placemark"], len(points))
    assert found["geometries"] == {key: kinds[key] for key in ("LineString", "Point", "Polygon") if kinds[key]}
    assert found["extent"] == [*map(min, zip(*points, strict=True)), *map(max, zip(*points, strict=True))]


@pytest.mark.parametrize("name", ["esri.prj", "utm.prj"])
def test_a_file_of_a_coordinate_system_is_as_proj_reads_it(name: str) -> None:
    """The EPSG number of a `.prj` file is that of PROJ, and the name the one that it begins with."""
    found, text = golden(name), (SAMPLES / name).read_text()
    known = CRS.from_wkt(text)
    assert found["crs_name"] == text.split('"')[1]
    assert found["crs"] == f"EPSG:{known.to_epsg(min_confidence=20)}"


def test_a_geopackage_has_the_layers_that_were_put_in() -> None:
    """Layers, rows, geometry, coordinate system and box are those of the statements that made it."""
    found = golden("wells.gpkg")
    wells = found["layer"]["wells"]
    assert (wells["rows"], wells["geometry"], wells["crs"]) == (3, "POINT", "EPSG:4326")
    assert found["common"]["bbox"] == wells["extent"] == [10.5, 49.5, 12.0, 50.25]
    assert found["layer"]["notes"]["columns"] == ["id", "text"]


@pytest.mark.parametrize("code", [4326, 3857, 32632, 32733, 25832, 4258])
@pytest.mark.parametrize("form", ["WKT1_GDAL", "WKT1_ESRI", "WKT2_2019"])
def test_a_coordinate_system_has_the_number_that_proj_knows(code: int, form: str) -> None:
    """Well-Known Text of all three kinds gives the EPSG number that it was made from, and tells degrees."""
    system = CRS.from_epsg(code)
    found = crs.of_wkt(system.to_wkt(form))
    assert found["crs"] == f"EPSG:{code}"
    assert found.get("degrees", False) == system.is_geographic


COORDINATES = st.tuples(st.floats(-180, 180, width=32), st.floats(-90, 90, width=32))
FEATURES = st.lists(
    st.tuples(COORDINATES, st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9))), max_size=20
)


@examples(50)
@given(features=FEATURES)
def test_any_collection_is_counted_as_it_was_made(tmp_path_factory: pytest.TempPathFactory, features: Any) -> None:
    """A random collection has the features, ranges and box that were put in."""
    path: Path = tmp_path_factory.getbasetemp() / "any.geojson"
    made = [
        {"properties": said, "type": "Feature", "geometry": {"coordinates": place, "type": "Point"}}
        for place, said in features
    ]
    path.write_text(json.dumps({"features": made, "type": "FeatureCollection"}))
    found = geo.extract(str(path))
    assert (found["features"], found["points"]) == (len(features), len(features))
    for key in {key for _, said in features for key in said}:
        values = [said[key] for _, said in features if key in said]
        assert found["property"][key] == {"type": "number", "min": min(values), "max": max(values)}
    if features:
        xs, ys = zip(*(place for place, _ in features), strict=True)
        assert found["extent"] == [min(xs), min(ys), max(xs), max(ys)]


def test_a_track_of_google_earth_has_its_points(tmp_path: Path) -> None:
    """Points of a Track in KML, whose numbers stand apart by blanks, count and have their extent and times."""
    (tmp_path / "a.kml").write_text(
        '<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">'
        "<Document><Placemark>"
        "<gx:Track><when>2026-03-01T10:00:00Z</when><when>2026-03-01T11:00:00Z</when>"
        "<gx:coord>11.5 50.9 160</gx:coord><gx:coord>11.75 51.0 170</gx:coord></gx:Track>"
        "</Placemark></Document></kml>"
    )
    found = geo.extract(str(tmp_path / "a.kml"))
    assert (found["points"], found["extent"]) == (2, [11.5, 50.9, 11.75, 51.0])
    assert (found["start"], found["end"]) == ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z")


def test_points_of_a_projection_of_its_own_are_not_in_the_system_below_it(tmp_path: Path) -> None:
    """A LAS file whose projection has no number has none, though that of its datum is said."""
    made = laspy.LasData(laspy.LasHeader(version="1.2", point_format=0))
    made.x, made.y, made.z = [10.0, 20.0], [5.0, 6.0], [0.0, 1.0]
    keys = struct.pack("<16H", 1, 1, 0, 3, 1024, 0, 1, 1, 2048, 0, 1, 4269, 3072, 0, 1, 32767)
    made.header.vlrs.append(laspy.VLR("LASF_Projection", 34735, "keys", keys))
    made.write(tmp_path / "a.las")
    found = geo.extract(str(tmp_path / "a.las"))
    assert "crs" not in found
    assert "bbox" not in found.get("common", {})


@pytest.mark.parametrize(
    ("number", "is_degrees"), [(4326, True), (4258, True), (4807, False), (4901, False), (25832, False)]
)
def test_only_degrees_from_greenwich_are_degrees(number: int, is_degrees: bool) -> None:
    """A geographic system that counts grads, or from Paris, gives no box in degrees."""
    for version in ("WKT1_GDAL", "WKT2_2019"):
        assert crs.of_wkt(CRS.from_epsg(number).to_wkt(version)).get("degrees", False) == is_degrees


@pytest.mark.parametrize(
    ("unit", "is_degrees"),
    [
        ("1.7453292519943295E-2", True), ("1.745329251994328e-02", True), ("17453292.519943295E-9", True),
        (".0174532925199433", True), ("0.0174532925", True), ("1.5707963267948967E-2", False), ("1", False),
    ],
)  # fmt: skip
def test_degrees_are_seen_however_their_number_is_written(unit: str, is_degrees: bool) -> None:
    """The unit of a geographic system is that of its number, with an exponent or without."""
    text = CRS.from_epsg(4326).to_wkt("WKT1_GDAL").replace("0.0174532925199433", unit)
    assert unit in text
    assert crs.of_wkt(text).get("degrees", False) == is_degrees
