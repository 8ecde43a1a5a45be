"""Counting of atoms in PDB, CIF, XYZ and mol2 files, line by line.

A counter takes each line and says whether it was one of its own: the others are a header for a parser. Part of the
extractor `molecular`; standard library.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any, Protocol

import molecular_elements as elements

MAX_KINDS = 2000  # of chains and residues
MAX_ATOM_NAMES = 20_000  # different ones, by residue
MAX_TEXT = 200
MAX_NAMES = 100
MAX_COLUMNS = 200
SITES = re.compile(rb"_atom_site[._](?!aniso)")
# A quote ends before a blank (CIF 1.1); one without an end takes the line. Possessive: each byte is read once
VALUE = re.compile(rb"'(?:[^'\n]|'(?=\S))*+'?|\"(?:[^\"\n]|\"(?=\S))*+\"?|\S+")
MARKS = re.compile(rb"['\"#]")
ENDS = re.compile(rb"_|data_|save_|(?:loop_|stop_|global_)(?:\s|$)", re.IGNORECASE)  # of a loop
TORN = "a row of atoms has fewer or more values than columns"


class Counter(Protocol):
    """What each format has."""

    reason: str
    """Why the count is not all; empty where it is."""

    def take(self, line: bytes) -> bool:
        """Take one line; return whether it belongs to the atoms."""
        ...

    def document(self) -> dict[str, Any]:
        """Return what was counted."""
        ...


class Kinds:
    """How often each of a bounded number of words came."""

    def __init__(self) -> None:
        self.tally: Tally[bytes] = Tally()
        self.more = False

    def add(self, word: bytes, count: int = 1) -> None:
        """Take one, as often as it came."""
        if word in self.tally or len(self.tally) < MAX_KINDS:
            self.tally[word] += count
        else:
            self.more = True

    def join(self, other: Kinds) -> None:
        """Take all of another."""
        for word, count in other.tally.items():
            self.add(word, count)
        self.more = self.more or other.more

    def names(self) -> list[str]:
        """Return the words, in the order of their coming."""
        return [text(word) for word in self.tally if word]


def text(word: bytes) -> str:
    """Return a word such as JSON and a database can hold."""
    return word.decode("latin-1").replace("\0", " ").strip()[:MAX_TEXT]


class Pdb:
    """Atoms of a PDB file: fixed columns, by the format's description 3.3."""

    def __init__(self) -> None:
        self.reason = ""
        self.atoms = self.het = self.models = self.all = 0
        self.elements: Tally[bytes] = Tally()
        self.names: Tally[tuple[bytes, bytes, bool]] = Tally()  # of atoms without an element
        self.chains, self.residues = Kinds(), Kinds()

    def take(self, line: bytes) -> bool:
        """Take one line; return whether it belongs to the atoms. Only the first model is counted."""
        kind = line[:6]
        if kind in {b"ATOM  ", b"HETATM"}:
            self.all += 1
            if self.models <= 1:
                self.atoms += 1
                self.het += kind == b"HETATM"
                if element := elements.SYMBOLS.get(line[76:78].strip().upper()):
                    self.elements[element] += 1
                else:
                    self._name(line, kind == b"HETATM")
                self.chains.add(line[21:22].strip())
                self.residues.add(line[17:20].strip())
            return True
        if kind in {b"MODEL ", b"MODEL\n", b"MODEL\r"}:
            self.models += 1
            return True
        return kind in {b"ANISOU", b"CONECT", b"SIGATM", b"SIGUIJ", b"TER   ", b"ENDMDL"} or line[:3] in {
            b"TER",
            b"END",
        }

    def _name(self, line: bytes, hetero: bool) -> None:
        key = (line[12:16].rstrip(b"\r\n").ljust(4), line[17:21].strip(), hetero)
        if key in self.names or len(self.names) < MAX_ATOM_NAMES:
            self.names[key] += 1
        else:
            self.reason = f"elements of atoms with more than {MAX_ATOM_NAMES} names are not told"

    def document(self) -> dict[str, Any]:
        """Return what was counted."""
        if self.chains.more or self.residues.more:
            self.reason = self.reason or f"only {MAX_KINDS} chains and residues are listed"
        found: dict[str, Any] = {
            "models": max(self.models, int(self.atoms > 0)),
            "atoms": self.atoms,
            "hetero_atoms": self.het,
        }
        return found | {
            "chains": self.chains.names(),
            "residues": self.residues.names(),
            "elements": elements.counts((self.elements + elements.of_pdb(self.names)).items()),
        }


