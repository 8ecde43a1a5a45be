"""Outputs read in blocks: for each mark its lines are handled in their order; of a very long one also its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import extractor_facts as facts
from extractor_batch import OutOfTime

BLOCK = 1 << 20
TAIL = 1 << 18  # of a file that was not read to its end
KEPT_BACK = 1 << 18  # bytes of lines that may belong to a mark before them
MAX_LINE = 1 << 16
HARTREE_EV = 27.211386245988  # CODATA 2018
RYDBERG_EV = HARTREE_EV / 2
NUMBER = rb"([-+]?\d+\.?\d*(?:[eEdD][-+]?\d+)?)"
ELEMENTS = frozenset(
    [
        "H",
        "He",
        "Li",
        "Be",
        "B",
        "C",
        "N",
        "O",
        "F",
        "Ne",
        "Na",
        "Mg",
        "Al",
        "Si",
        "P",
        "S",
        "Cl",
        "Ar",
        "K",
        "Ca",
        "Sc",
        "Ti",
        "V",
        "Cr",
        "Mn",
        "Fe",
        "Co",
        "Ni",
        "Cu",
        "Zn",
        "Ga",
        "Ge",
        "As",
        "Se",
        "Br",
        "Kr",
        "Rb",
        "Sr",
        "Y",
        "Zr",
        "Nb",
        "Mo",
        "Tc",
        "Ru",
        "Rh",
        "Pd",
        "Ag",
        "Cd",
        "In",
        "Sn",
        "Sb",
        "Te",
        "I",
        "Xe",
        "Cs",
        "Ba",
        "La",
        "Ce",
        "Pr",
        "Nd",
        "Pm",
        "Sm",
        "Eu",
        "Gd",
        "Tb",
        "Dy",
        "Ho",
        "Er",
        "Tm",
        "Yb",
        "Lu",
        "Hf",
        "Ta",
        "W",
        "Re",
        "Os",
        "Ir",
        "Pt",
        "Au",
        "Hg",
        "Tl",
        "Pb",
        "Bi",
        "Po",
        "At",
        "Rn",
        "Fr",
        "Ra",
        "Ac",
        "Th",
        "Pa",
        "U",
        "Np",
        "Pu",
        "Am",
        "Cm",
        "Bk",
        "Cf",
        "Es",
        "Fm",
        "Md",
        "No",
        "Lr",
        "Rf",
        "Db",
        "Sg",
        "Bh",
        "Hs",
        "Mt",
        "Ds",
        "Rg",
        "Cn",
        "Nh",
        "Fl",
        "Mc",
        "Lv",
        "Ts",
        "Og",
    ]
)


class Output:
    """What is known of one run."""

    def __init__(self, code: str) -> None:
        self.found: dict[str, Any] = {"format": code}
        self.elements: dict[str, int] = {}
        self.state: dict[str, Any] = {}  # what a code's handlers remember
        self.steps = 0
        self.energy: float | None = None
        self.energies: Any = facts.Line("energy", "eV")
        self.normal = False
        self.error = ""

    def put(self, key: str, value: Any) -> None:
        """Take a fact; the last one counts."""
        if isinstance(value, bytes):
            value = facts.text(value.decode("utf-8", "replace"))
        if value not in ("", None):
            self.found[key] = value

    def first(self, key: str, value: Any) -> None:
        """Take a fact; the first one counts."""
        if key not in self.found:
            self.put(key, value)

    def energy_ev(self, value: float | None) -> None:
        """Take a total energy in eV; the last one counts."""
        if value is not None and abs(value) < 1e15:
            self.energy = value
            self.energies.add([value])

    def atom(self, symbol: bytes, count: int = 1) -> None:
        """Take atoms of an element, by a label that begins with its symbol."""
        found = re.match(rb"([A-Za-z][a-z]?)", symbol)
        name = found[1].decode().capitalize() if found else ""
        name = name if name in ELEMENTS else name[:1]
        if name in ELEMENTS and 0 < count < 1 << 40:
            self.elements[name] = self.elements.get(name, 0) + count

    def document(self) -> dict[str, Any]:
        """Return what was found."""
        found = dict(self.found)
        if self.elements:
            found |= {"formula": formula(self.elements), "elements": self.elements}
            found.setdefault("atoms", sum(self.elements.values()))
        if self.energy is not None:
            found["energy_ev"] = round(self.energy, 8)
        if self.steps:
            found["steps"] = self.steps
        found["end_state"] = "error" if self.error else "normal" if self.normal else "unfinished"
        return found | ({"error": facts.text(self.error)} if facts.text(self.error) else {})


Handler = Callable[[Output, bytes, Any], None]
Mark = tuple[bytes, Handler]  # what a line has, and what becomes of it


def formula(elements: dict[str, int]) -> str:
    """Return a formula in Hill's order: carbon, hydrogen, then the others by the alphabet."""
    first = ["C", "H"] if "C" in elements else []
    names = [name for name in first if name in elements]
    names += sorted(name for name in elements if name not in first)
    return "".join(f"{name}{elements[name] if elements[name] > 1 else ''}" for name in names)


def number(text: bytes | None) -> float | None:
    """Return a number as Fortran writes it."""
    try:
        value = float((text or b"").replace(b"D", b"E").replace(b"d", b"e"))
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


def after(line: bytes, pattern: bytes) -> bytes | None:
    """Return what a pattern's group holds in a line."""
    found = re.search(pattern, line)
    return found[1] if found else None


def whole(line: bytes, pattern: bytes) -> int | None:
    """Return the whole number that a pattern's group holds in a line."""
    found = after(line, pattern)
    return int(found) if found and found.lstrip(b"+-").isdigit() and len(found) < 16 else None


def handle(block: bytes, marks: Sequence[Mark], output: Output, upto: int | None = None) -> None:
    """Call the handlers of the marks that a block of whole lines has up to a place, in the lines' order."""
    places: list[tuple[int, int]] = []
    for number_, (mark, _) in enumerate(marks):
        at = block.find(mark, 0, upto)
        while at >= 0:
            places.append((at, number_))
            at = block.find(mark, at + len(mark), upto)
    for at, number_ in sorted(places):
        begin = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at)
        line = block[begin : end if end >= 0 else len(block)][:MAX_LINE]
        marks[number_][1](output, line.rstrip(b"\r"), Rest(block, end))


class Rest:
    """The lines of the block after a line."""

    def __init__(self, block: bytes, end: int) -> None:
        self._block, self._end = block, end

    def lines(self, most: int) -> list[bytes]:
        """Return up to `most` lines."""
        if self._end < 0:
            return []
        return self._block[self._end + 1 : self._end + 1 + 200 * most].split(b"\n")[:most]


def scan(stream: Any, marks: Sequence[Mark], output: Output, file: BinaryIO | None) -> str:
    """Read an output; return why it is not all, where it is not. `file` can be sought for its end."""
    rest = b""
    try:
        while piece := stream.read(BLOCK):
            block = rest + piece
            cut = block.rfind(b"\n") + 1
            if not cut and len(block) < 4 * BLOCK:
                rest = block
                continue
            cut = cut or len(block)
            # the last lines are kept back, since some marks need what follows them
            keep = block.rfind(b"\n", 0, max(0, cut - KEPT_BACK)) + 1 if len(piece) == BLOCK else cut
            cut = keep or cut
            handle(block, marks, output, cut)
            rest = block[cut:]
        handle(rest, marks, output)
    except OutOfTime:
        if file is None:
            return "time was up: it is read as far as it went, and its end is not known"
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        handle(file.read(TAIL), marks, output)
        return "time was up: it is read as far as it went, and its last 256 KiB"
    return ""
