"""7z archives: members from the header at their end, which is expanded where it is packed; members never are.

The layout is that of 7-Zip's own description (7zFormat.txt in its LZMA SDK).
"""

from __future__ import annotations

import lzma
import stat
import struct
import zlib
from array import array
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from archive_listing import Listing, iso

MAGIC = b"7z\xbc\xaf\x27\x1c"
START = 32  # bytes of the signature header; places are counted from its end
MAX_HEADER = 32 << 20  # bytes, packed or expanded
MAX_CODERS = 32  # of one folder, as 7-Zip has it
MAX_NAME = 1 << 16
HEADER, MAIN_STREAMS, FILES, PACKED_HEADER = 0x01, 0x04, 0x05, 0x17
PACK_INFO, FOLDERS_INFO, PARTS_INFO, SIZES, DIGESTS = 0x06, 0x07, 0x08, 0x09, 0x0A
FOLDER, FOLDER_SIZES, PARTS = 0x0B, 0x0C, 0x0D
EMPTY_STREAM, EMPTY_FILE, NAMES, CHANGED, ATTRIBUTES = 0x0E, 0x0F, 0x11, 0x14, 0x15
LZMA1, LZMA2, AES = "030101", "21", "06f10701"
METHODS = {
    "00": "stored", LZMA2: "lzma2", LZMA1: "lzma", "030401": "ppmd", "040108": "deflate", "040109": "deflate64",
    "040202": "bzip2", "04f71101": "zstd", "04f71104": "lz4", AES: "aes",
}  # fmt: skip
FILTERS = {"03", "04", "05", "06", "07", "08", "09", "0a", "030103", "03030103", "0303011b", "03030205", "03030401",
           "03030501", "03030701", "03030805"}  # fmt: skip
FOLDER_BIT, UNIX_BIT = 0x10, 0x8000  # of Windows' attributes; with the second the upper half is a mode of POSIX
TICKS, EPOCH = 10_000_000, 11_644_473_600  # of Windows: a second's, and the seconds from 1601 to 1970


