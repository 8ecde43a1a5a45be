"""TIFF and BigTIFF by tifffile: pages, tags, OME-XML of microscopes, and where a GeoTIFF lies."""

from __future__ import annotations

import enum
import math
import xml.etree.ElementTree as ET
from typing import Any, BinaryIO

import extractor_facts as facts
import tifffile
from image_place import box_of

MAX_PAGES = 10_000
MAX_TEXT = 4000
MAX_XML = 8 << 20
MAX_TAGS = 1000
MAX_CHANNELS = 1000
MAX_IMAGES = 100
MAX_ITEMS = 100
# Tags that are told in other keys, or hold the data's places
LAYOUT = {"ImageWidth", "ImageLength", "BitsPerSample", "StripOffsets", "StripByteCounts", "TileOffsets",
          "TileByteCounts", "FreeOffsets", "FreeByteCounts", "JPEGTables", "InterColorProfile",
          "ColorMap", "XMP", "IPTCNAA", "ImageResources", "ExifTag", "GPSTag"}  # fmt: skip
SIZES = ("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")
KINDS_OF_MODEL = {1: ("ProjectedCSTypeGeoKey",), 2: ("GeographicTypeGeoKey",)}
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
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (tuple, list)) and value:
        parts = [plain(part) for part in value[:MAX_ITEMS]]
        return parts if all(part is not None for part in parts) else None
    return None


