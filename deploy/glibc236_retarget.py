#!/usr/bin/env python3
"""Let 64-bit little-endian ELF files that were linked with a glibc after 2.36 load on glibc 2.36.

Only for files that are tied to it by the C23 twins __isoc23_strtol and the like, which differ from strtol by the
"0b" prefix alone. In place, at the same size: the name of each such symbol is moved on by the length of
"__isoc23_", and the need for the newer version is renamed to GLIBC_2.2.5. Anything else that is newer makes it stop
with exit code 3 and the file untouched. Sources: man 5 elf, and the gABI's symbol versioning.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

NEWEST = (2, 36)
PREFIX = b"__isoc23_"
OLD_VERSION = b"GLIBC_2.2.5"
SHT_DYNSYM, SHT_GNU_VERNEED, SHT_GNU_VERSYM = 11, 0x6FFFFFFE, 0x6FFFFFFF
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL_BYTES = 24


class CannotRetarget(Exception):
    """Why a file must stay as it is."""


def elf_hash(name: bytes) -> int:
    """Return the hash of a version's name, as the gABI defines it."""
    value = 0
    for character in name:
        value = (value << 4) + character
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value


class Elf:
    """The parts of one file that say which symbols of which versions it needs."""

    def __init__(self, data: bytearray) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise CannotRetarget("it is no 64-bit little-endian ELF file")
        self.data = data
        (table,) = struct.unpack_from("<Q", data, 0x28)
        size, count = struct.unpack_from("<HH", data, 0x3A)
        sections = [SECTION.unpack_from(data, table + place * size) for place in range(count)]
        kinds = {section[1]: section for section in sections}
        try:
            self.symbols = kinds[SHT_DYNSYM]
            self.versions_at = kinds[SHT_GNU_VERSYM][4]
            self.needs_at = kinds[SHT_GNU_VERNEED][4]
        except KeyError as exc:
            raise CannotRetarget("it has no versioned dynamic symbols") from exc
        strings = sections[self.symbols[6]]
        self.strings_at, self.strings_size = strings[4], strings[5]

    def name(self, offset: int) -> bytes:
        """Return the string at `offset` of the dynamic string table."""
        start = self.strings_at + offset
        return bytes(self.data[start : self.data.index(0, start)])

    def newer_versions(self) -> dict[int, int]:
        """Return, by version index, where the needs of a glibc newer than NEWEST stand."""
        found = {}
        at = self.needs_at
        while True:
            _, count, _, first, following = struct.unpack_from("<HHIII", self.data, at)
            need = at + first
            for _ in range(count):
                _, _, index, name, step = struct.unpack_from("<IHHII", self.data, need)
                version = self.name(name)
                if version.startswith(b"GLIBC_2.") and tuple(map(int, version[6:].split(b"."))) > NEWEST:
                    found[index & 0x7FFF] = need
                need += step
            if not following:
                return found
            at += following

    def symbols_of(self, versions: dict[int, int]) -> list[tuple[int, int, bytes]]:
        """Return (where it stands, offset of its name, name) of each symbol of these versions."""
        found = []
        for place in range(self.symbols[5] // SYMBOL_BYTES):
            at = self.symbols[4] + place * SYMBOL_BYTES
            (name,) = struct.unpack_from("<I", self.data, at)
            (version,) = struct.unpack_from("<H", self.data, self.versions_at + 2 * place)
            if version & 0x7FFF in versions:
                found.append((at, name, self.name(name)))
        return found


def retarget(path: Path) -> str:
    """Change the file at `path` and return what was done. Raises CannotRetarget, with the file untouched."""
    elf = Elf(bytearray(path.read_bytes()))
    newer = elf.newer_versions()
    if not newer:
        return "needs nothing newer"
    symbols = elf.symbols_of(newer)
    others = sorted(name for _, _, name in symbols if not name.startswith(PREFIX))
    if others:
        raise CannotRetarget(f"it also needs {others}")
    old = elf.data.find(b"\0" + OLD_VERSION + b"\0", elf.strings_at, elf.strings_at + elf.strings_size)
    if old < 0:
        raise CannotRetarget(f"it has no {OLD_VERSION.decode()} to point at")
    for at, name, _ in symbols:
        struct.pack_into("<I", elf.data, at, name + len(PREFIX))
    for need in newer.values():
        struct.pack_into("<I", elf.data, need, elf_hash(OLD_VERSION))
        struct.pack_into("<I", elf.data, need + 8, old + 1 - elf.strings_at)
    path.write_bytes(elf.data)
    return "retargeted: " + ", ".join(name.decode() for _, _, name in symbols)


def main(paths: list[str]) -> int:
    """Retarget each file; return 3 at the first that must not be."""
    for path in paths:
        try:
            print(f"{path}: {retarget(Path(path))}")  # noqa: T201 - a command's output
        except CannotRetarget as exc:
            print(f"{path}: cannot be retargeted: {exc}", file=sys.stderr)  # noqa: T201 - a command's output
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
