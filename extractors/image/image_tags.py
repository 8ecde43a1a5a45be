"""Tags that pictures carry, as JSON has them: EXIF, IPTC, XMP and texts; and what of them is for `common`."""

from __future__ import annotations

import math
from typing import Any

import extractor_facts as facts
import extractor_xmp
from PIL import ExifTags, Image, IptcImagePlugin

MAX_TEXT = 4000
MAX_ITEMS = 100
MAX_TAGS = 1000
# What is not for people: the maker's own bytes, and the same again
UNSHOWN = {
    "MakerNote",
    "ExifOffset",
    "GPSInfo",
    "ExifInteroperabilityOffset",
    "XMLPacket",
    "IPTCNAA",
    "ImageResources",
    "InterColorProfile",
    "PrintImageMatching",
    "ComponentsConfiguration",
    "FileSource",
    "SceneType",
    "CFAPattern",
    "JPEGInterchangeFormat",
    "JPEGInterchangeFormatLength",
}
# Datasets of IPTC IIM 4.2, record 2
IPTC = {5: "title", 25: "keywords", 80: "creator", 105: "headline", 110: "credit", 116: "rights",
        120: "description", 90: "city", 101: "country", 55: "date_created", 60: "time_created"}  # fmt: skip
IPTC_LISTS = ("keywords", "creator")


class Cut:
    """Names of tags that are cut or left out."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def add(self, name: Any) -> None:
        """Remember one."""
        self.names[str(name)[:60]] = None

    def reason(self) -> str:
        """Return the reason of `partial`; empty where all is there."""
        if not self.names:
            return ""
        shown = list(self.names)[:10]
        more = ", ..." if len(self.names) > len(shown) else ""
        return f"{len(self.names)} tags are cut or left out: {', '.join(shown)}{more}"


def plain(value: Any) -> Any:
    """Return a tag's value as JSON knows it; None where JSON cannot hold it."""
    if isinstance(value, bytes):
        text = value.rstrip(b"\0 ")
        return plain(text.decode("ascii")) if text.isascii() and text.decode("ascii").isprintable() else None
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", " ").strip().encode("utf-8", "replace").decode()
    if isinstance(value, (bool, int)):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, (tuple, list)):
        parts = [plain(part) for part in value[:MAX_ITEMS]]
        return parts if all(part is not None for part in parts) else None
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def comment(value: bytes) -> str:
    """Return the text of EXIF's UserComment, whose first 8 bytes name its characters."""
    kind, text = value[:8].rstrip(b"\0 "), value[8:]
    coding = {b"UNICODE": "utf-16", b"JIS": "iso2022_jp"}.get(kind, "utf-8")
    return " ".join(text.decode(coding, "replace").replace("\0", " ").split())


def named(values: Any, names: Any, cut: Cut) -> dict[str, Any]:
    """Return tags by name; those that have none, or only bytes, are left out."""
    found: dict[str, Any] = {}
    for number, value in values.items():
        name = names.get(number)
        if not name or name in UNSHOWN:
            continue
        if name == "UserComment" and isinstance(value, bytes):
            value = comment(value)  # noqa: PLW2901 - the same in text
        if len(found) >= MAX_TAGS:
            cut.add(name)
            continue
        if (isinstance(value, str) and len(value) > MAX_TEXT) or (
            isinstance(value, (tuple, list)) and len(value) > MAX_ITEMS
        ):
            cut.add(name)
        kept = plain(value)
        if kept is not None and kept not in ("", []):
            found[name] = kept
    return found


def exif(tags: Image.Exif, cut: Cut, *, tiff: bool = False) -> dict[str, Any]:
    """Return what the camera says: `exif` by names of the tags, and the place in degrees and metres.

    Of a TIFF file the first tags are image_tiff's.
    """
    first = {} if tiff else tags
    found = named({key: value for key, value in first.items() if key not in (0x8769, 0x8825)}, ExifTags.TAGS, cut)
    found |= named(tags.get_ifd(ExifTags.IFD.Exif), ExifTags.TAGS, cut)
    document: dict[str, Any] = {"exif": found} if found else {}
    gps = named(tags.get_ifd(ExifTags.IFD.GPSInfo), ExifTags.GPSTAGS, cut)
    for key, limit in (("Latitude", 90), ("Longitude", 180)):
        place, side = gps.get(f"GPS{key}"), str(gps.get(f"GPS{key}Ref", "")).strip().upper()[:1]
        if isinstance(place, list) and len(place) == 3 and all(isinstance(part, (int, float)) for part in place):
            degrees = place[0] + place[1] / 60 + place[2] / 3600
            if abs(degrees) <= limit and side in {"Latitude": "NS", "Longitude": "EW"}[key] and side:
                document[f"{key.lower()}_deg"] = round(-degrees if side in "SW" else degrees, 7)
    if isinstance(height := gps.get("GPSAltitude"), (int, float)):
        below = (
            gps.get("GPSAltitudeRef") in (1, "\x01", "1") or tags.get_ifd(ExifTags.IFD.GPSInfo).get(5) == b"\x01"
        )
        document["altitude_m"] = -height if below else height
    return document