class Cursor:
    """A place in a header."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raise ValueError where there are fewer."""
        if size > len(self.data) - self.at:
            raise ValueError("its header is cut off or damaged")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """Return the next number: the first byte's upper bits tell how many bytes follow."""
        first = self.byte()
        extra = 8 - (first ^ 0xFF).bit_length()
        low = int.from_bytes(self.take(extra), "little")
        return low if extra > 6 else low | (first & (0x7F >> extra)) << 8 * extra

    def count(self) -> int:
        """Return a number of things of which each takes a bit of the header, or more."""
        found = self.number()
        if found > 8 * len(self.data):
            raise ValueError("its header claims more than it can hold")
        return found

    def bits(self, count: int) -> bytes:
        """Return that many bits, the first of them uppermost."""
        return self.take((count + 7) // 8)

    def defined(self, count: int) -> bytes:
        """Return which of `count` things have a value."""
        return b"\xff" * ((count + 7) // 8) if self.byte() else self.bits(count)

    def digests(self, count: int) -> bytes:
        """Skip the checksums of `count` things; return which have one."""
        found = self.defined(count)
        self.take(4 * sum(is_set(found, place) for place in range(count)))
        return found


def is_set(bits: bytes, place: int) -> bool:
    """Say whether a bit is set; one that is not there is not."""
    return place >> 3 < len(bits) and bool(bits[place >> 3] & 0x80 >> (place & 7))


@dataclass(slots=True)
class Folder:
    """How some streams are packed together."""

    methods: list[tuple[str, bytes]]
    outputs: int
    main: int  # the output that is no other coder's input
    size: int = 0
    digest: bool = False


@dataclass(slots=True)
class Streams:
    """What a header says of the packed streams."""

    place: int = 0
    packed: array[int] = field(default_factory=lambda: array("Q"))
    folders: list[Folder] = field(default_factory=list)
    parts: array[int] = field(default_factory=lambda: array("Q"))  # members of each folder
    sizes: array[int] = field(default_factory=lambda: array("Q"))  # of each member with content


def members(file: BinaryIO, size: int, listing: Listing) -> dict[str, Any]:
    """List all members; return what else the document says.

    Raises:
        ValueError: the archive is torn or damaged, or its header is of a kind that is not read.
    """
    head = file.read(START)
    if len(head) < START:
        raise ValueError("it is cut off within its first header")
    place, length, digest = struct.unpack_from("<QQI", head, 12)
    if not length:
        return {}
    if place + length > size - START:
        raise ValueError("its end is missing: the header lies behind it")
    header = _read(file, START + place, length)
    if zlib.crc32(header) != digest:
        raise ValueError("its header is damaged: its checksum does not match")
    cursor = Cursor(header)
    kind = cursor.byte()
    for _ in range(4):  # a packed header may hold a packed one
        if kind != PACKED_HEADER:
            break
        streams = _streams(cursor)
        if any(method == AES for folder in streams.folders for method, _ in folder.methods):
            return {"encrypted_names": True, "partial": "its names are encrypted"}
        cursor = Cursor(_expanded(file, streams))
        kind = cursor.byte()
    if kind != HEADER:
        raise ValueError("its header is damaged")
    _listed(cursor, listing)
    return {}


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    if size > MAX_HEADER:
        raise ValueError(f"its header has {size} bytes; up to {MAX_HEADER} are read")
    file.seek(place)
    data = file.read(size)
    if len(data) < size:
        raise ValueError("it is cut off within its header")
    return data


def _expanded(file: BinaryIO, streams: Streams) -> bytes:
    """Return a packed header expanded."""
    if len(streams.folders) != 1 or not streams.packed or len(streams.folders[0].methods) != 1:
        raise ValueError("its header is packed in a way that is not read")
    folder = streams.folders[0]
    method, settings = folder.methods[0]
    if folder.size > MAX_HEADER:
        raise ValueError(f"its header has {folder.size} bytes; up to {MAX_HEADER} are read")
    packed = _read(file, START + streams.place, streams.packed[0])
    room = max(4096, folder.size)  # no larger a dictionary than there is to remember
    if method == "00":
        return packed
    if method == LZMA1 and len(settings) == 5 and settings[0] < 225:
        way: dict[str, Any] = {
            "id": lzma.FILTER_LZMA1, "lc": settings[0] % 9, "lp": settings[0] // 9 % 5, "pb": settings[0] // 45,
        }  # fmt: skip
    elif method == LZMA2:
        way = {"id": lzma.FILTER_LZMA2}
    else:
        raise ValueError(f"its header is packed with {METHODS.get(method, method)}, which is not read")
    found = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[way | {"dict_size": room}]).decompress(
        packed, folder.size
    )
    if len(found) < folder.size:
        raise ValueError("its packed header is cut off")
    return found


def _streams(cursor: Cursor) -> Streams:
    """Read what a header says of packed streams."""
    found = Streams()
    while kind := cursor.byte():
        if kind == PACK_INFO:
            found.place, count = cursor.number(), cursor.count()
            while part := cursor.byte():
                if part == SIZES:
                    found.packed = array("Q", (cursor.number() for _ in range(count)))
                elif part == DIGESTS:
                    cursor.digests(count)
                else:
                    raise ValueError("its header is damaged")
        elif kind == FOLDERS_INFO:
            _folders(cursor, found)
        elif kind == PARTS_INFO:
            _parts(cursor, found)
        else:
            raise ValueError("its header is damaged")
    if not found.parts:  # each folder is one member
        found.parts = array("Q", (1 for _ in found.folders))
        found.sizes = array("Q", (folder.size for folder in found.folders))
    return found


def _folders(cursor: Cursor, found: Streams) -> None:
    if cursor.byte() != FOLDER:
        raise ValueError("its header is damaged")
    count = cursor.count()
    if cursor.byte():
        raise ValueError("its header has parts elsewhere, which are not read")
    found.folders = [_folder(cursor) for _ in range(count)]
    while part := cursor.byte():
        if part == FOLDER_SIZES:
            for folder in found.folders:
                sizes = [cursor.number() for _ in range(folder.outputs)]
                folder.size = sizes[folder.main]
        elif part == DIGESTS:
            digests = cursor.digests(count)
            for place, folder in enumerate(found.folders):
                folder.digest = is_set(digests, place)
        else:
            raise ValueError("its header is damaged")


def _folder(cursor: Cursor) -> Folder:
    """Read how the coders of a folder follow each other."""
    methods, inputs, outputs = [], 0, 0
    coders = cursor.number()
    if not 0 < coders <= MAX_CODERS:
        raise ValueError("its header is damaged")
    for _ in range(coders):
        flags = cursor.byte()
        method = cursor.take(flags & 15).hex()
        more = (cursor.number(), cursor.number()) if flags & 0x10 else (1, 1)
        inputs, outputs = inputs + more[0], outputs + more[1]
        methods.append((method, cursor.take(cursor.number()) if flags & 0x20 else b""))
    if not 0 < outputs <= MAX_CODERS or inputs > MAX_CODERS:
        raise ValueError("its header is damaged")
    bound = {(cursor.number(), cursor.number())[1] for _ in range(outputs - 1)}
    if (packed := inputs - (outputs - 1)) > 1:
        for _ in range(packed):
            cursor.number()
    return Folder(methods, outputs, next((place for place in range(outputs) if place not in bound), 0))


def _parts(cursor: Cursor, found: Streams) -> None:
    """Read how many members are in each folder, and their sizes: the last of a folder has what is left of it."""
    found.parts = array("Q", (1 for _ in found.folders))
    kind = cursor.byte()
    if kind == PARTS:
        found.parts = array("Q", (cursor.number() for _ in found.folders))
        if sum(found.parts) > 8 * len(cursor.data):
            raise ValueError("its header claims more than it can hold")
        kind = cursor.byte()
    for folder, parts in zip(found.folders, found.parts, strict=True):
        left = folder.size
        for _ in range(parts - 1 if kind == SIZES else 0):
            found.sizes.append(cursor.number())
            left -= found.sizes[-1]
        if parts and left < 0:
            raise ValueError("its header is damaged: a member is larger than what it is packed in")
        if parts:
            found.sizes.append(left)
    if kind == SIZES:
        kind = cursor.byte()
    while kind:
        if kind != DIGESTS:
            raise ValueError("its header is damaged")
        pairs = zip(found.folders, found.parts, strict=True)
        cursor.digests(sum(0 if parts == 1 and folder.digest else parts for folder, parts in pairs))
        kind = cursor.byte()


def _listed(cursor: Cursor, listing: Listing) -> None:
    """Read the main header, and list the members."""
    streams = Streams()
    while kind := cursor.byte():
        if kind == MAIN_STREAMS:
            streams = _streams(cursor)
        elif kind == FILES:
            _files(cursor, streams, listing)
        elif kind == 0x02:
            while cursor.number():
                cursor.take(cursor.number())
        else:
            raise ValueError("its header is damaged")


def _files(cursor: Cursor, streams: Streams, listing: Listing) -> None:
    count = cursor.count()
    told: dict[int, Cursor] = {}
    while kind := cursor.number():
        told[kind] = Cursor(cursor.take(cursor.number()))
    empty = told[EMPTY_STREAM].bits(count) if EMPTY_STREAM in told else b""
    without = sum(is_set(empty, place) for place in range(count))
    blank = told[EMPTY_FILE].bits(without) if EMPTY_FILE in told else b""
    names, times, modes = _names(told), _values(told.get(CHANGED), count), _values(told.get(ATTRIBUTES), count)
    for folder in streams.folders:
        listing.methods |= {METHODS.get(method, "other") for method, _ in folder.methods if method not in FILTERS}
    locked = (any(method == AES for method, _ in folder.methods) for folder in streams.folders)
    sealed = (one for parts, one in zip(streams.parts, locked, strict=False) for _ in range(parts))
    sizes, number = iter(streams.sizes), 0
    for place in range(count):
        attributes = _value(modes, place, "<I") or 0
        what, size = "files", 0
        if is_set(empty, place):
            what = "files" if is_set(blank, number) else "directories"
            number += 1
        else:
            size = next(sizes, 0)
            listing.counts["encrypted_members"] += next(sealed, False)
        if attributes & FOLDER_BIT:
            what = "directories"
        elif attributes & UNIX_BIT and not stat.S_ISREG(attributes >> 16):
            what = "links" if stat.S_ISLNK(attributes >> 16) else what if what != "files" else "specials"
        ticks = _value(times, place, "<Q")
        when = "" if ticks is None else iso(ticks // TICKS - EPOCH)
        listing.add(_name(names), min(size, 1 << 62) if what == "files" else 0, what, when)


def _names(told: dict[int, Cursor]) -> Cursor:
    names = told.get(NAMES, Cursor(b""))
    if names.data and names.byte():
        raise ValueError("its header has parts elsewhere, which are not read")
    return names


def _name(names: Cursor) -> str:
    """Return the next name, which ends in a zero."""
    end = names.at
    while (end := names.data.find(b"\0\0", end)) >= 0 and (end - names.at) % 2:
        end += 1
    if end < 0:
        raise ValueError("its header is damaged: names are missing")
    raw, names.at = names.data[names.at : min(end, names.at + MAX_NAME)], end + 2
    return raw.decode("utf-16-le", "surrogatepass")


def _values(told: Cursor | None, count: int) -> tuple[bytes, Cursor] | None:
    """Return which members have a value, and where the values are."""
    if told is None:
        return None
    defined = told.defined(count)
    if told.byte():
        raise ValueError("its header has parts elsewhere, which are not read")
    return defined, told


def _value(values: tuple[bytes, Cursor] | None, place: int, form: str) -> int | None:
    if values is None or not is_set(values[0], place):
        return None
    return int(struct.unpack(form, values[1].take(struct.calcsize(form)))[0])