def document(file: BinaryIO, cut: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the tags of a TIFF file say, and what of it is for `common`."""
    said: dict[str, Any] = {}
    with tifffile.TiffFile(file) as tiff:
        first = tiff.pages.first
        found: dict[str, Any] = {
            "format": "bigtiff" if tiff.is_bigtiff else "tiff",
            "width": int(first.imagewidth),
            "height": int(first.imagelength),
            "bands": int(first.samplesperpixel),
            "dtype": str(first.dtype),
            "tags": tags(first, cut),
        }
        compression = plain(first.compression)
        if isinstance(compression, (str, int)):
            found["compression"] = compression
        found["frames"], partial = pages(tiff)
        try:
            if first.is_geotiff and (place := geo(first)):
                found["geo"] = place
                said |= where(place)
            if isinstance(xml := first.description, str) and tiff.is_ome and (ome := from_ome(xml, cut)):
                said |= ome.pop("said")
                found["ome"] = ome
        except (ValueError, TypeError, KeyError, IndexError, ET.ParseError) as exc:
            partial = partial or f"its OME or GeoTIFF tags cannot be read: {plain(str(exc))}"
        return {**found, **({"partial": partial} if partial else {})}, said


def tags(page: Any, cut: Any) -> dict[str, Any]:
    """Return the tags of a page by their names; those without a name are left out."""
    found: dict[str, Any] = {}
    for tag in page.tags:
        if tag.name in LAYOUT or tag.name.isdigit() or tag.name.startswith(("Geo", "Model")):
            continue
        told = tag.name == "ImageDescription" and page.is_ome  # under `ome`, however long it is
        if (tag.count > 1 << 16 and not told) or len(found) >= MAX_TAGS:
            cut.add(tag.name)
            continue
        try:
            value = tag.value
        except (ValueError, TypeError, OSError, tifffile.TiffFileError):
            cut.add(tag.name)
            continue
        most = MAX_TEXT if isinstance(value, (str, bytes)) else MAX_ITEMS
        if isinstance(value, (str, bytes, tuple)) and len(value) > most and not told:
            cut.add(tag.name)
        if (value := plain(value)) is not None and value != "":
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
    model = keys.get("GTModelTypeGeoKey")  # the system below a projection is not that of the coordinates
    for name in KINDS_OF_MODEL.get(model, KINDS_OF_MODEL[1] + KINDS_OF_MODEL[2]):
        number = keys.get(name)
        if isinstance(number, int) and 0 < number < 32767:  # 32767: user-defined
            found.setdefault("epsg", int(number))
    if isinstance(words := keys.get("GTCitationGeoKey"), str):
        found["citation"] = plain(words)
    scale, tie, matrix = keys.get("ModelPixelScale"), keys.get("ModelTiepoint"), keys.get("ModelTransformation")
    width, height = page.imagewidth, page.imagelength
    half = (
        0.5 if keys.get("GTRasterTypeGeoKey") == 2 else 0.0
    )  # a place is that of a pixel's middle, not its corner
    if scale and tie and len(scale) >= 2 and len(tie) >= 6 and all(map(math.isfinite, [*scale[:2], *tie[:6]])):
        west, north = tie[3] - (tie[0] + half) * scale[0], tie[4] + (tie[1] + half) * scale[1]
        found["pixel_size"] = [float(scale[0]), float(scale[1])]
        found |= {"west": west, "north": north}
        found |= {"east": west + width * scale[0], "south": north - height * scale[1]}
    elif matrix is not None and len(cells := [float(each) for row in matrix for each in _row(row)]) >= 8:
        corners = [(x - half, y - half) for x in (0, width) for y in (0, height)]
        across = [cells[0] * x + cells[1] * y + cells[3] for x, y in corners]
        along = [cells[4] * x + cells[5] * y + cells[7] for x, y in corners]
        if all(map(math.isfinite, [*across, *along])):
            found["pixel_size"] = [math.hypot(cells[0], cells[4]), math.hypot(cells[1], cells[5])]
            found |= {"west": min(across), "north": max(along), "east": max(across), "south": min(along)}
    return found


def _row(row: Any) -> Any:
    return row if hasattr(row, "__iter__") else (row,)


def where(place: dict[str, Any]) -> dict[str, Any]:
    """Return coordinate system and box in degrees for `common`."""
    epsg = place.get("epsg")
    found: dict[str, Any] = {"crs": f"EPSG:{epsg}" if epsg else place.get("citation")}
    if epsg and "west" in place:
        found["bbox"] = box_of(epsg, [place[side] for side in ("west", "south", "east", "north")])
    return found


def from_ome(xml: str, cut: Any) -> dict[str, Any]:
    """Return what OME-XML says of its images: names, sizes in pixels and physical units, channels, time."""
    if len(xml) > MAX_XML or "<!DOCTYPE" in xml[:4096] or "<!ENTITY" in xml:
        raise ValueError("its OME-XML is too long or uses entities")
    images: dict[str, Any] = {}
    root = ET.fromstring(xml)  # noqa: S314 - no entities
    described = root.findall("{*}Image")
    if len(described) > MAX_IMAGES:
        cut.add(f"{len(described) - MAX_IMAGES} images of OME")
    for place, image in enumerate(described[:MAX_IMAGES]):
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
            if len(names) > MAX_CHANNELS:
                cut.add(f"{len(names) - MAX_CHANNELS} channels of OME")
            found |= {
                "Type": attributes.get("Type", "")[:20],
                "channels": [name[:MAX_TEXT] for name in names[:MAX_CHANNELS]],
            }
        if (date := image.findtext("{*}AcquisitionDate")) is not None:
            found["AcquisitionDate"] = date[:50]
        images[(image.get("Name") or f"image{place}")[:MAX_TEXT]] = found
    return {"images": list(images), "image": images, "said": about(root, images)}


def about(root: ET.Element, images: dict[str, Any]) -> dict[str, Any]:
    """Return what OME says for `common`: when, with which microscope, and who did it."""
    dates = [when for image in images.values() if (when := facts.moment(image.get("AcquisitionDate")))]
    scopes = [each.find("{*}Microscope") for each in root.findall("{*}Instrument")]
    makes = [
        " ".join(filter(None, (one.get("Manufacturer"), one.get("Model")))) for one in scopes if one is not None
    ]
    people = [
        " ".join(filter(None, (one.get("FirstName"), one.get("LastName")))) for one in root.iter("{*}Experimenter")
    ]
    return {
        "start": min(dates, default=None),
        "instrument": [make for make in makes if make],
        "creator": [name for name in people if name],
        "software": [root.get("Creator", "")] if root.get("Creator") else [],
    }
