"""Words of a PDF file's metadata: clean text, dates, names of authors. Part of the extractor `pdf`."""

from __future__ import annotations

import re

import extractor_facts as facts

MAX_NAME = 300
DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(Z)|([+-]\d\d)'?(\d\d)?)?")
# Characters of PDFDocEncoding that Latin-1 has not at these places (ISO 32000-1, annex D.2)
OWN = dict(
    zip(
        "˘ˇˆ˙˝˛˚˜•†‡…—–ƒ⁄‹›−‰„“”‘’‚™ﬁﬂŁŒŠŸŽıłœšž€",  # noqa: RUF001 - as they stand there
        [*range(0x18, 0x20), *range(0x80, 0x9F), 0xA0], strict=True,
    )
)  # fmt: skip
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def clean(text: str, limit: int) -> str:
    """Return text that JSON and a database can hold, cut at `limit` characters."""
    return UNPRINTABLE.sub(" ", text[:limit].encode("utf-8", "replace").decode()).strip()


def as_meant(text: str) -> str:
    """Return as such a text whose bytes are UTF-8: PDFium takes them for PDFDocEncoding, as the standard has it."""
    try:
        meant = bytes(OWN.get(sign, ord(sign)) or 0x9F for sign in text).decode("utf-8")
    except ValueError:
        return text
    if "\0" not in text:
        return meant
    # PDFium shows 0x9F and 0xAD, which stand for no character, as 0: what they are part of is not known
    return bytes(OWN.get(sign, ord(sign)) or 0xFF for sign in text).decode("utf-8", "replace")


def iso(date: str) -> str:
    """Return a PDF date (ISO 32000-1, 7.9.4) as ISO 8601; empty for what is none."""
    match = DATE.match(date.strip())
    if not match:
        return ""
    year, month, day, hour, minute, second, zulu, zone, zone_minutes = match.groups()
    made = "-".join(part for part in (year, month, day) if part)
    if day and hour:
        made += f"T{hour}:{minute or '00'}:{second or '00'}"
        made += "Z" if zulu else f"{zone}:{zone_minutes or '00'}" if zone else ""
    return made if facts.moment(made) else ""


def authors(text: str) -> list[str]:
    """Return the names in the author's field: apart by ; and & `and`, by commas only between full names."""
    parts = [part.strip() for part in re.split(r";|&|\band\b", text)]
    if len(parts) == 1:
        names = [part.strip() for part in text.split(",")]
        parts = names if all(" " in name for name in names) else [text.strip()]
    return [clean(part, MAX_NAME) for part in parts if part]
