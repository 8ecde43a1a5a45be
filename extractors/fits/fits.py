"""FITS: what the headers of its units say, where an image lies on the sky, and which columns its tables have.

Reads headers only, by astropy, and skips the data, so a file of any size is quick. Keywords keep their names.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, BinaryIO

import extractor_batch
from astropy.io import fits

MAX_UNITS = 100
MAX_CARDS = 200  # keywords of one header that are in the document
MAX_VALUES = 3000  # of the whole document
MAX_COLUMNS = 200
MAX_TEXT = 500
MAX_HEADER = 8 << 20  # of the first unit, in bytes
BLOCK = 2880
# What describes the layout of the data, and is told in other keys
STRUCTURE = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "EXTEND", "CHECKSUM",
             "DATASUM", "ZIMAGE", "ZSIMPLE", "ZTENSION", "ZBITPIX", "ZNAXIS", "ZPCOUNT", "ZGCOUNT", "ZCMPTYPE",
             "COMMENT", "HISTORY", "CONTINUE", "")  # fmt: skip
NUMBERED = ("NAXIS", "TTYPE", "TFORM", "TUNIT", "TDIM", "TNULL", "TSCAL", "TZERO", "TDISP", "TBCOL", "ZNAXIS",
            "ZTILE", "ZNAME", "ZVAL")  # fmt: skip
DTYPES = {8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}
WCS_KEYS = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT")


def plain(value: Any) -> Any:
    """Return a keyword's value as JSON knows it; None where JSON cannot hold it."""
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", " ").encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else float(value)
    return value if isinstance(value, float) and math.isfinite(value) else None


def value_of(header: fits.Header, key: str) -> Any:
    """Return a keyword's value; None where it is missing or cannot be read."""
    try:
        return plain(header.get(key))
    except (ValueError, TypeError, fits.VerifyError):
        return None


def number_of(header: fits.Header, key: str) -> int:
    """Return a keyword's whole number, 0 where it has none that makes sense."""
    value = value_of(header, key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


def keywords(header: fits.Header, room: int) -> dict[str, Any]:
    """Return at most `room` of a header's keywords that do not describe the layout of its data."""
    found: dict[str, Any] = {}
    for key in list(header)[: 10 * MAX_CARDS]:
        if key in STRUCTURE or key in found or (key.rstrip("0123456789") in NUMBERED and key[-1:].isdigit()):
            continue
        if len(found) >= min(room, MAX_CARDS):
            break
        if (value := value_of(header, key)) is not None:
            found[key[:MAX_TEXT]] = value
    return found


def axes(header: fits.Header, prefix: str) -> list[int]:
    """Return the lengths of an image's axes, NAXIS1 first."""
    count = min(number_of(header, f"{prefix}NAXIS"), 99)
    return [number_of(header, f"{prefix}NAXIS{place}") for place in range(1, count + 1)]


def wcs(header: fits.Header) -> dict[str, Any]:
    """Return the world coordinates of the reference pixel, axis by axis (FITS standard 4.0, section 8)."""
    found: dict[str, Any] = {}
    for place in range(1, 10):
        axis = {key.lower(): value_of(header, f"{key}{place}") for key in WCS_KEYS}
        if axis["ctype"] is not None or axis["crval"] is not None:
            found[f"axis{place}"] = {key: value for key, value in axis.items() if value is not None}
    for key in ("RADESYS", "EQUINOX", "SPECSYS", "WCSNAME"):
        if found and (value := value_of(header, key)) is not None:
            found[key.lower()] = value
    return found


def columns(header: fits.Header) -> dict[str, dict[str, Any]]:
    """Return the columns of a table by name."""
    found: dict[str, dict[str, Any]] = {}
    for place in range(1, min(number_of(header, "TFIELDS"), MAX_COLUMNS) + 1):
        name = str(value_of(header, f"TTYPE{place}") or f"column{place}").strip()
        column = {"format": value_of(header, f"TFORM{place}"), "unit": value_of(header, f"TUNIT{place}")}
        found[name if name not in found else f"{name}_{place}"] = {
            key: value for key, value in column.items() if value is not None
        }
    return found


def unit(hdu: Any, room: int) -> dict[str, Any]:
    """Return what one unit is: an image, a compressed image, or a table."""
    header = hdu.header
    packed = value_of(header, "ZIMAGE") is True
    if "TFIELDS" in header and not packed:
        described = columns(header)
        found = {
            "type": "table",
            "rows": number_of(header, "NAXIS2"),
            "column_count": number_of(header, "TFIELDS"),
            "columns": list(described),
            "column": described,
        }
    else:
        prefix = "Z" if packed else ""
        found = {
            "type": "image",
            "axes": axes(header, prefix),
            "dtype": DTYPES.get(value_of(header, f"{prefix}BITPIX"), "unknown"),
        }
        if packed:
            found["compression"] = value_of(header, "ZCMPTYPE") or "unknown"
    if coordinates := wcs(header):
        found["wcs"] = coordinates
    found["header"] = keywords(header, room)
    return found


def sky(units: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return right ascension and declination of the first reference pixel that has both, in degrees."""
    for one in units.values():
        found = {}
        for axis in one.get("wcs", {}).values():
            kind = axis.get("ctype") if isinstance(axis, dict) else None
            for start, key in (("RA-", "ra_deg"), ("DEC", "dec_deg")):
                if isinstance(kind, str) and kind.startswith(start) and isinstance(axis.get("crval"), (int, float)):
                    found[key] = axis["crval"]
        if len(found) == 2:
            return found
    return {}


def check_start(file: BinaryIO) -> None:
    """Raise ValueError where a file is no FITS file, or its first header has no end."""
    data = file.read(BLOCK)
    if not data.startswith(b"SIMPLE  ="):
        raise ValueError("it is no FITS file")
    for _ in range(MAX_HEADER // BLOCK):
        if any(data[at : at + 8] == b"END     " for at in range(0, len(data), 80)):
            return
        if not (data := file.read(BLOCK)):
            raise ValueError("its first header has no END: the file is cut off")
    raise ValueError(f"its first header is longer than {MAX_HEADER} bytes")


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123
        check_start(file)
    units: dict[str, dict[str, Any]] = {}
    partial, room = "", MAX_VALUES
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        with fits.open(path, memmap=False, lazy_load_hdus=True, disable_image_compression=True) as hdus:
            place = 0
            try:
                while place < MAX_UNITS:
                    hdu = hdus[place]
                    name = str(plain(str(hdu.name)) or "").strip() or f"unit{place}"
                    found = unit(hdu, room)
                    room = max(0, room - len(found["header"]) - 3 * found.get("column_count", 0))
                    units[name if name not in units else f"{name}_{place}"] = found
                    place += 1
            except IndexError:
                pass
            except (OSError, ValueError, TypeError, KeyError, fits.VerifyError) as exc:
                if not units:
                    raise
                partial = f"unit {place} cannot be read: {plain(str(exc))}"
    if place >= MAX_UNITS:
        partial = f"units beyond {MAX_UNITS} are left out"
    for remark in remarks:
        if "truncated" in str(remark.message):
            partial = partial or plain(str(remark.message))
    first = next(iter(units.values()))
    document = {"format": "fits", "unit_count": len(units), "units": list(units), "header": first.pop("header"),
                "unit": units, **sky(units)}  # fmt: skip
    return {**document, **({"partial": partial} if partial else {})}


if __name__ == "__main__":
    extractor_batch.run(extract, isolated=True)
