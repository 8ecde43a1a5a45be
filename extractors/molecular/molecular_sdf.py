"""Molecules of MDL's molfiles and of SD files (CTfile formats, V2000 and V3000), line by line."""

from __future__ import annotations

import re
from collections import Counter as Tally
from typing import Any

import extractor_facts as facts
import molecular_elements as elements

LINES = re.compile(rb"[^\n]*\n[^\n]*\n[^\n]*\n[ \d]{6}[^\n]{0,30}V[23]000")
MAX_NAMES = 100
MAX_FIELDS = 500
MAX_SEEN = 100_000  # fields that are told apart
V3000 = re.compile(rb"M  V30 (BEGIN|END|COUNTS|\d+)\s*(\S*)")


class Sdf:
    """Molecules, each of a header, atoms, bonds, and fields of data."""

    def __init__(self) -> None:
        self.reason = ""
        self.molecules = self.atoms = self.bonds = self.row = 0
        self.names: list[str] = []
        self.fields: dict[str, None] = {}
        self.tally: Tally[bytes] = Tally()
        self.left = (0, 0)  # atoms and bonds of the molecule that are still to come
        self.block = b""
        self.version = ""

    def take(self, line: bytes) -> bool:
        """Take one line; all belong to the atoms."""
        if line.startswith(b"$$$$"):
            if self.left != (0, 0) and not self.reason:
                self.reason = f"molecule {self.molecules} lacks some of its atoms or bonds"
            self.row, self.left, self.block = 0, (0, 0), b""
            return True
        self.row += 1
        if self.row == 1:
            if line.strip() and len(self.names) < MAX_NAMES:
                self.names.append(line.decode("latin-1").replace("\0", " ").strip()[:200])
        elif self.row == 4:
            self._begin(line)
        elif self.row > 4:
            self._content(line)
        return True

    def _begin(self, line: bytes) -> None:
        self.molecules += 1
        self.version = "V3000" if b"V3000" in line else "V2000"
        counts = (line[:3].strip(), line[3:6].strip())
        if not all(count.isdigit() or (not count and self.version == "V3000") for count in counts):
            self.reason = self.reason or f"molecule {self.molecules} has no numbers of atoms and bonds"
            return
        self.left = (0, 0) if self.version == "V3000" else (int(counts[0]), int(counts[1]))

    def _content(self, line: bytes) -> None:
        atoms, bonds = self.left
        if atoms:
            self.left = (atoms - 1, bonds)
            self.atoms += 1
            self.tally[elements.symbol(line[31:34])] += 1
        elif bonds:
            self.left = (0, bonds - 1)
            self.bonds += 1
        elif line.startswith(b">"):
            name = line.partition(b"<")[2].rpartition(b">")[0].decode("latin-1").replace("\0", " ").strip()[:200]
            if name and len(self.fields) < MAX_SEEN:
                self.fields[name] = None
        elif found := V3000.match(line):
            self._line_3000(found)

    def _line_3000(self, found: re.Match[bytes]) -> None:
        word, second = found.groups()
        if word in {b"BEGIN", b"END"}:
            self.block = second if word == b"BEGIN" else b""
        elif self.block == b"ATOM" and word.isdigit():
            self.atoms += 1
            self.tally[elements.symbol(second)] += 1
        elif self.block == b"BOND" and word.isdigit():
            self.bonds += 1

    def document(self) -> dict[str, Any]:
        """Return what was counted, over all molecules."""
        if self.left != (0, 0) and not self.reason:
            self.reason = "the file ends within a molecule"
        fields = facts.first([*self.fields], MAX_FIELDS, "fields of data")
        found: dict[str, Any] = {
            "format": "sdf", "format_version": self.version or "V2000", "molecules": self.molecules,
            "atoms": self.atoms, "bonds": self.bonds, "names": self.names, "fields": fields,
            "elements": elements.counts(self.tally.items()),
        }  # fmt: skip
        if self.molecules > MAX_NAMES and len(self.names) == MAX_NAMES and not self.reason:
            self.reason = f"of {self.molecules} molecules {MAX_NAMES} names are listed"
        return found
