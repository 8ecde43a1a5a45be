"""Geographic data: GeoJSON, GeoPackage, shapefiles, LAS and LAZ, GPX and KML: layers, extent, coordinate system.

Texts are read as streams, also within gzip, bzip2, xz and zstd; of the others headers are read. A GeoPackage
is opened
read-only, as a file that does not change, and nothing of what it holds runs.
"""

from __future__ import annotations

import os
import re
import zipfile
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
from extractor_open import Source

SECONDS = 25
SQLITE = b"SQLite format 3\0"
SHAPES = b"\0\0\x27\x0a"
WKT = re.compile(r"\s*(PROJCS|GEOGCS|GEOCCS|COMPD_CS|LOCAL_CS|PROJCRS|GEOGCRS|GEODCRS|BOUNDCRS|COMPOUNDCRS)\[")
Found = tuple[dict[str, Any], dict[str, Any]]


def system(text: str) -> Found:
    """Return what a coordinate system in Well-Known Text (.prj) is.

    Raises:
        ValueError: it is none.
    """
    from geo_crs import of_wkt  # noqa: PLC0415 - each kind of file imports what it needs

    found = of_wkt(text)
    if not found:
        raise ValueError("it is not a coordinate system in Well-Known Text")
    return {"format": "wkt-crs"} | found, {}


def texts(source: Source, reasons: list[str]) -> Found:
    """Return what a text holds.

    Raises:
        ValueError: it is none that is read.
    """
    start = source.sample[:4096].decode("utf-8-sig", "replace").lstrip()
    if start.startswith(("{", "\x1e{")):
        from geo_json import geojson  # noqa: PLC0415

        return geojson(Unmarked(source), reasons)
    if start.startswith("<"):
        from geo_tracks import tracks  # noqa: PLC0415

        return tracks(source, reasons)
    if WKT.match(start):
        return system(source.sample.decode("utf-8", "replace"))
    raise ValueError("it holds no geographic data: not GeoJSON, GeoPackage, shapefile, LAS, GPX or KML")


class Unmarked:
    """A stream without a byte order mark, and with blanks for the marks between texts (RFC 8142)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._first = True

    def read(self, size: int = -1) -> bytes:
        """Return bytes."""
        data: bytes = self._source.read(size) or b""
        if self._first and size:
            data, self._first = data.removeprefix(b"\xef\xbb\xbf"), False
        return data.replace(b"\x1e", b" ")


def zipped(file: BinaryIO, reasons: list[str]) -> Found:
    """Return what a KMZ archive holds: the first KML file in it.

    Raises:
        ValueError: it is none.
    """
    from geo_tracks import tracks  # noqa: PLC0415

    try:
        with zipfile.ZipFile(file) as archive:
            name = next((name for name in archive.namelist() if name.lower().endswith(".kml")), None)
            if name is None:
                raise ValueError("it is an archive without KML")
            with archive.open(name) as stream:
                found, shown = tracks(stream, reasons)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as exc:
        raise ValueError(f"it is a broken archive: {facts.text(str(exc))}") from None
    return found | {"format": "kmz"}, shown


def read(path: str, file: BinaryIO, reasons: list[str]) -> Found:
    """Return what a file says and holds, and its parts for `preview`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(256)
    file.seek(0)
    if head.startswith(SQLITE):
        from geo_package import geopackage  # noqa: PLC0415

        return geopackage(path, reasons)
    if head.startswith(b"LASF"):
        from geo_las import las  # noqa: PLC0415

        return las(file, size, reasons)
    if head.startswith(SHAPES) and len(head) >= 100:
        from geo_shape import shapefile  # noqa: PLC0415

        return shapefile(file, size, reasons)
    if head.startswith(b"PK\x03\x04"):
        return zipped(file, reasons)
    from geo_shape import dbase, is_dbase  # noqa: PLC0415

    if is_dbase(head, size):
        return dbase(file, size, reasons)
    source = Source(file)
    found, shown = texts(source, reasons)
    if source.damage:
        reasons.append(f"its {source.compression} stream is damaged: {facts.text(source.damage)}")
    return found | ({"compression": source.compression} if source.compression else {}), shown


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    reasons: list[str] = []
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        try:
            with extractor_batch.within(SECONDS):
                document, shown = read(path, file, reasons)
        except extractor_batch.OutOfTime:
            raise ValueError(f"reading it took longer than {SECONDS} s") from None
    degrees = document.pop("degrees", False)
    extent = document.get("extent")
    document |= facts.common(
        title=document.get("title") or document.get("name"),
        creator=document.get("author"),
        start=document.get("start"),
        end=document.get("end"),
        created=document.get("created"),
        bbox=facts.box(*extent) if extent and degrees else None,
        crs=document.get("crs"),
        software=document.get("software"),
    )
    document |= facts.preview(**shown)
    return document | ({"partial": "; ".join(dict.fromkeys(reasons))[:4000]} if reasons else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