def values(line: bytes) -> list[bytes]:
    """Return the values of a line of a CIF file, without its comment."""
    words = VALUE.findall(line)
    if words and words[-1][:1] in {b"'", b'"'} and (len(words[-1]) == 1 or words[-1][-1] != words[-1][0]):
        words[-1:] = words[-1].split()  # a quote without an end
    return words[: next((at for at, word in enumerate(words) if word[:1] == b"#"), len(words))]


class Rows:
    """Atoms of a loop of _atom_site, of which each row has `width` values."""

    def __init__(self, width: int, places: tuple[int, int, int], read: Callable[[bytes], bytes]) -> None:
        self.width, self.places, self.read = width, places, read
        self.atoms = self.het = 0
        self.elements: Tally[bytes] = Tally()
        self.models = Kinds()
        self.rest: list[bytes] = []  # of a row that is not complete

    def copy(self) -> Rows:
        """Return another reading, which goes on from here."""
        other = Rows(self.width, self.places, self.read)
        other.atoms, other.het, other.elements, other.rest = (
            self.atoms,
            self.het,
            self.elements.copy(),
            [*self.rest],
        )
        other.models.tally, other.models.more = self.models.tally.copy(), self.models.more
        return other

    def take(self, words: list[bytes]) -> None:
        """Take values, whose rows may begin and end anywhere."""
        rows = self.rest
        rows += words
        whole = len(rows) - len(rows) % self.width
        for at in range(0, whole, self.width):
            self._atom(rows[at : at + self.width])
        del rows[:whole]

    def end(self) -> bool:
        """Take what is there of a row as an atom; return whether there was such a row."""
        torn = bool(self.rest)
        if torn:
            self._atom(self.rest)
            self.rest = []
        return torn

    def _atom(self, words: list[bytes]) -> None:
        symbols, groups, models = self.places
        self.atoms += 1
        self.elements[self.read(words[symbols].strip(b"'\"")) if -1 < symbols < len(words) else b""] += 1
        self.het += -1 < groups < len(words) and words[groups] == b"HETATM"
        self.models.add(words[models] if -1 < models < len(words) else b"1")


