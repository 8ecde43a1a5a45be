"""Facts of pictures: what was written is what the document says; places in degrees are those of PROJ."""

from __future__ import annotations

import base64
import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.support.profiles import examples
from tests.support.programs import Later, program
from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS

pillow_heif, pyproj, tifffile = Later("pillow_heif"), Later("pyproj"), Later("tifffile")
image, place, xmp = Later("image", "image"), Later("image_place", "image"), Later("extractor_xmp", "image")
SAMPLES = EXTRACTORS / "image" / "samples"
quick = examples(40, HealthCheck.function_scoped_fixture)
EPSG = [4326, 3857, 32601, 32632, 32660, 32701, 32733, 25828, 25832, 25838, 26910, 26923, 28355, 7855, 31965, 31976,
        31977, 31985]  # fmt: skip


@quick
@given(width=st.integers(1, 300), height=st.integers(1, 300), turned=st.integers(1, 8), more=st.booleans())
def test_the_size_of_heic_is_that_of_the_picture_as_shown(
    tmp_path: Path, *, width: int, height: int, turned: int, more: bool
) -> None:
    """A HEIC of any size, turned and among others, has the size that libheif says, and not that of its code."""
    file = pillow_heif.from_pillow(Image.new("RGB", (width, height), (200, 100, 50)))
    if more:
        file.add_from_pillow(Image.new("RGB", (64, 200)))
    exif = Image.Exif()
    exif[0x112] = turned
    file.save(tmp_path / "a", quality=30, exif=exif.tobytes())

    found = image.extract(str(tmp_path / "a"))

    assert (found["width"], found["height"]) == pillow_heif.open_heif(tmp_path / "a").size
    assert {found["width"], found["height"]} == {width, height}


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TGA", "PCX", pytest.param("DDS", marks=pytest.mark.long),
             "PPM", "TIFF"],
)  # fmt: skip
@quick
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_size_and_thumbnail_are_those_of_the_picture(tmp_path: Path, form: str, width: int, height: int) -> None:
    """Every format that is named gives its size, under any name and within gzip, and a thumbnail of its shape."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(out, form)
    (tmp_path / "a").write_bytes(out.getvalue())
    (tmp_path / "b").write_bytes(gzip.compress(out.getvalue()))

    found = image.extract(str(tmp_path / "a"))

    assert (found["format"], found["width"], found["height"]) == (form.lower(), width, height)
    assert image.extract(str(tmp_path / "b")) == found | {"packed": "gzip"}
    with Image.open(io.BytesIO(base64.b64decode(found["preview"]["thumbnail"]["base64"]))) as small:
        assert max(small.size) == min(128, max(width, height))


@each_row("form", ["JPEG2000", "SGI", "QOI", "ICO", "PSD", "XPM"])
def test_rare_pictures_have_the_size_that_they_were_made_with(tmp_path: Path, form: str) -> None:
    """Formats that are named, and are written seldom, have their size and bands."""
    hand = {
        "PSD": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 21, 37, 8, 3) + bytes(14) + bytes(3 * 21 * 37),
        "XPM": b'/* XPM */\nstatic char *a[] = {\n"37 21 1 1",\n"a c #C86432",\n'
        + b",\n".join([b'"' + b"a" * 37 + b'"'] * 21) + b"\n};\n",
    }  # fmt: skip
    if form in hand:
        (tmp_path / "a").write_bytes(hand[form])
    else:
        sizes = {"sizes": [(37, 21)]} if form == "ICO" else {}
        Image.new("RGB", (37, 21), (200, 100, 50)).save(tmp_path / "a", form, **sizes)

    found = image.extract(str(tmp_path / "a"))

    assert (found["format"], found["width"], found["height"]) == (form.lower(), 37, 21)
    assert found["bands"] == (1 if form == "XPM" else 3)


@pytest.mark.parametrize("epsg", EPSG)
@quick
@given(east=st.floats(100_000, 900_000), north=st.floats(100_000, 9_000_000), size=st.floats(10, 50_000))
def test_boxes_in_degrees_are_those_of_proj(epsg: int, east: float, north: float, size: float) -> None:
    """A box of a projected system is the one that PROJ makes of it, to a ten thousandth of a degree."""
    if epsg == 4326:
        east, north, size = east / 5000 - 100, north / 100_000 - 20, size / 50_000
    crs = pyproj.CRS.from_epsg(epsg)
    convert = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    expected = convert.transform_bounds(east, north, east + size, north + size, densify_pts=21)

    found = place.box_of(epsg, [east, north, east + size, north + size])

    assert found == pytest.approx(expected, abs=1e-4)


@each_row("epsg", [2154, 3031, 27700, 5514, 31467, 32661])
def test_a_system_whose_formulas_are_not_here_has_no_box(epsg: int) -> None:
    """Lambert, polar and national systems have their number, and no guessed box."""
    assert place.box_of(epsg, [0, 0, 1000, 1000]) is None


@quick
@given(
    words=st.dictionaries(
        st.sampled_from(["Title", "Author", "Software", "Comment", "Other"]),
        st.text("abc é", min_size=1, max_size=40).map(str.strip).filter(bool),
    )
)
def test_texts_of_png_are_told(tmp_path: Path, words: dict[str, str]) -> None:
    """Each text is there, and title, author and software stand under the shared keys too."""
    info = PngImagePlugin.PngInfo()
    for key, value in words.items():
        info.add_itxt(key, value)
    Image.new("L", (2, 2)).save(tmp_path / "a.png", pnginfo=info)
    found = image.extract(str(tmp_path / "a.png"))
    assert found.get("text", {}) == words
    common = found.get("common", {})
    assert common.get("title") == (" ".join(words["Title"].split()) if "Title" in words else None)
    assert len(common.get("creator", [])) == ("Author" in words)


def test_xmp_and_iptc_are_read() -> None:
    """Title of the default language, all creators, keywords of both, the date in UTC, and the DOI are there."""
    assert image.extract(str(SAMPLES / "described.jpg"))["common"] == {
        "title": "Silicon wafer", "creator": ["Noether, Emmy", "Curie, Marie"], "created": "2026-03-04T03:06:07Z",
        "keywords": ["wafer", "semiconductor", "Größe"], "software": ["Editor 7"], "doi": ["10.5072/abc"],
    }  # fmt: skip


@each_row("packet", [b"<x", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", b"<x>" + bytes(5_000_000)])
def test_broken_xmp_is_an_error_of_its_own(packet: bytes) -> None:
    """XMP that is no XML, that has entities, or is too long, is refused with a sentence."""
    with pytest.raises(ValueError, match="its XMP is"):
        xmp.read(packet)


def test_a_picture_stands_upright(tmp_path: Path) -> None:
    """The thumbnail is turned as EXIF says; the size is that of the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    found = image.extract(str(tmp_path / "a.jpg"))
    with Image.open(io.BytesIO(base64.b64decode(found["preview"]["thumbnail"]["base64"]))) as small:
        assert small.size == (40, 60)
    assert (found["width"], found["height"]) == (60, 40)


