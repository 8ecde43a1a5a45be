"""The preview of a FITS file: its units, a thumbnail of the first image, head and lines of the first table."""

from __future__ import annotations

import io
import math
from typing import Any, BinaryIO

import extractor_facts as facts
import numpy as np
from fits_astropy import fits

THUMBNAIL = 128  # pixels of its longer edge
MAX_IMAGE = 1 << 30  # bytes of an image of which single rows are read
MAX_ROW = 1 << 20
MAX_TABLE = 2 << 20  # bytes of a table that are read
MAX_LINES = 8
TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def thumbnail(file: BinaryIO, place: int, header: Any, axes: list[int], dtype: int) -> dict[str, str] | None:
    """Return the first plane of an image from its darkest to its brightest hundredth, north of pixels upwards."""
    if len(axes) < 2 or min(axes[:2]) < 2 or dtype not in TYPES:
        return None
    width, height = axes[:2]
    kind = np.dtype(TYPES[dtype])
    if width * kind.itemsize > MAX_ROW or width * height * kind.itemsize > MAX_IMAGE:
        return None
    step = max(1, math.ceil(max(width, height) / THUMBNAIL))
    rows = []
    for row in range(step // 2, height, step):
        file.seek(place + row * width * kind.itemsize)
        data = file.read(width * kind.itemsize)
        if len(data) < width * kind.itemsize:
            return None
        rows.append(np.frombuffer(data, kind)[step // 2 :: step].astype("f8"))
    pixels = np.array(rows[::-1])
    scale = header.get("BSCALE", 1)
    if isinstance(scale, (int, float)) and scale < 0:
        pixels = -pixels
    finite = pixels[np.isfinite(pixels)]
    if dtype > 0 and isinstance(blank := header.get("BLANK"), int):
        finite = finite[finite != blank]
    if not finite.size:
        return None
    low, high = np.percentile(finite, (1, 99))
    shown = np.nan_to_num((pixels - low) * (255 / ((high - low) or 1)), nan=0, posinf=255, neginf=0)
    from PIL import Image  # noqa: PLC0415 - a batch without images does not wait for it

    out = io.BytesIO()
    Image.fromarray(shown.clip(0, 255).astype("u1")).save(out, "JPEG", quality=60, optimize=True)
    return facts.thumbnail("image/jpeg", out.getvalue())


def rows_of(file: BinaryIO, place: int, header: Any) -> Any:
    """Return a table's first rows as an HDU of its own; None where they are not there."""
    width, count = int(header["NAXIS1"]), int(header["NAXIS2"])
    count = min(count, MAX_TABLE // max(1, width))
    if width < 1 or count < 1:
        return None
    short = header.copy()
    short["NAXIS2"], short["PCOUNT"] = count, 0
    file.seek(place)
    data = file.read(width * count)
    if len(data) < width * count:
        return None
    kind = fits.BinTableHDU if short["XTENSION"].strip() == "BINTABLE" else fits.TableHDU
    return kind.fromstring(short.tostring().encode("latin-1") + data.ljust(-(-len(data) // 2880) * 2880, b"\0"))


def table(hdu: Any, whole: bool) -> tuple[dict[str, Any], list[dict[str, Any] | None]]:
    """Return the head of a table, and the lines of its numeric columns where all rows are here."""
    names, columns, lines = list(hdu.columns.names)[: facts.MAX_COLUMNS], [], []
    for column in list(hdu.columns)[: facts.MAX_COLUMNS]:
        if column.format[:1] in "PQ" or "P" in column.format[:4]:  # its values lie elsewhere
            columns.append([None] * facts.MAX_ROWS)
            continue
        try:
            values = np.asarray(hdu.data[column.name])
        except (ValueError, TypeError, KeyError, IndexError, OSError, AttributeError):
            columns.append([None] * facts.MAX_ROWS)
            continue
        columns.append([_cell(value) for value in values[: facts.MAX_ROWS]])
        if whole and values.ndim == 1 and values.dtype.kind in "iuf" and len(values) > 1 and len(lines) < MAX_LINES:
            line = facts.Line(column.name, column.unit or "")
            line.add(values.astype("f8").tolist())
            lines.append(line.shown())
    count = min(facts.MAX_ROWS, len(hdu.data))
    return facts.table(names, [[column[row] for column in columns] for row in range(count)]), lines


def _cell(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return str(value[:16].tolist())
    return value.item() if isinstance(value, np.generic) else value