class Cif:
    """Atoms of an mmCIF file or a CIF file of the core dictionary: rows of the loop of _atom_site.

    A row may go on in the next line. So a line with fewer values than columns is a torn row only where the loop
    as a whole has no whole number of rows; until that is known, both readings are counted.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.atoms = self.het = 0
        self.elements: Tally[bytes] = Tally()
        self.models = Kinds()
        self.columns: list[bytes] = []
        self.width = 0  # values of a row
        self.rows: Rows | None = None
        self.lines: Rows | None = None  # the other reading: each line begins a row
        self.in_text = self.in_loop = False
        self.by_line = False  # each line has been a row
        self.seen = False  # a parser has seen whole rows

    def take(self, line: bytes) -> bool:
        """Take one line; return whether it is a row of atoms, which a parser need not see."""
        if line[:1] == b";" or self.in_text:
            self.in_text ^= line[:1] == b";"
            if self.rows and not self.in_text:
                self._row(self.rows, b". " + line[1:])  # a text of several lines is one value
            return self._passed()
        bare = line.lstrip()
        if self.rows:
            if not ENDS.match(bare):
                self._row(self.rows, line)
                return self._passed()
            self._end()
        self._head(line, bare)
        return self._passed()

    def _passed(self) -> bool:
        """Return whether a parser need not see a line; it sees the first whole rows, lest the loop is broken."""
        passed = self.rows is not None and self.seen
        self.seen = self.rows is not None and (self.seen or not (self.rows.rest or self.in_text))
        return passed

    def _head(self, line: bytes, bare: bytes) -> None:
        if bare[:5].lower() == b"loop_":
            self.in_loop, self.columns, self.width = True, [], 0
        elif self.in_loop and bare[:1] == b"_":
            self.width += 1
            if len(self.columns) < MAX_COLUMNS:
                self.columns.append(bare.split(None, 1)[0].lower())
        elif self.in_loop and bare[:1] not in {b"#", b""}:
            self.in_loop = False
            if not self.columns or not SITES.match(self.columns[0]):
                return
            if self.width > MAX_COLUMNS:
                self.reason = self.reason or f"atoms of loops of more than {MAX_COLUMNS} columns are not counted"
                return
            self.rows, self.by_line = self._begun(), len(values(line)) == self.width
            self._row(self.rows, line)

    def _begun(self) -> Rows:
        names = [column[len("_atom_site.") :] for column in self.columns]
        wanted = (b"type_symbol", b"group_pdb", b"pdbx_pdb_model_num")
        symbols, groups, models = (names.index(name) if name in names else -1 for name in wanted)
        if symbols < 0 and b"label" in names:
            return Rows(self.width, (names.index(b"label"), groups, models), elements.of_label)
        return Rows(self.width, (symbols, groups, models), elements.symbol)

    def _row(self, rows: Rows, line: bytes) -> None:
        """Take a line of rows: one row, most of the time."""
        words = line.split()
        if len(words) != self.width or MARKS.search(line):
            words = values(line)
        if not words:
            return
        if rows.rest and self.by_line and self.lines is None:
            self.by_line = len(words) == self.width
            self.lines = rows.copy() if self.by_line else None
        if self.lines:
            if self.lines.rest and len(words) == self.width:
                self.lines.end()
            self.lines.take(words)
        rows.take(words)

    def _end(self) -> None:
        """Add the atoms of the loop by that reading in which its rows are whole, or most of them."""
        rows, lines, self.rows, self.lines = self.rows, self.lines, None, None
        if rows is None:
            return
        chosen = lines if rows.rest and lines else rows
        if chosen.end() or chosen is lines:
            self.reason = TORN
        self.atoms += chosen.atoms
        self.het += chosen.het
        self.elements += chosen.elements
        self.models.join(chosen.models)

    def document(self) -> dict[str, Any]:
        """Return what was counted; atoms are those of all models, and one whose row is torn."""
        self._end()
        return {"models": len(self.models.tally), "atoms": self.atoms, "hetero_atoms": self.het,
                "elements": elements.counts(self.elements.items())}  # fmt: skip


class Xyz:
    """Frames of an XYZ file: a number of atoms, a comment, then a line for each atom."""

    def __init__(self) -> None:
        self.reason = ""
        self.frames = self.atoms = self.left = self.most = 0
        self.comment: str | None = None
        self.want_comment = False
        self.words = Kinds()

    def take(self, line: bytes) -> bool:
        """Take one line; all belong to the atoms."""
        if self.want_comment:
            self.want_comment = False
            self.comment = text(line) if self.comment is None else self.comment
        elif self.left:
            self.left -= 1
            if self.frames == 1:
                self.words.add(line.split(None, 1)[0] if line.strip() else b"")
        elif line.strip() and not self.reason:
            self._begin(line)
        return True

    def _begin(self, line: bytes) -> None:
        word = line.strip()
        if not word.isdigit() or len(word) > 12:
            self.reason = f"behind frame {self.frames} comes no number of atoms"
            return
        self.left, self.frames, self.want_comment = int(word), self.frames + 1, True
        self.atoms = self.left if self.frames == 1 else self.atoms

    def document(self) -> dict[str, Any]:
        """Return what was counted; atoms are those of the first frame."""
        if self.left and not self.reason:
            self.reason = f"frame {self.frames} lacks {self.left} of its atoms"
        found: dict[str, Any] = {"format": "xyz", "frames": self.frames, "atoms": self.atoms}
        found |= {"title": self.comment} if self.comment else {}
        known = elements.counts(elements.of_words(self.words.tally).items())
        return found | {"elements": known} | ({"partial": self.reason} if self.reason else {})


class Mol2:
    """Molecules of a Tripos mol2 file."""

    def __init__(self) -> None:
        self.reason = ""
        self.molecules = self.atoms = self.bonds = self.row = 0
        self.section = b""
        self.names: list[str] = []
        self.kinds: dict[str, None] = {}
        self.charges: dict[str, None] = {}
        self.elements: Tally[bytes] = Tally()

    def take(self, line: bytes) -> bool:
        """Take one line; all belong to the atoms."""
        if line.startswith(b"@<TRIPOS>"):
            self.section, self.row = line[9:].strip(), 0
            self.molecules += self.section == b"MOLECULE"
        elif line.strip() and line[:1] != b"#":
            self.row += 1
            if self.section == b"ATOM":
                self.atoms += 1
                words = line.split(None, 6)
                self.elements[elements.of_types(words[5]) if len(words) > 5 else b""] += 1
            elif self.section == b"BOND":
                self.bonds += 1
            elif self.section == b"MOLECULE" and self.molecules <= MAX_NAMES:
                self._describe(text(line))
        return True

    def _describe(self, line: str) -> None:
        if self.row == 1:
            self.names.append(line)
        elif self.row == 3:
            self.kinds[line] = None
        elif self.row == 4:
            self.charges[line] = None

    def document(self) -> dict[str, Any]:
        """Return what was counted, over all molecules."""
        found: dict[str, Any] = {
            "format": "mol2",
            "molecules": self.molecules,
            "atoms": self.atoms,
            "bonds": self.bonds,
        }
        if self.molecules > MAX_NAMES:
            self.reason = f"of {self.molecules} molecules {MAX_NAMES} names are listed"
        found |= {"names": self.names, "elements": elements.counts(self.elements.items())}
        found |= {"molecule_types": list(self.kinds), "charge_types": list(self.charges)}
        return found
