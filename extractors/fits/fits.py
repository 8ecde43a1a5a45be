"""FITS: what the headers of its units say, where an image lies on the sky, and which columns its tables have.

Reads headers by astropy and skips the data, but for some rows of the first image and table, so a file of any size
is quick. Keywords keep their names. Gzip, bzip2 and xz are seen through.
"""

from __future__ import annotations

import json
import math
import warnings
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import extractor_threads  # noqa: F401 - before numpy
import fits_preview as previews
from extractor_open import DAMAGED, compression_of, expanding, is_damage
from fits_astropy import fits
from fits_common import from_keywords, place_on_sky, why_no_place

MAX_UNITS = 200
MAX_CARDS = 1000  # keywords of one header that are in the document
MAX_BYTES = 500_000  # of all keywords and columns, as JSON
MAX_COLUMNS = 1000
MAX_TEXT = 4000
SECONDS = 15  # of reading units, per file
MAX_HEADER = 8 << 20  # of the first unit, in bytes
BLOCK = 2880
# What describes the layout of the data, and is told in other keys
STRUCTURE = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "EXTEND", "CHECKSUM",
             "DATASUM", "ZIMAGE", "ZTABLE", "ZTILELEN", "ZTHEAP", "ZSIMPLE",
             "ZTENSION", "ZBITPIX", "ZNAXIS", "ZPCOUNT", "ZGCOUNT", "ZCMPTYPE",
             "COMMENT", "HISTORY", "CONTINUE", "")  # fmt: skip
NUMBERED = ("NAXIS", "TTYPE", "TFORM", "TUNIT", "TDIM", "TNULL", "TSCAL", "TZERO", "TDISP", "TBCOL", "ZNAXIS",
            "ZTILE", "ZNAME", "ZVAL", "ZFORM", "ZCTYP")  # fmt: skip
DTYPES = {8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}
# BZERO by which whole numbers have another sign than BITPIX says (FITS standard 4.0, table 11)
SHIFTED = {(8, -128.0): "int8", (16, 32768.0): "uint16", (32, 2147483648.0): "uint32",
           (64, 9223372036854775808.0): "uint64"}  # fmt: skip
WCS_KEYS = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT")


class Room:
    """What the document has room for, and what it had none for."""

    def __init__(self) -> None:
        self.bytes = 0
        self.cut: dict[str, int] = {}

    def take(self, where: str, value: Any) -> bool:
        """Whether there is room for a value, which then takes it."""
        size = len(json.dumps(value)) + 16
        if self.bytes + size > MAX_BYTES:
            self.drop(where)
            return False
        self.bytes += size
        return True

    def drop(self, where: str, count: int = 1) -> None:
        """Remember that values are missing, or one is not all there."""
        self.cut[where] = self.cut.get(where, 0) + count

    def reasons(self) -> list[str]:
        """Return what is missing."""
        names = list(self.cut.items())
        return [f"{count} {where} are cut or left out" for where, count in names[:10]] + (
            ["..."] if len(names) > 10 else []
        )


def plain(value: Any) -> Any:
    """Return a keyword's value as JSON knows it; None where it has none. Whole numbers beyond 64 bits are texts."""
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", " ").encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, complex):
        return str(value)
    return value if isinstance(value, float) and math.isfinite(value) else None


def stated(value: Any) -> Any:
    """Return a keyword's value; None where it has none, and where it is a blank text, which says nothing."""
    return None if isinstance(value, str) and not value.strip() else value