def test_a_map_of_pixel_middles_begins_half_a_pixel_before(tmp_path: Path) -> None:
    """GeoTIFF may tell the place of a pixel's corner or of its middle; the edges are those of the pixels."""
    geo: list[Any] = [
        (33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 6, (0, 0, 0, -10.0, 50.0, 0), True),
        (34735, "H", 12, (1, 1, 0, 2, 1025, 0, 1, 2, 2048, 0, 1, 4326), True),
    ]  # fmt: skip
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8), "u1"), metadata=None, extratags=geo)
    assert image.extract(str(tmp_path / "a.tif"))["common"]["bbox"] == [-10.25, 48.25, -6.25, 50.25]


def test_bytes_that_only_look_like_targa_are_no_picture(tmp_path: Path) -> None:
    """A format without a signature is only taken where its header and its length fit."""
    (tmp_path / "a").write_bytes(bytes((0, 0, 2)) + bytes(9) + b"\x08\0\x08\0\x18\0" + bytes(50))
    with pytest.raises(ValueError, match="it is not a picture in a supported format"):
        image.extract(str(tmp_path / "a"))


def test_long_lists_and_texts_are_named(tmp_path: Path) -> None:
    """A tag that is too long keeps its beginning, and `partial` has its name."""
    tags: list[Any] = [(65000, "H", 300, tuple(range(300)), True), (270, "s", 0, "x" * 5000, True)]
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8), "u1"), metadata=None, extratags=tags)
    found = image.extract(str(tmp_path / "a.tif"))
    assert len(found["tags"]["ImageDescription"]) == 4000
    assert "ImageDescription" in found["partial"]


