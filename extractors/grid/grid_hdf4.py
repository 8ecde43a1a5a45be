"""HDF4 and HDF-EOS 2: datasets, tables, attributes, and what the metadata of satellites' products say."""

from __future__ import annotations

import math
import re
from typing import Any

import extractor_facts as facts
import grid_numpy  # noqa: F401 - before pyhdf
import pyhdf.VS  # noqa: F401 - pyhdf.HDF needs it
from pyhdf.error import HDF4Error
from pyhdf.HDF import HDF
from pyhdf.SD import SD, SDC

MAX_DATASETS = 500
MAX_ATTRIBUTES = 200
TYPES = {
    4: "char", 3: "uchar", 5: "float32", 6: "float64", 20: "int8", 21: "uint8", 22: "int16", 23: "uint16",
    24: "int32",
    25: "uint32",
}  # fmt: skip
BROKEN = (HDF4Error, ValueError, TypeError, OverflowError, UnicodeDecodeError, AttributeError, IndexError)
OBJECT = re.compile(r'\bOBJECT\s*=\s*(\w+)\b(?:(?!END_OBJECT).)*?\bVALUE\s*=\s*\(?\s*"?([^"\n)]*)', re.DOTALL)
METADATA = re.compile(r"(core|archive|struct)metadata(\.\d+)?$", re.IGNORECASE)
PLACES = ("WESTBOUNDINGCOORDINATE", "SOUTHBOUNDINGCOORDINATE", "EASTBOUNDINGCOORDINATE", "NORTHBOUNDINGCOORDINATE")


def said_by(thing: Any, reasons: list[str]) -> dict[str, Any]:
    """Return all attributes as the library reads them."""
    try:
        return dict(thing.attributes())
    except BROKEN as exc:
        reasons.append(f"attributes cannot be read: {facts.text(str(exc))[:100]}")
        return {}


def attributes(said: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
    """Return single values and short lists; long texts are metadata."""
    found: dict[str, Any] = {}
    for name, value in said.items():
        shown = [plain(one) for one in value[:100]] if isinstance(value, (list, tuple)) else plain(value)
        key = facts.text(name, 300)
        if not key or METADATA.match(name) or shown in ("", None):
            continue
        if len(found) == MAX_ATTRIBUTES:
            reasons.append(f"of {len(said)} attributes {MAX_ATTRIBUTES} are listed")
            break
        found[key] = shown
    return found


def plain(value: Any) -> Any:
    """Return a value as a document has it."""
    if isinstance(value, str):
        return facts.text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, int) else None


def eos(said: dict[str, Any]) -> dict[str, Any]:
    """Return what core metadata of HDF-EOS say, by the names of their objects."""
    text = "".join(value for name, value in sorted(said.items()) if METADATA.match(name) and isinstance(value, str))
    found: dict[str, str] = {}
    for name, value in OBJECT.findall(text[: 4 << 20]):
        found.setdefault(name.upper(), value.strip())
    return found


def common(core: dict[str, str], top: dict[str, Any], units: list[str]) -> dict[str, Any]:
    """Return what is said under the shared keys."""
    moments = {}
    for key, word in (("start", "BEGINNING"), ("end", "ENDING")):
        day, hour = core.get(f"RANGE{word}DATE", ""), core.get(f"RANGE{word}TIME", "")
        moments[key] = f"{day}T{hour.partition('.')[0]}Z" if day and hour else day
    try:
        sides = [float(core[name]) for name in PLACES]
    except (KeyError, ValueError):
        sides = []
    title = top.get("title") or core.get("LONGNAME") or core.get("SHORTNAME")
    return moments | {
        "title": title, "bbox": facts.box(*sides) if sides else None, "units": units,
        "instrument": [core.get("ASSOCIATEDINSTRUMENTSHORTNAME"), core.get("ASSOCIATEDPLATFORMSHORTNAME")],
        "created": core.get("PRODUCTIONDATETIME"), "keywords": [core.get("SHORTNAME")],
    }  # fmt: skip


def hdf4(path: str, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the document of a file, its common facts, and its parts for `preview`.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        file = SD(path, SDC.READ)
        count, _ = file.info()
    except BROKEN as exc:
        raise ValueError(f"HDF4 cannot read it: {facts.text(str(exc))}") from None
    datasets: dict[str, dict[str, Any]] = {}
    units: list[str] = []
    for number in range(min(count, MAX_DATASETS)):
        try:
            one = file.select(number)
            name, _, sides, kind, _ = one.info()
            shape = [int(side) for side in (sides if isinstance(sides, (list, tuple)) else [sides])]
            about: dict[str, Any] = {
                "dtype": TYPES.get(kind, f"type {kind}"),
                "shape": [max(0, side) for side in shape],
            }
            about["dimensions"] = [facts.text(one.dim(place).info()[0], 300) for place in range(len(shape))]
            if said := attributes(said_by(one, reasons), reasons):
                about["attributes"] = said
                units += [said["units"]] if isinstance(said.get("units"), str) else []
            datasets.setdefault(facts.text(name, 300) or f"dataset {number}", about)
        except BROKEN as exc:
            reasons.append(f"dataset {number} cannot be read: {facts.text(str(exc))[:100]}")
    if count > MAX_DATASETS:
        reasons.append(f"of {count} datasets {MAX_DATASETS} are listed")
    whole = said_by(file, reasons)
    top, core = attributes(whole, reasons), eos(whole)
    document: dict[str, Any] = {
        "format": "hdf4",
        "dataset_count": count,
        "datasets": list(datasets),
        "dataset": datasets,
    }
    document |= {"attributes": top} if top else {}
    if any(METADATA.match(name) for name in whole):
        document["conventions"] = ["HDF-EOS"]
    document |= tables(path)
    tree = [
        {"path": name, "about": f"{one['dtype']} {' x '.join(map(str, one['shape']))}"}
        for name, one in datasets.items()
    ]
    return document, common(core, top, units), {"tree": tree}


def tables(path: str) -> dict[str, Any]:
    """Return names and rows of the tables (Vdata) that are the file's own."""
    found: dict[str, int] = {}
    try:
        file = HDF(path)
        place = file.vstart()
        for name, kind, _, rows, *_ in place.vdatainfo()[:MAX_DATASETS]:
            if not kind.startswith(("Attr", "Dim", "CDF", "_HDF", "RI")) and facts.text(name):
                found[facts.text(name, 300)] = int(rows)
        place.end()
        file.close()
    except BROKEN:
        pass
    return {"tables": found} if found else {}
