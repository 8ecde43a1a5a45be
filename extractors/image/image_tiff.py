"""TIFF and BigTIFF by tifffile: pages, tags, OME-XML of microscopes, and where a GeoTIFF lies."""

from __future__ import annotations

import enum
import math
import xml.etree.ElementTree as ET
from typing import Any

import tifffile

MAX_PAGES = 1000
MAX_TEXT = 500
MAX_XML = 8 << 20
MAX_IMAGES = 20
MAX_ITEMS = 16
# Tags that are told in other keys, or hold the data's places
LAYOUT = {"ImageWidth", "ImageLength", "BitsPerSample", "StripOffsets", "StripByteCounts", "TileOffsets",
          "TileByteCounts", "FreeOffsets", "FreeByteCounts", "JPEGTables", "InterColorProfile",
          "ColorMap"}  # fmt: skip
SIZES = ("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")
PHYSICAL = ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement")


def plain(value: Any) -> Any:  # noqa: PLR0911 - a type a line
    """Return a tag's value as JSON knows it; None where JSON cannot hold it, or would become too long."""
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, bytes):
        return plain(value.decode("utf-8", "replace")) if len(value) <= MAX_TEXT else None
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", " ").strip().encode("utf-8", "replace").decode()
    if isinstance(value, (bool, int)):
        return value if -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (tuple, list)) and 0 < len(value) <= MAX_ITEMS:
        parts = [plain(part) for part in value]
        return parts if all(part is not None for part in parts) else None
    return None


def document(path: str) -> dict[str, Any]:
    """Return what the tags of a TIFF file say."""
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages.first
        found: dict[str, Any] = {
            "format": "bigtiff" if tiff.is_bigtiff else "tiff",
            "width": int(first.imagewidth),
            "height": int(first.imagelength),
            "bands": int(first.samplesperpixel),
            "dtype": str(first.dtype),
            "tags": tags(first),
        }
        compression = plain(first.compression)
        if isinstance(compression, (str, int)):
            found["compression"] = compression
        found["frames"], partial = pages(tiff)
        try:
            if first.is_geotiff and (place := geo(first)):
                found["geo"] = place
            if isinstance(xml := first.description, str) and tiff.is_ome and (ome := from_ome(xml)):
                found["ome"] = ome
        except (ValueError, TypeError, KeyError, IndexError, ET.ParseError) as exc:
            partial = partial or f"its OME or GeoTIFF tags cannot be read: {plain(str(exc))}"
        return {**found, **({"partial": partial} if partial else {})}


def tags(page: Any) -> dict[str, Any]:
    """Return the tags of a page by their names."""
    found: dict[str, Any] = {}
    for tag in list(page.tags)[:200]:
        if tag.name in LAYOUT or tag.count > 1 << 16 or tag.name.isdigit() or tag.name.startswith(("Geo", "Model")):
            continue
        try:
            value = plain(tag.value)
        except (ValueError, TypeError, OSError, tifffile.TiffFileError):
            continue
        if value is not None and value != "":
            found[tag.name] = rational(tag, value)
    return found


def rational(tag: Any, value: Any) -> Any:
    """Return the number of a tag that holds numerator and denominator."""
    if tag.dtype in (5, 10) and isinstance(value, list) and len(value) == 2:
        return value[0] / value[1] if value[1] else value[0]
    return value


def pages(tiff: tifffile.TiffFile) -> tuple[int, str]:
    """Return how many pages there are, and why not all of them are counted."""
    count, seen = 0, set()
    try:
        while count < MAX_PAGES:
            offset = tiff.pages[count].offset
            if offset in seen:
                return count, "its pages lead in a circle"
            seen.add(offset)
            count += 1
    except IndexError:
        return count, ""
    except (ValueError, TypeError, OSError, tifffile.TiffFileError, ZeroDivisionError, KeyError) as exc:
        return max(count, 1), f"page {count} cannot be read: {plain(str(exc))}"
    return count, f"pages beyond {MAX_PAGES} are not counted"


def geo(page: Any) -> dict[str, Any]:
    """Return where the picture lies: coordinate system (EPSG), pixel size, and edges in that system."""
    found: dict[str, Any] = {}
    keys = page.geotiff_tags or {}
    for name in ("ProjectedCSTypeGeoKey", "GeographicTypeGeoKey"):
        number = keys.get(name)
        if isinstance(number, int) and 0 < number < 32767:  # 32767: user-defined
            found.setdefault("epsg", int(number))
    if isinstance(words := keys.get("GTCitationGeoKey"), str):
        found["citation"] = plain(words)
    scale, tie = keys.get("ModelPixelScale"), keys.get("ModelTiepoint")
    if scale and tie and len(scale) >= 2 and len(tie) >= 6 and all(map(math.isfinite, [*scale[:2], *tie[:6]])):
        west, north = tie[3] - tie[0] * scale[0], tie[4] + tie[1] * scale[1]
        found["pixel_size"] = [float(scale[0]), float(scale[1])]
        found |= {"west": west, "north": north}
        found |= {"east": west + page.imagewidth * scale[0], "south": north - page.imagelength * scale[1]}
    return found


def from_ome(xml: str) -> dict[str, Any]:
    """Return what OME-XML says of its images: names, sizes in pixels and physical units, channels, time."""
    if len(xml) > MAX_XML or "<!DOCTYPE" in xml[:4096] or "<!ENTITY" in xml:
        raise ValueError("its OME-XML is too long, or has entities")
    images: dict[str, Any] = {}
    root = ET.fromstring(xml)  # noqa: S314 - no entities
    for place, image in enumerate(root.findall("{*}Image")[:MAX_IMAGES]):
        found: dict[str, Any] = {}
        pixels = image.find("{*}Pixels")
        attributes = {} if pixels is None else pixels.attrib
        found |= {key: int(attributes[key]) for key in SIZES if attributes.get(key, "").isdecimal()}
        for key in PHYSICAL:
            if key in attributes and math.isfinite(number := float(attributes[key])):
                found |= {
                    key: number,
                    f"{key}Unit": attributes.get(f"{key}Unit", "s" if key[0] == "T" else "µm")[:20],
                }
        if pixels is not None:
            names = [channel.get("Name") or channel.get("ID", "") for channel in pixels.findall("{*}Channel")]
            found |= {
                "Type": attributes.get("Type", "")[:20],
                "channels": [name[:MAX_TEXT] for name in names[:100]],
            }
        if (date := image.findtext("{*}AcquisitionDate")) is not None:
            found["AcquisitionDate"] = date[:50]
        images[(image.get("Name") or f"image{place}")[:MAX_TEXT]] = found
    return {"images": list(images), "image": images}
