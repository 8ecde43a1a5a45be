"""Where the XMP of a PDF file stands (ISO 32000-2, 14.3.2), which PDFium does not tell.

It is looked for at both ends of the file, in streams that are not compressed or by Flate.
"""

from __future__ import annotations

import re
import zlib
from typing import BinaryIO

HEAD_BYTES, TAIL_BYTES = 2 << 20, 6 << 20
MAX_PACKET = 1 << 20
MAX_DICTIONARY = 4000
MAX_OBJECTS = 200
METADATA, CATALOG = re.compile(rb"/Type\s*/Metadata\b"), re.compile(rb"/Type\s*/Catalog\b")
NUMBER = re.compile(rb"(\d+)\s+(\d+)\s+$")
REFERENCE = re.compile(rb"/Metadata\s+(\d+)\s+(\d+)\s+R")
FLATE = re.compile(rb"/Filter\s*\[?\s*/FlateDecode\s*\]?\s*(/|>>)")
Number = tuple[bytes, ...]


def packet(file: BinaryIO, size: int) -> bytes:
    """Return the XMP of the document; empty where there is none, or it cannot be told from that of pictures."""
    file.seek(0)
    data = file.read(HEAD_BYTES)
    if size > len(data):
        file.seek(max(len(data), size - TAIL_BYTES))
        data += file.read(TAIL_BYTES)
    found: dict[Number, bytes] = {}
    for _, match in zip(range(MAX_OBJECTS), METADATA.finditer(data), strict=False):
        number, head, end = dictionary(data, match.start(), b"stream")
        if number and (content := decoded(data, head, end)):
            found[number] = content  # of two versions of an object the later one
    for match in reversed(list(CATALOG.finditer(data))):
        _, head, _ = dictionary(data, match.start(), b"endobj")
        if (reference := REFERENCE.search(head)) and (content := found.get(reference.groups())):
            return content
    if len(found) == 1:
        return next(iter(found.values()))
    documents = [content for content in found.values() if b"ns.adobe.com/pdf/" in content or b"pdfaid" in content]
    return documents[-1] if documents else b""


def dictionary(data: bytes, place: int, end: bytes) -> tuple[Number, bytes, int]:
    """Return number and dictionary of the object around a place, and where it ends; an empty number for none."""
    start = data.rfind(b"obj", max(0, place - MAX_DICTIONARY), place)
    stop = data.find(end, place, place + MAX_DICTIONARY)
    number = NUMBER.search(data, max(0, start - 24), max(0, start))
    return (number.groups() if number and stop > 0 else ()), data[start:stop], stop + len(end)


def decoded(data: bytes, head: bytes, place: int) -> bytes:
    """Return the content of a stream of XMP; empty where it is another one, or has a filter that is not known."""
    place += 2 if data[place : place + 2] == b"\r\n" else 1
    if b"/Filter" not in head:
        end = data.find(b"endstream", place, place + MAX_PACKET)
        return data[place:end].rstrip(b"\r\n") if end > 0 else b""
    if not FLATE.search(head + b">>"):
        return b""
    try:
        return zlib.decompressobj().decompress(data[place : place + MAX_PACKET], MAX_PACKET)
    except zlib.error:
        return b""
