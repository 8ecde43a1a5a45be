"""Lines of features and alignments: GFF3 and GTF, BED, PAF, counted in one pass with bounded memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import extractor_facts as facts

MAX_NAMES = 5000
MAX_SEEN = 200_000  # names that are told apart
MAX_LINE = 4 << 20
GFF = re.compile(rb"[^\t\n#>][^\t\n]*\t[^\t\n]*\t[^\t\n]+\t\d+\t\d+\t[^\t\n]+\t[+.?-]\t[.012]\t[^\n]*")
BED = re.compile(rb"[^\t\n# ][^\t\n]{0,254}\t\d+\t\d+(?:\t[^\n]*)?")
PAF = re.compile(rb"[^\t\n]+\t\d+\t\d+\t\d+\t[+-]\t[^\t\n]+\t\d+\t\d+\t\d+\t\d+\t\d+\t\d{1,3}(?:\t[^\n]*)?")
BED_COLUMNS = (
    "chrom", "start", "end", "name", "score", "strand", "thickStart", "thickEnd", "itemRgb", "blockCount",
    "blockSizes",
    "blockStarts",
)  # fmt: skip
GFF_COLUMNS = ("sequence", "source", "type", "start", "end", "score", "strand", "phase", "attributes")
PAF_COLUMNS = ("query", "length", "start", "end", "strand", "target", "length", "start", "end", "matches", "block",
               "quality")  # fmt: skip
PRAGMAS = {b"species": "species", b"genome-build": "assemblies"}


def kind_of(head: bytes) -> str:
    """Return `gff3`, `gtf`, `bed` or `paf` by how a file begins; empty where it is none of them."""
    if head.startswith(b"##gff-version"):
        return "gff3"
    whole = head[: head.rfind(b"\n") + 1] or head
    said = (b"#", b"track", b"browser")
    lines = [line for line in whole.replace(b"\r", b"").split(b"\n")[:200] if line and not line.startswith(said)]
    for kind, pattern in (("gff3", GFF), ("paf", PAF), ("bed", BED)):
        if lines and all(pattern.fullmatch(line) for line in lines):
            return "gtf" if kind == "gff3" and b'gene_id "' in lines[0] else kind
    return ""


class Lines:
    """What the lines of one file say."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.records = self.odd = self.matches = self.aligned = 0
        self.types: Counter[bytes] = Counter()
        self.names: dict[str, dict[bytes, None]] = {}
        self.said: dict[str, Any] = {}
        self.columns = 0
        self.rows: list[list[str]] = []
        self.sequence = False  # GFF3 may end with FASTA

    def take(self, line: bytes) -> None:
        """Take one line."""
        if not line or self.sequence:
            return
        if line[:1] == b"#" or line.startswith((b"track", b"browser")):
            self._comment(line)
            return
        parts = line.split(b"\t")
        try:
            getattr(self, f"_{self.kind.rstrip('3')}")(parts)
        except (ValueError, IndexError):
            self.odd += 1
            return
        self.records += 1
        if len(self.rows) < facts.MAX_ROWS:
            self.rows.append([part.decode("utf-8", "replace") for part in parts[:12]])

    def _comment(self, line: bytes) -> None:
        if line.startswith(b"##FASTA"):
            self.sequence = True
        word, _, rest = line.lstrip(b"#").strip().partition(b" ")
        if word == b"gff-version" and rest:
            self.said["format_version"] = facts.text(rest.decode("utf-8", "replace"), 20)
        elif word in PRAGMAS and rest:
            self.said[PRAGMAS[word]] = [facts.text(rest.decode("utf-8", "replace"))]

    def _name(self, key: str, name: bytes) -> None:
        kept = self.names.setdefault(key, {})
        if len(kept) < MAX_SEEN:
            kept[name] = None

    def _gff(self, parts: list[bytes]) -> None:
        if int(parts[3]) < 0 or len(parts) < 9:
            raise ValueError
        self.types[parts[2]] += 1
        self._name("contigs", parts[0])
        self._name("sources", parts[1])

    _gtf = _gff

    def _bed(self, parts: list[bytes]) -> None:
        if not 0 <= int(parts[1]) <= int(parts[2]):
            raise ValueError
        self.columns = max(self.columns, len(parts))
        self._name("contigs", parts[0])
        self.aligned += int(parts[2]) - int(parts[1])

    def _paf(self, parts: list[bytes]) -> None:
        self.matches += int(parts[9])
        self.aligned += int(parts[10])
        self._name("queries", parts[0])
        self._name("contigs", parts[5])

    def document(self) -> dict[str, Any]:
        """Return what they say."""
        found: dict[str, Any] = {"records": self.records} | self.said
        if self.types:
            found["features"] = {facts.text(key.decode("utf-8", "replace"), 200) or "?": count
                                 for key, count in self.types.most_common(500)}  # fmt: skip
        reasons = [f"of {len(self.types)} types of features 500 are listed"] if len(self.types) > 500 else []
        for key, names in self.names.items():
            shown = [facts.text(name.decode("utf-8", "replace"), 500) for name in list(names)[:MAX_NAMES]]
            found[key] = [name for name in shown if name][: 100 if key == "queries" else MAX_NAMES]
            if len(names) > len(found[key]):
                more = " or more" if len(names) == MAX_SEEN else ""
                reasons.append(f"of {len(names)}{more} {key} {len(found[key])} are listed")
        if "contigs" in self.names:
            found["contig_count"] = len(self.names["contigs"])
        if "queries" in self.names:
            found |= {"query_count": len(self.names["queries"]), "matches": self.matches}
        if self.kind in {"bed", "paf"}:
            found["aligned_bases" if self.kind == "paf" else "covered_bases"] = self.aligned
        if self.kind == "bed":
            found["columns"] = self.columns
        if self.odd:
            reasons.append(f"{self.odd} lines are none of {self.kind}")
        columns = {"bed": BED_COLUMNS, "paf": PAF_COLUMNS}.get(self.kind, GFF_COLUMNS)
        width = max(map(len, self.rows), default=0)
        found |= facts.preview(table=facts.table(columns[:width], self.rows)) if width else {}
        return found | ({"partial": "; ".join(reasons)} if reasons else {})


def counter(kind: str) -> Any:
    """Return what counts the lines of a kind, block by block."""

    def count(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        lines, rest = Lines(kind), b""
        for block in blocks:
            *whole, rest = (rest + block).split(b"\n")
            if len(rest) > MAX_LINE:
                raise ValueError(f"one of its lines is longer than {MAX_LINE >> 20} MiB")
            for line in whole:
                lines.take(line.rstrip(b"\r"))
            yield lines.document()
        lines.take(rest.rstrip(b"\r"))
        yield lines.document()

    return count