def texts(picture: Image.Image, cut: Cut) -> dict[str, Any]:
    """Return the words that a PNG file, or a comment, has beside the picture, and its dots per inch."""
    document: dict[str, Any] = {}
    words: dict[str, str] = {}
    for key, value in picture.info.items():
        if not isinstance(value, str) or key == "XML:com.adobe.xmp" or not (kept := plain(value)):
            continue
        if len(words) >= MAX_TAGS or len(value) > MAX_TEXT:
            cut.add(key)
        if len(words) < MAX_TAGS:
            words[str(plain(key))] = kept
    if isinstance(found := picture.info.get("comment"), bytes) and (
        kept := plain(found.decode("utf-8", "replace"))
    ):
        words["comment"] = kept
    if words:
        document["text"] = words
    dpi = plain(picture.info.get("dpi"))
    if isinstance(dpi, list) and dpi and dpi[0] is not None:
        document["dpi"] = round(float(dpi[0]), 2)
    return document


def packet_of(picture: Image.Image) -> Any:
    """Return the picture's XMP; None where it has none."""
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    return picture.getexif().get(0x02BC) if packet is None and picture.format == "TIFF" else packet


def xmp(packet: Any) -> dict[str, Any]:
    """Return what a packet of XMP says, in `xmp`.

    Raises:
        ValueError: it is broken.
    """
    found = extractor_xmp.read(packet) if isinstance(packet, (bytes, str)) and packet else {}
    return {"xmp": found} if found else {}


def iptc(picture: Image.Image) -> dict[str, Any]:
    """Return what the picture's IPTC datasets say, in `iptc`."""
    records = IptcImagePlugin.getiptcinfo(picture) or {}
    found: dict[str, Any] = {}
    for number, key in IPTC.items():
        value = records.get((2, number))
        several = value if isinstance(value, list) else [value] if value else []
        words = [word for each in several if isinstance(each, bytes) and (word := plain(_decoded(each)))]
        if words:
            found[key] = (
                facts.first(words, facts.MAX_NAMES, f"texts of {key} in its IPTC")
                if key in IPTC_LISTS
                else words[0]
            )
    return {"iptc": found} if found else {}


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def common(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the tags say for `common`."""
    exif_, tags, words = document.get("exif", {}), document.get("tags", {}), document.get("text", {})
    told, old = document.get("xmp", {}), document.get("iptc", {})
    camera = [" ".join(str(each[key]) for key in ("Make", "Model") if each.get(key)) for each in (exif_, tags)]
    zone = exif_.get("OffsetTimeOriginal", "")
    taken = str(exif_.get("DateTimeOriginal", ""))
    keywords = [*told.get("subject", ()), *old.get("keywords", ())] or _split(words.get("Keywords", ""))
    point = [document.get("longitude_deg"), document.get("latitude_deg")]
    software = [told.get("creator_tool"), exif_.get("Software"), tags.get("Software"), words.get("Software")]
    return {
        "title": told.get("title") or old.get("title") or old.get("headline") or words.get("Title"),
        "creator": told.get("creator") or old.get("creator") or _people(exif_, tags, words),
        "instrument": [each for each in camera if each],
        "start": facts.moment(taken + zone) or facts.moment(taken),
        "created": _first_moment(told.get("created"), exif_.get("DateTimeDigitized"), tags.get("DateTime"),
                                 exif_.get("DateTime"), words.get("Creation Time")),
        "keywords": keywords,
        "software": [each for each in software if isinstance(each, str)],
        "bbox": facts.box(*point, *point),
        "doi": [*told.get("identifier", ()), told.get("description", ""), words.get("DOI", "")],
    }  # fmt: skip


def _people(*tables: dict[str, Any]) -> list[str]:
    names = [table.get(key) for table in tables for key in ("Artist", "Author")]
    return [part.strip() for name in names if isinstance(name, str) for part in name.split(";") if part.strip()]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.replace(";", ",").split(",") if part.strip()]


def _first_moment(*values: Any) -> str | None:
    return next((found for value in values if (found := facts.moment(value))), None)
