"""MATLAB's files of level 5: names, classes and shapes of the variables; the rest of each is passed over."""

from __future__ import annotations

import re
import struct
import time
import zlib
from typing import Any

import extractor_facts as facts
from array_listing import Listing, exactly

CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "float64", 7: "float32", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip
MATRIX, COMPRESSED = 14, 15
BEGINNING = 1 << 16  # of a variable that is expanded
MAX_VARIABLES = 1_000_000
CREATED = re.compile(r"[Cc]reated on: (\w{3} \w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4})")
PLATFORM = re.compile(r"Platform: ([^,]+)")


def mat5(stream: Any, listing: Listing) -> dict[str, Any]:
    """List the variables of a file, and return what its header says."""
    header = exactly(stream, 128)
    order = {b"IM": "<", b"MI": ">"}.get(header[126:])
    if order is None:
        raise ValueError("it is not a MATLAB 5 file: its byte-order mark is missing")
    text = header[:116].decode("latin-1").replace("\0", " ").strip()
    found: dict[str, Any] = {
        "format": "mat5",
        "header": facts.text(text),
        "byte_order": "little" if order == "<" else "big",
    }
    found |= said_by(text)
    for _ in range(MAX_VARIABLES):
        tag = stream.read(8)
        if not tag:
            break
        if len(tag) < 8 or not variable(stream, tag, order, listing):
            break
    return found


def said_by(text: str) -> dict[str, Any]:
    """Return what the words of a header say: on which platform it was written, and when."""
    found: dict[str, Any] = {}
    if said := PLATFORM.search(text):
        found["platform"] = facts.text(re.sub(r"\s+[Cc]reated on.*", "", said[1]))
    if said := CREATED.search(text):
        found |= created(said[1])
    return found


def created(text: str) -> dict[str, str]:
    """Return a time as C writes it, without its zone."""
    try:
        return {"created": time.strftime("%Y-%m-%dT%H:%M:%S", time.strptime(text, "%a %b %d %H:%M:%S %Y"))}
    except ValueError:
        return {}


def variable(stream: Any, tag: bytes, order: str, listing: Listing) -> bool:
    """Take one variable; return whether another may follow."""
    kind, size = struct.unpack(order + "II", tag)
    beginning = stream.read(min(size, BEGINNING))
    left = size - len(beginning)
    if kind == COMPRESSED:
        try:
            beginning = zlib.decompressobj().decompress(beginning, BEGINNING)[8:]
        except zlib.error as exc:
            listing.reasons.append(f"a variable cannot be expanded: {exc}")
            beginning = b""
    elif kind != MATRIX:
        listing.reasons.append(f"what follows has the unknown type {kind}")
        return False
    try:
        if beginning:
            matrix(beginning, order, listing)
    except (struct.error, ValueError, IndexError) as exc:
        listing.reasons.append(f"a variable cannot be read: {facts.text(str(exc))}")
    while left > 0 and (more := stream.read(min(left, 1 << 20))):
        left -= len(more)
    if left > 0:
        listing.reasons.append(f"the file ends {left} bytes before its last variable does")
    return left <= 0


def parts(data: bytes, order: str, count: int) -> list[bytes]:
    """Return the first elements of a variable: a small one has its length in the upper half of its type."""
    found, at = [], 0
    for _ in range(count):
        (word,) = struct.unpack_from(order + "I", data, at)
        if word >> 16:
            found.append(data[at + 4 : at + 4 + (word >> 16)])
            at += 8
            continue
        (size,) = struct.unpack_from(order + "I", data, at + 4)
        found.append(data[at + 8 : at + 8 + size])
        at += 8 + size + -size % 8
    return found


def word(name: bytes) -> str:
    """Return a name, which has ASCII; programs that allow others write UTF-8."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")


def matrix(data: bytes, order: str, listing: Listing) -> None:
    """List a variable by its flags, dimensions and name."""
    (flags_at,) = struct.unpack_from(order + "I", data, 8)
    kind = CLASSES.get(flags_at & 255, "")
    if not kind:
        raise ValueError(f"it has the unknown class {flags_at & 255}")
    if kind == "opaque":  # has no dimensions: its name comes first
        listing.add(word(parts(data, order, 2)[1]), kind, ())
        return
    _, dimensions, name = parts(data, order, 3)
    if not name:
        return  # what functions of the file refer to, and no variable
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions[: len(dimensions) // 4 * 4])
    marks = {"complex": flags_at >> 11 & 1, "global": flags_at >> 10 & 1, "logical": flags_at >> 9 & 1}
    listing.add(word(name), kind, shape, **{mark: True for mark, on in marks.items() if on})
