"""Pictures: size, kind, EXIF, IPTC, XMP and place, and a thumbnail.

Reads headers by Pillow, TIFF's by tifffile (image_tiff.py), HEIC's by a reader of its boxes (image_heif.py); pixels
are decoded only for the thumbnail, and only where they take little memory. Gzip is seen through.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import extractor_threads  # noqa: F401 - before numpy
import image_heif
import image_tags as tags
from extractor_open import compression_of, content_of
from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "JPEG2000", "PPM", "PSD", "PCX", "DDS", "ICO", "ICNS",
           "SGI", "QOI", "XPM", "SUN")  # fmt: skip
MOVING = ("GIF", "PNG", "WEBP", "AVIF", "MPO")  # that may have more than one frame
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
THUMBNAIL = 128  # pixels of its longer edge
MAX_PIXELS = 24_000_000  # of a picture that is decoded
MAX_DECODED = 256 << 20  # bytes of a file that is decoded
MAX_UNPACKED = 64 << 20  # bytes of a file that is compressed as a whole
# How a picture must be turned to stand upright, by EXIF's Orientation
TURNS = dict(zip(range(2, 9), (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180,
                               Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE,
                               Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE,
                               Image.Transpose.ROTATE_90), strict=True))  # fmt: skip
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
READING = (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, ZeroDivisionError, RuntimeError,
           IndexError, AttributeError, NotImplementedError)  # fmt: skip
TARGA_END = b"TRUEVISION-XFILE.\0"

Image.MAX_IMAGE_PIXELS = None  # reading a header is no bomb; MAX_PIXELS holds where pixels are decoded


def thumbnail(picture: Image.Image, size: int) -> tuple[dict[str, str] | None, str]:
    """Return the picture as a JPEG of at most 128 pixels; None where it is large, with a reason where broken."""
    picture.draft("RGB", (THUMBNAIL, THUMBNAIL))  # JPEG can be decoded at an eighth
    if picture.width * picture.height > MAX_PIXELS or size > MAX_DECODED:
        return None, ""
    try:
        turn = TURNS.get(picture.getexif().get(0x0112, 1))
        if picture.mode in DEEP:
            small = _deep(picture)
        else:
            picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
            small = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        return jpeg(small if turn is None else small.transpose(turn)), ""
    except READING as exc:
        return None, f"its pixels cannot be decoded: {words(exc)}"


def jpeg(small: Image.Image) -> dict[str, str]:
    """Return a small picture for the preview."""
    out = io.BytesIO()
    small.save(out, "JPEG", quality=60, optimize=True)
    return facts.thumbnail("image/jpeg", out.getvalue())


def _deep(picture: Image.Image) -> Image.Image:
    """Return a picture of more than 8 bits, from its darkest to its brightest pixel."""
    import numpy as np  # noqa: PLC0415 - only such pictures need it

    factor = THUMBNAIL / max(*picture.size, THUMBNAIL)
    small = picture.resize(tuple(max(1, round(edge * factor)) for edge in picture.size), Image.Resampling.NEAREST)
    pixels = np.nan_to_num(np.asarray(small).astype("f8"), posinf=0, neginf=0)
    low, high = pixels.min(), pixels.max()
    return Image.fromarray(((pixels - low) * (255 / (high - low or 1))).clip(0, 255).astype("u1"))


def words(exc: BaseException) -> str:
    """Return what went wrong, without the name that the file has for us."""
    return re.sub(r"'?/in/[^ ']*'?|<_io\.[^>]*>|<gzip[^>]*>", "the file", str(tags.plain(str(exc))))


def is_targa(file: BinaryIO, size: int) -> bool:
    """Whether a file has Targa's end, or a header that makes sense and no more pixels than it could have."""
    file.seek(max(0, size - len(TARGA_END)))
    if file.read() == TARGA_END:
        return True
    file.seek(0)
    head = file.read(18)
    if len(head) < 18 or head[1] > 1 or head[2] not in {1, 2, 3, 9, 10, 11} or head[16] not in {8, 15, 16, 24, 32}:
        return False
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    mapped, colours = head[1], int.from_bytes(head[5:7], "little")
    if not width or not height or (head[2] & 7 == 1) != (mapped == 1) or (not mapped and any(head[3:8])):
        return False
    table = colours * -(-head[7] // 8) if mapped else 0
    pixels = width * height * -(-head[16] // 8)
    start = 18 + head[0] + table
    return start < size if head[2] > 8 else start + pixels <= size <= start + pixels + 65_536


def picture_document(file: BinaryIO, size: int) -> dict[str, Any]:
    """Return the document of any picture but TIFF and HEIC."""
    try:
        file.seek(0)
        picture = Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError:
        if not is_targa(file, size):
            raise ValueError("it is not a picture in a supported format, or its header is broken") from None
        file.seek(0)
        picture = Image.open(file, formats=["TGA"])
    with picture:
        cut, reasons = tags.Cut(), []
        document: dict[str, Any] = {
            "format": str(picture.format).lower(),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "bands": len(picture.getbands()),
        }
        try:
            document |= tags.exif(picture.getexif(), cut)
            document |= tags.texts(picture, cut)
            document |= tags.iptc(picture)
            document |= tags.xmp(tags.packet_of(picture))
        except READING as exc:
            reasons.append(f"its tags cannot be read: {words(exc)}")
        try:
            document |= frames(picture, size)
        except READING as exc:
            reasons.append(f"its frames cannot be counted: {words(exc)}")
        small, reason = thumbnail(picture, size)
        reasons += [each for each in (reason, cut.reason()) if each]
    document |= facts.common(**tags.common(document))
    document |= facts.preview(thumbnail=small)
    return document | ({"partial": "; ".join(reasons)} if reasons else {})


def frames(picture: Image.Image, size: int) -> dict[str, int]:
    """Return how many frames there are; nothing where that would take reading a large file."""
    if picture.format not in MOVING:
        return {"frames": 1}
    if size > MAX_DECODED or picture.width * picture.height > MAX_PIXELS:
        return {}
    count = int(getattr(picture, "n_frames", 1))
    picture.seek(0)
    return {"frames": count}


def tiff_document(file: BinaryIO, size: int) -> dict[str, Any]:
    """Return the document of a TIFF file; its thumbnail is Pillow's, which knows more compressions."""
    import image_tiff  # noqa: PLC0415 - only such files need it

    cut = tags.Cut()
    document, said = image_tiff.document(file, cut)
    small = None
    reasons = [document.pop("partial")] if "partial" in document else []
    if document["width"] * document["height"] <= MAX_PIXELS and document["bands"] <= 4:
        try:
            file.seek(0)
            with Image.open(file, formats=["TIFF"]) as picture:
                said_there = tags.exif(picture.getexif(), cut, tiff=True) | tags.iptc(picture)
                document = {**said_there, **tags.xmp(tags.packet_of(picture)), **document}
                small, reason = thumbnail(picture, size)
                reasons += [reason] if reason else []
        except READING:
            pass  # a kind of pixels that Pillow has no word for
    told = tags.common(document)
    told |= {key: value for key, value in said.items() if value}
    document |= facts.common(**told) | facts.preview(thumbnail=small)
    reasons += [reason] if (reason := cut.reason()) else []
    return document | ({"partial": "; ".join(reasons)} if reasons else {})


def heif_document(file: BinaryIO) -> dict[str, Any]:
    """Return the document of a HEIC file, whose pixels are not decoded."""
    document, camera, packet = image_heif.document(file)
    cut, reasons = tags.Cut(), [document.pop("partial")] if "partial" in document else []
    try:
        if camera:
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + camera)
            document |= tags.exif(exif, cut)
        document |= tags.xmp(packet)
    except READING as exc:
        reasons.append(f"its tags cannot be read: {words(exc)}")
    reasons += [reason] if (reason := cut.reason()) else []
    document |= facts.common(**tags.common(document))
    return document | ({"partial": "; ".join(reasons)} if reasons else {})


def document_of(file: BinaryIO, size: int) -> dict[str, Any]:
    """Return the document of an open file by how it begins."""
    start = file.read(256)
    if start[:4] in TIFF:
        file.seek(0)
        return tiff_document(file, size)
    if image_heif.is_heif(start):
        return heif_document(file)
    return picture_document(file, size)


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file, warnings.catch_warnings():  # noqa: PTH123
        warnings.simplefilter("ignore")
        compression = compression_of(file.read(16))
        file.seek(0)
        if not compression:
            return document_of(file, os.fstat(file.fileno()).st_size)
        content = content_of(file, compression, MAX_UNPACKED)
        return document_of(io.BytesIO(content), len(content)) | {"packed": compression}


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
