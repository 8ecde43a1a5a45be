"""The small picture in a document's preview: bytes that a browser may show, or nothing.

An extractor wrote it, from a file of somebody's: only what begins as a JPEG or a PNG does, and is small when it is
unpacked, is given to a browser, and under the type that it is and not under the one that it says.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_CHARACTERS = 65_536
"""Of its base64; see extractors/schema/preview.json."""
MOST_PIXELS = 1_024
"""Most pixels in width and in height: a few bytes can claim to be a picture of gigabytes."""

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_JPEG = b"\xff\xd8\xff"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Second bytes of the markers of a JPEG behind which its height and width stand."""
_BEFORE_FRAMES = frozenset({0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE})
"""Those of segments that may stand before these: tables, restart interval, applications' own, comments.

Others, and fill bytes, have no length: decoders go on elsewhere, and may find another size there.
"""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture: its bytes, and what they are."""

    mime: str
    content: bytes


def of(body: Mapping[str, Any]) -> Thumbnail | None:
    """Return the picture of a document; None: it has none that may be shown."""
    preview = body.get("preview")
    found = preview.get("thumbnail") if isinstance(preview, Mapping) else None
    text = found.get("base64") if isinstance(found, Mapping) else None
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    for mime, size in (("image/png", _png_size(content)), ("image/jpeg", _jpeg_size(content))):
        if size is not None and min(size) > 0 and max(size) <= MOST_PIXELS:
            return Thumbnail(mime, content)
    return None


def _png_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG; None: it is none."""
    if not content.startswith(_PNG) or len(content) < len(_PNG) + 8:
        return None
    width, height = content[len(_PNG) :][:4], content[len(_PNG) + 4 :][:4]
    return int.from_bytes(width), int.from_bytes(height)


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG, from its first frame; None: it is none, or has no frame."""
    place = 2 if content.startswith(_JPEG) else len(content)
    while place + 9 <= len(content) and content[place] == 0xFF:
        if content[place + 1] in _FRAMES:
            return int.from_bytes(content[place + 7 : place + 9]), int.from_bytes(content[place + 5 : place + 7])
        # Each segment begins with its length, which counts itself.
        length = int.from_bytes(content[place + 2 : place + 4])
        if content[place + 1] not in _BEFORE_FRAMES or length < 2:
            return None
        place += 2 + length
    return None