class Keywords:
    """The keywords of one header; of equal ones the first counts, as in astropy, whose own look-ups take longer."""

    def __init__(self, header: fits.Header) -> None:
        self.header = header
        self.cards: dict[str, Any] = {}
        for card in header.cards:
            self.cards.setdefault(card.keyword, card)

    def value(self, key: str) -> Any:
        """Return a keyword's value; None where it is missing or cannot be read."""
        try:
            return plain(self.cards[key].value) if key in self.cards else None
        except (ValueError, TypeError, fits.VerifyError):
            return None

    def number(self, key: str) -> int:
        """Return a keyword's whole number, 0 where it has none that makes sense."""
        value = self.value(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


def keywords(header: Keywords, name: str, room: Room) -> dict[str, Any]:
    """Return a header's keywords that do not describe the layout of its data."""
    found: dict[str, Any] = {}
    kept = [
        key
        for key in header.cards
        if key not in STRUCTURE and not (key.rstrip("0123456789") in NUMBERED and key[-1:].isdigit())
    ]
    if len(kept) > MAX_CARDS:
        room.drop(f"keywords of {name}", len(kept) - MAX_CARDS)
    for key in kept[:MAX_CARDS]:
        value = header.value(key)
        if isinstance(value, str) and len(value) == MAX_TEXT:
            room.drop(f"texts of {name}")
        if value is not None and room.take(f"keywords of {name}", value):
            found[key[:MAX_TEXT]] = value
    return found


def remarks_of(header: fits.Header, name: str, room: Room) -> dict[str, str]:
    """Return the texts of COMMENT and HISTORY."""
    found: dict[str, str] = {}
    for keyword in ("COMMENT", "HISTORY"):
        try:
            text = "\n".join(str(line) for line in header[keyword]) if keyword in header else ""
        except (ValueError, TypeError, KeyError, fits.VerifyError):
            text = ""
        text = str(plain(text)).strip()
        if len(text) >= MAX_TEXT - 80:
            room.drop(f"lines of {keyword} of {name}")
        if text and room.take(f"lines of {keyword} of {name}", text):
            found[keyword.lower()] = text
    return found


def axes(header: Keywords, prefix: str) -> list[int]:
    """Return the lengths of an image's axes, NAXIS1 first."""
    count = min(header.number(f"{prefix}NAXIS"), 99)
    return [header.number(f"{prefix}NAXIS{place}") for place in range(1, count + 1)]


def dtype(header: Keywords, prefix: str) -> str:
    """Return the type of an image's values as they are meant, before BSCALE makes them other ones."""
    bits, zero, scale = (header.value(key) for key in (f"{prefix}BITPIX", "BZERO", "BSCALE"))
    try:
        shift = float(zero or 0) if scale in (None, 1) else 0.0
    except (ValueError, TypeError):
        shift = 0.0
    return SHIFTED.get((bits, shift)) or DTYPES.get(bits, "unknown")


def wcs(header: Keywords) -> dict[str, Any]:
    """Return the world coordinates of the reference pixel, axis by axis (FITS standard 4.0, section 8)."""
    found: dict[str, Any] = {}
    for place in range(1, 10):
        axis = {key.lower(): stated(header.value(f"{key}{place}")) for key in WCS_KEYS}
        if axis["ctype"] is not None or axis["crval"] is not None:
            found[f"axis{place}"] = {key: value for key, value in axis.items() if value is not None}
    for key, old in (("RADESYS", "RADECSYS"), ("EQUINOX", "EPOCH"), ("SPECSYS", ""), ("WCSNAME", "")):
        value = stated(header.value(key))
        if found and (value := stated(header.value(old)) if value is None else value) is not None:
            found[key.lower()] = value
    return found


def columns(header: Keywords, name_of_unit: str, room: Room, prefix: str) -> dict[str, dict[str, Any]]:
    """Return the columns of a table by name; `prefix` is Z where the table is compressed."""
    found: dict[str, dict[str, Any]] = {}
    count = header.number("TFIELDS")
    if count > MAX_COLUMNS:
        room.drop(f"columns of {name_of_unit}", count - MAX_COLUMNS)
    for place in range(1, min(count, MAX_COLUMNS) + 1):
        name = str(header.value(f"TTYPE{place}") or f"column{place}").strip()
        keys = {"format": f"{prefix or 'T'}FORM{place}", "unit": f"TUNIT{place}"}
        column = {key: stated(header.value(keyword)) for key, keyword in keys.items()}
        if not room.take(f"columns of {name_of_unit}", [name, name, column]):
            continue
        found[name if name not in found else f"{name}_{place}"] = {
            key: value for key, value in column.items() if value is not None
        }
    return found


def table(header: Keywords, name: str, room: Room) -> dict[str, Any]:
    """Return what a table is, as it was before it was compressed (FITS standard 4.0, 10.3)."""
    prefix = "Z" if header.value("ZTABLE") is True else ""
    described = columns(header, name, room, prefix)
    found = {
        "type": "table",
        "rows": header.number(f"{prefix}NAXIS2"),
        "column_count": header.number("TFIELDS"),
        "columns": list(described),
        "column": described,
    }
    if prefix:
        ways = {
            str(header.value(f"ZCTYP{place}") or "") for place in range(1, min(len(described), MAX_COLUMNS) + 1)
        }
        found["compression"] = ", ".join(sorted(filter(None, ways))) or "unknown"
    return found


def unit(hdu: Any, name: str, room: Room) -> dict[str, Any]:
    """Return what one unit is: an image, a compressed image, random groups, or a table."""
    header = Keywords(hdu.header)
    packed = header.value("ZIMAGE") is True
    if "TFIELDS" in header.cards and not packed:
        found = table(header, name, room)
    else:
        prefix = "Z" if packed else ""
        found = {"type": "image", "axes": axes(header, prefix), "dtype": dtype(header, prefix)}
        if packed:
            found["compression"] = header.value("ZCMPTYPE") or "unknown"
        if header.value("GROUPS") is True and found["axes"][:1] == [0]:  # the standard, 6.1: no first axis
            found |= {"type": "groups", "axes": found["axes"][1:], "groups": header.number("GCOUNT")}
    if coordinates := wcs(header):
        found["wcs"] = coordinates
    found["header"] = keywords(header, name, room)
    return found | remarks_of(header.header, name, room)


def check_start(file: BinaryIO) -> None:
    """Raise ValueError where a file is no FITS file, or its first header has no end."""
    data = file.read(BLOCK)
    if not data.startswith(b"SIMPLE  ="):
        raise ValueError("it is not a FITS file")
    for _ in range(MAX_HEADER // BLOCK):
        if any(data[at : at + 8] == b"END     " for at in range(0, len(data), 80)):
            return
        if not (data := file.read(BLOCK)):
            raise ValueError("its first header has no END: the file is cut off")
    raise ValueError(f"its first header is longer than {MAX_HEADER} bytes")


class Units:
    """The units of one file, and what of them is shown."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.room = file, Room()
        self.units: dict[str, dict[str, Any]] = {}
        self.shown: dict[str, Any] = {}
        self.headers: list[dict[str, Any]] = []
        self.reasons: list[str] = []

    def read(self) -> None:
        """Take unit by unit, as far as they are sound and time goes."""
        place = 0
        try:
            with (
                extractor_batch.within(SECONDS),
                fits.open(self.file, memmap=False, lazy_load_hdus=True, disable_image_compression=True) as hdus,
            ):
                while place < MAX_UNITS:
                    self.take(place, hdus[place])
                    place += 1
                self.reasons.append(f"units beyond {MAX_UNITS} are left out")
        except IndexError:
            pass
        except extractor_batch.OutOfTime:
            self.reasons.append(f"units are read as far as {SECONDS} s go")
        except (*DAMAGED, ValueError, TypeError, KeyError, fits.VerifyError) as exc:
            if not self.units:
                raise
            self.reasons.append(f"unit {place} cannot be read: {plain(str(exc))}")
        if not self.units:
            raise ValueError(f"its first unit cannot be read: {'; '.join(self.reasons) or 'it has none'}")

    def take(self, place: int, hdu: Any) -> None:
        """Take one unit."""
        name = str(plain(str(hdu.name)) or "").strip() or f"unit{place}"
        name = name if name not in self.units else f"{name}_{place}"
        found = unit(hdu, name, self.room)
        self.units[name] = found
        self.headers.append(found["header"])
        if place < 20:
            self.show(hdu, found)

    def show(self, hdu: Any, found: dict[str, Any]) -> None:
        """Look at the data of the first image and of the first table."""
        if found["type"] in self.shown or "compression" in found:
            return
        before = self.file.tell()
        try:
            start = hdu.fileinfo()["datLoc"]
            if found["type"] == "image":
                picture = previews.thumbnail(self.file, start, hdu.header, found["axes"], hdu.header["BITPIX"])
                self.shown |= {"image": picture} if picture else {}
            elif rows := previews.rows_of(self.file, start, hdu.header):
                self.shown["table"], self.shown["lines"] = previews.table(rows, len(rows.data) == found["rows"])
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, fits.VerifyError):
            pass  # the facts stay; there is just nothing to look at
        finally:
            self.file.seek(before)


def units_of(units: dict[str, dict[str, Any]]) -> list[str]:
    """Return the units of images and columns."""
    found = []
    for one in units.values():
        found += [one.get("header", {}).get("BUNIT")] + [
            each.get("unit") for each in one.get("column", {}).values()
        ]
    return [str(each) for each in found if each]


def about(one: dict[str, Any]) -> str:
    """Return what a unit is, in words."""
    if one["type"] == "table":
        return f"table, {one['rows']} rows, {one['column_count']} columns"
    return f"image {one['dtype']} {' x '.join(map(str, one['axes']))}".strip()


def document_of(file: BinaryIO) -> dict[str, Any]:
    """Return the document of an open file."""
    check_start(file)
    file.seek(0)
    found = Units(file)
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        found.read()
    reasons = found.reasons + found.room.reasons()
    for remark in remarks:
        if "truncated" in str(remark.message):
            reasons.append(str(plain(str(remark.message))))
            break
    units = found.units
    systems = [one.get("wcs", {}) for one in units.values()]
    place, system = next(
        ((there, wcs.get("radesys")) for wcs in systems if (there := place_on_sky(wcs))), ({}, None)
    )
    if not place and (reason := next(filter(None, map(why_no_place, systems)), "")):
        reasons.append(reason)
    common = facts.common(**from_keywords(found.headers), crs=system, units=units_of(units))
    tree = [{"path": name, "about": about(one)} for name, one in units.items()]
    preview = facts.preview(
        tree=tree,
        table=found.shown.get("table"),
        lines=found.shown.get("lines"),
        thumbnail=found.shown.get("image"),
    )
    first = next(iter(units.values()))
    document = {"format": "fits", "unit_count": len(units), "units": list(units), "header": first.pop("header"),
                "unit": units, **place, **common, **preview}  # fmt: skip
    return {**document, **({"partial": "; ".join(reasons)} if reasons else {})}


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123
        compression = compression_of(file.read(16))
        file.seek(0)
        if not compression:
            return document_of(file)
        try:
            with expanding(file, compression) as inner:
                return document_of(inner) | {"compression": compression}
        except Exception as exc:
            if not is_damage(exc):
                raise
            raise ValueError(f"its compressed content is broken: {plain(str(exc))}") from None


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
