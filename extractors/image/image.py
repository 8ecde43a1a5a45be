"""Pictures: size, kind, EXIF and place, and a thumbnail of 64 pixels as JPEG in base64.

Reads headers by Pillow, TIFF's by tifffile (image_tiff.py); pixels are decoded only for the thumbnail, and only
where they take little memory.
"""

from __future__ import annotations

import base64
import io
import math
import os
import re
import warnings
from typing import Any

import extractor_batch
from PIL import ExifTags, Image

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "JPEG2000", "PPM")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
THUMBNAIL = 64  # pixels of its longer edge
MAX_PIXELS = 24_000_000  # of a picture that is decoded
MAX_DECODED = 256 << 20  # bytes of a file that is decoded
MAX_TEXT = 500
MAX_ITEMS = 16
MAX_TAGS = 100
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")

Image.MAX_IMAGE_PIXELS = None  # reading a header is no bomb; MAX_PIXELS holds where pixels are decoded


def plain(value: Any) -> Any:
    """Return a tag's value as JSON knows it; None where JSON cannot hold it, or would become too long."""
    if isinstance(value, bytes):
        return plain(value.decode("ascii")) if len(value) <= MAX_TEXT and value.isascii() else None
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", " ").strip().encode("utf-8", "replace").decode()
    if isinstance(value, (bool, int)):
        return value if -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, (tuple, list)):
        parts = [plain(part) for part in value] if len(value) <= MAX_ITEMS else [None]
        return parts if all(part is not None for part in parts) else None
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def named(values: Any, names: Any) -> dict[str, Any]:
    """Return tags by name; those that have none, or no value for JSON, are left out."""
    found: dict[str, Any] = {}
    for number, value in list(values.items())[:MAX_TAGS]:
        if (name := names.get(number)) and name not in ("MakerNote", "UserComment"):
            kept = plain(value)
            if kept is not None and kept != "":
                found[name] = kept
    return found


def exif(picture: Image.Image) -> dict[str, Any]:
    """Return what the camera says: `exif` by names of the tags, and the place in degrees and metres."""
    tags = picture.getexif()
    first = {} if picture.format == "TIFF" else tags  # those of a TIFF file are image_tiff's
    found = named({key: value for key, value in first.items() if key not in (0x8769, 0x8825)}, ExifTags.TAGS)
    found |= named(tags.get_ifd(ExifTags.IFD.Exif), ExifTags.TAGS)
    document: dict[str, Any] = {"exif": found} if found else {}
    gps = named(tags.get_ifd(ExifTags.IFD.GPSInfo), ExifTags.GPSTAGS)
    for key, limit in (("Latitude", 90), ("Longitude", 180)):
        place = gps.get(f"GPS{key}")
        if isinstance(place, list) and len(place) == 3 and all(isinstance(part, (int, float)) for part in place):
            degrees = place[0] + place[1] / 60 + place[2] / 3600
            if abs(degrees) <= limit:
                south_or_west = gps.get(f"GPS{key}Ref") in ("S", "W")
                document[f"{key.lower()}_deg"] = round(-degrees if south_or_west else degrees, 7)
    if isinstance(height := gps.get("GPSAltitude"), (int, float)):
        document["altitude_m"] = height
    return document


def texts(picture: Image.Image) -> dict[str, Any]:
    """Return the words that a PNG file, or a comment, has beside the picture, and its dots per inch."""
    document: dict[str, Any] = {}
    words = {key: kept for key, value in list(picture.info.items())[:MAX_TAGS]
             if isinstance(value, str) and isinstance(kept := plain(value), str)}  # fmt: skip
    if isinstance(comment := picture.info.get("comment"), bytes):
        words["comment"] = plain(comment[:MAX_TEXT].decode("utf-8", "replace"))
    if words:
        document["text"] = {str(plain(key)): value for key, value in words.items()}
    dpi = plain(picture.info.get("dpi"))
    if isinstance(dpi, list) and dpi:
        document["dpi"] = round(float(dpi[0]), 2)
    return document


def thumbnail(picture: Image.Image, size: int) -> dict[str, Any]:
    """Return the picture as a JPEG of at most 64 pixels; nothing where it is large, a reason where it is broken."""
    picture.draft("RGB", (THUMBNAIL, THUMBNAIL))  # JPEG can be decoded at an eighth
    if picture.width * picture.height > MAX_PIXELS or size > MAX_DECODED:
        return {}
    try:
        if picture.mode in DEEP:
            small = _deep(picture)
        else:
            picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
            small = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        out = io.BytesIO()
        small.save(out, "JPEG", quality=60, optimize=True)
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, ZeroDivisionError) as exc:
        return {"partial": f"its pixels cannot be decoded: {_words(exc)}"}
    return {"thumbnail_jpeg": base64.b64encode(out.getvalue()).decode()}


def _deep(picture: Image.Image) -> Image.Image:
    """Return a picture of more than 8 bits, from its darkest to its brightest pixel."""
    import numpy as np  # noqa: PLC0415 - only such pictures need it

    factor = THUMBNAIL / max(*picture.size, THUMBNAIL)
    small = picture.resize(tuple(max(1, round(edge * factor)) for edge in picture.size), Image.Resampling.NEAREST)
    pixels = np.nan_to_num(np.asarray(small).astype("f8"), posinf=0, neginf=0)
    low, high = pixels.min(), pixels.max()
    return Image.fromarray(((pixels - low) * (255 / (high - low or 1))).clip(0, 255).astype("u1"))


def _words(exc: BaseException) -> str:
    return re.sub(r"'?/in/[^ ']*'?", "the file", str(plain(str(exc))))


def picture_document(path: str, size: int) -> dict[str, Any]:
    """Return the document of any picture but TIFF."""
    try:
        picture = Image.open(path, formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise ValueError("it is no picture of a kind that is read, or its header is broken") from None
    with picture:
        document: dict[str, Any] = {
            "format": str(picture.format).lower(),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "bands": len(picture.getbands()),
            "frames": 1,
        }
        try:
            document |= exif(picture)
            document |= texts(picture)
            if size <= MAX_DECODED and picture.width * picture.height <= MAX_PIXELS:
                document["frames"] = int(getattr(picture, "n_frames", 1))
                picture.seek(0)
        except (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, ZeroDivisionError) as exc:
            document["partial"] = f"its tags cannot be read: {_words(exc)}"
        return {
            **document,
            **{key: value for key, value in thumbnail(picture, size).items() if key not in document},
        }


def tiff_document(path: str, size: int) -> dict[str, Any]:
    """Return the document of a TIFF file; its thumbnail is Pillow's, which knows more compressions."""
    import image_tiff  # noqa: PLC0415 - only such files need it

    document = image_tiff.document(path)
    if document["width"] * document["height"] > MAX_PIXELS or document["bands"] > 4:
        return document
    try:
        with Image.open(path, formats=["TIFF"]) as picture:
            return {**thumbnail(picture, size), **exif(picture), **document}
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, ZeroDivisionError, RuntimeError):
        return document  # a kind of pixels that Pillow has no word for


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123
        start = file.read(4)
        size = os.fstat(file.fileno()).st_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiff_document(path, size) if start in TIFF else picture_document(path, size)


if __name__ == "__main__":
    extractor_batch.run(extract, isolated=True)