@each_row("form", ["HEIF", "AVIF", "JPEG", "WEBP", "PNG"])
def test_the_camera_tells_when_and_where_in_any_format(tmp_path: Path, form: str) -> None:
    """Camera, time and place of EXIF, and the title of XMP, stand under the shared keys, whatever carries them."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Camera 1"
    exif.get_ifd(0x8769).update({0x9003: "2026:03:01 12:00:00", 0x9011: "+01:00"})
    exif.get_ifd(0x8825).update({1: "S", 2: (50.0, 30.0, 36.0), 3: "W", 4: (11.0, 15.0, 0.0), 5: b"\1", 6: 12.5})
    packet = XMP.encode()
    picture = Image.new("RGB", (64, 48), (200, 100, 50))
    if form == "HEIF":
        pillow_heif.from_pillow(picture).save(tmp_path / "a", exif=exif.tobytes(), xmp=packet)
    elif form == "PNG":
        told = PngImagePlugin.PngInfo()
        told.add_itxt("XML:com.adobe.xmp", XMP)
        picture.save(tmp_path / "a", form, exif=exif, pnginfo=told)
    else:
        picture.save(tmp_path / "a", form, exif=exif, xmp=packet)

    found = image.extract(str(tmp_path / "a"))

    assert found["common"] == {
        "title": "Silicon wafer", "instrument": ["Maker Camera 1"], "start": "2026-03-01T11:00:00Z",
        "bbox": [-11.25, -50.51, -11.25, -50.51],
    }  # fmt: skip
    assert found["altitude_m"] == -12.5
    assert "partial" not in found


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li>Silicon wafer</rdf:li>'
    "</rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def test_a_place_without_its_hemisphere_is_not_guessed(tmp_path: Path) -> None:
    """Degrees of EXIF that are said to be neither north nor south, or neither east nor west, are no place."""
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({2: (50.0, 30.0, 36.0), 4: (11.0, 15.0, 0.0)})
    Image.new("RGB", (8, 8)).save(tmp_path / "a", "JPEG", exif=exif)
    found = image.extract(str(tmp_path / "a"))
    assert not {"latitude_deg", "longitude_deg", "common"} & set(found)


def test_a_projection_of_its_own_is_not_the_system_below_it(tmp_path: Path) -> None:
    """A map whose projection has no number has none, though that of its datum is said: no box, no other system."""
    keys = (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 2048, 0, 1, 4269, 3072, 0, 1, 32767)
    scale, tie = (1.0, 1.0, 0.0), (0.0, 0.0, 0.0, 10.0, 20.0, 0.0)
    tags = [(33550, "d", 3, scale, True), (33922, "d", 6, tie, True), (34735, "H", 20, keys, True)]
    tifffile.imwrite(tmp_path / "a", np.zeros((4, 5), "u1"), extratags=tags)
    found = image.extract(str(tmp_path / "a"))
    assert "epsg" not in found["geo"]
    assert not {"crs", "bbox"} & set(found.get("common", {}))


def iloc(sizes: int, base: bytes, extents: bytes, count: int = 1) -> bytes:
    """Return a box `iloc` of version 0 with item 1 (ISO/IEC 14496-12, 8.11.3)."""
    content = bytes(4) + struct.pack(">HHHH", sizes, 1, 1, 0) + base + struct.pack(">H", count) + extents
    return struct.pack(">I4s", len(content) + 8, b"iloc") + content


def heif_with(places: bytes) -> bytes:
    """Return a HEIC of 40 x 30 pixels whose EXIF is item 1, which lies where a box `iloc` says."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", len(content) + 8, kind) + content

    size = box(b"ispe", struct.pack(">III", 0, 40, 30))
    links = box(b"ipma", struct.pack(">IIHBB", 0, 1, 2, 1, 1))
    entry = box(b"infe", struct.pack(">IHH4sx", 2 << 24, 1, 0, b"Exif"))
    meta = bytes(4) + box(b"iprp", box(b"ipco", size) + links) + box(b"iinf", struct.pack(">IH", 0, 1) + entry)
    return box(b"ftyp", b"heic" + bytes(4) + b"mif1") + box(b"meta", meta + places)


@each_row("place", [1 << 62, 1 << 63, (1 << 64) - 1, 1 << 20])
def test_exif_that_is_not_where_heic_says_costs_only_itself(tmp_path: Path, place: int) -> None:
    """A HEIC whose EXIF is said to be at a place that no file has keeps its size, and says so in `partial`."""
    (tmp_path / "a").write_bytes(heif_with(iloc(0x4480, struct.pack(">Q", place), struct.pack(">II", 0, 9))))
    found = image.extract(str(tmp_path / "a"))
    assert (found["width"], found["height"]) == (40, 30)
    assert found["partial"] == "its EXIF is not where the file says, or too long"


def test_a_few_bytes_make_no_long_list_of_places() -> None:
    """Extents that take no bytes of the box are not counted out, whatever number of them is said."""
    heif = program("image", "image_heif")
    assert heif.locations(iloc(0, b"", b"", count=65_535)[8:], 1) == []
    assert heif.locations(iloc(0x4400, b"", struct.pack(">II", 5, 9))[8:], 1) == [(False, 5, 9)]
    assert heif.locations(iloc(0x4400, b"", struct.pack(">II", 5, 9))[8:], 2) == []
