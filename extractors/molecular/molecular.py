"""Molecular structures: what PDB, mmCIF, CIF, XYZ, mol2 and SD files hold.

A file is read once, line by line with bounded memory, as far as SECONDS go: the lines of atoms are counted
(molecular_atoms.py), of the rest the first HEADER_BYTES are parsed by gemmi, which does not know XYZ, mol2 and SD.
Gzip is seen through.
"""

from __future__ import annotations

import math
import re
import resource
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import molecular_atoms as atoms
import molecular_sdf as sdf
from extractor_open import DAMAGED, compression_of, expanding

MEMORY_BYTES = 800_000_000  # so that what a broken file asks for fails here, and not the whole batch
SECONDS = 20  # of reading, per file
HEADER_BYTES = 8 << 20
TORN_BYTES = 1 << 18  # of a header whose torn end is looked for
MAX_LINE = 1 << 20
MAX_TEXT = 4000
MAX_ITEMS = 1000
HEAD = 1 << 16
PDB_LINES = re.compile(
    rb"\s*(HEADER|OBSLTE|TITLE |SPLIT |CAVEAT|COMPND|SOURCE|KEYWDS|EXPDTA|NUMMDL|AUTHOR|REVDAT|JRNL  |REMARK|"
    rb"DBREF |SEQRES|HET   |HELIX |SHEET |CRYST1|ORIGX1|SCALE1|MODEL\s|ATOM  |HETATM)"
)
CIF_LINES = re.compile(rb"(\s|#[^\n]*\n)*data_\S*\s", re.IGNORECASE)
MOL2_LINES = re.compile(rb"(\s|#[^\n]*\n)*@<TRIPOS>")
XYZ_LINES = re.compile(
    rb"[ \t]*\d+[ \t]*\r?\n[^\n]*\n[ \t]*(?:[A-Za-z]{1,3}[\w+-]*|\d{1,3})([ \t]+[-+]?\d[\d.eE+-]*){3}"
)
DEPOSITED = "_pdbx_database_status.recvd_initial_deposition_date"
# Items of mmCIF (PDB exchange dictionary), and the keys under which their values stand
MMCIF = {
    "_entry.id": "entry_id",
    "_struct.title": "title",
    "_struct_keywords.pdbx_keywords": "classification",
    "_struct_keywords.text": "keywords",
    "_exptl.method": "methods",
    "_refine.ls_d_res_high": "resolution_angstrom",
    "_em_3d_reconstruction.resolution": "resolution_angstrom",
    DEPOSITED: "deposition_date",
    "_audit_author.name": "authors",
    "_entity_src_gen.pdbx_gene_src_scientific_name": "organisms",
    "_entity_src_nat.pdbx_organism_scientific": "organisms",
    "_pdbx_entity_src_syn.organism_scientific": "organisms",
    "_citation.pdbx_database_id_doi": "doi",
    "_entity.pdbx_description": "entities",
    "_symmetry.space_group_name_H-M": "space_group",
    "_space_group.name_H-M_alt": "space_group",
    "_struct_asym.id": "chains",
    "_chem_comp.id": "residues",
}
# Items of the core dictionary of small molecules
CORE = {
    "_chemical_name_common": "title", "_chemical_name_systematic": "title", "_chemical_formula_sum": "formula",
    "_symmetry_space_group_name_H-M": "space_group", "_space_group_name_H-M_alt": "space_group",
    "_journal_paper_doi": "doi", "_diffrn_ambient_temperature": "temperature_kelvin",
}  # fmt: skip
LISTS = {"methods", "authors", "organisms", "entities", "chains", "residues"}
NUMBERS = {"resolution_angstrom", "temperature_kelvin"}
PDB_ITEMS = ("_entry.id", "_struct.title", "_struct_keywords.pdbx_keywords", "_struct_keywords.text", DEPOSITED)
JRNL_DOI = re.compile(rb"^JRNL        DOI    (\S+)", re.MULTILINE)
CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def clean(text: str) -> str:
    """Return text such as JSON and a database can hold."""
    return " ".join(text.replace("\0", " ").split()).encode("utf-8", "replace").decode()[:MAX_TEXT]


def number(text: str) -> float | None:
    """Return a number of a CIF file, without its standard uncertainty; None where it is none."""
    try:
        value = float(text.split("(", 1)[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield a file's lines with their ends.

    Raises:
        ValueError: a line is absurdly long.
    """
    while line := stream.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise ValueError(f"it is not a structure: a line is longer than {MAX_LINE >> 20} MiB")
        yield line


def cif(header: bytes) -> dict[str, Any]:
    """Return what the items of the first data block say."""
    from gemmi import cif as parser  # noqa: PLC0415 - a batch without such files does not wait for it

    block = parser.read_string(header.decode("utf-8", "replace"))[0]
    macro = bool(block.find_value("_entry.id") or block.find_mmcif_category("_atom_site."))
    document: dict[str, Any] = {"format": "mmcif" if macro else "cif", "block": clean(block.name)}
    cut = []
    for item, key in (MMCIF if macro else CORE).items():
        values = [clean(parser.as_string(value)) for value in block.find_values(item) if not parser.is_null(value)]
        values = [value for value in dict.fromkeys(values) if value]
        cut += [key] if key in LISTS and len(values) > MAX_ITEMS else []
        values = values[:MAX_ITEMS]
        if not values or key in document:
            continue
        found = values if key in LISTS else number(values[0]) if key in NUMBERS else values[0]
        document |= {key: found} if found is not None else {}
    prefix = "_cell." if macro else "_cell_"
    cell = [number(block.find_value(prefix + name) or "") for name in CELL]
    reason = {"partial": f"only {MAX_ITEMS} of these are listed: {', '.join(cut)}"} if cut else {}
    return document | ({"cell": cell} if all(cell) else {}) | reason


def pdb(header: bytes) -> dict[str, Any]:
    """Return what the records in front of the atoms say."""
    import gemmi  # noqa: PLC0415

    structure = gemmi.read_pdb_string(header.decode("latin-1"))
    info = {key: clean(structure.info[key]) for key in structure.info}
    document: dict[str, Any] = {"format": "pdb"}
    for item in PDB_ITEMS:
        document |= {MMCIF[item]: info[item]} if info.get(item) else {}
    if methods := info.get("_exptl.method"):
        document["methods"] = [method.strip() for method in methods.split(";")][:MAX_ITEMS]
    if structure.resolution and math.isfinite(structure.resolution):
        document["resolution_angstrom"] = round(structure.resolution, 4)
    if authors := list(structure.meta.authors):
        document["authors"] = [clean(author) for author in authors[:MAX_ITEMS]]
    document |= compounds(header)
    if found := facts.dois(b" ".join(JRNL_DOI.findall(header)).decode("latin-1")):
        document["doi"] = found[0]
    cell = structure.cell
    lengths = (cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma)
    if cell.is_crystal() and all(map(math.isfinite, lengths)):
        document["cell"] = [round(each, 4) for each in lengths]
        document |= {"space_group": clean(structure.spacegroup_hm)} if structure.spacegroup_hm else {}
    return document


def compounds(header: bytes) -> dict[str, list[str]]:
    """Return molecules and organisms of the records COMPND and SOURCE, whose lines hold `KEY: value;`."""
    found: dict[str, list[str]] = {}
    for record, word, key in ((b"COMPND", "MOLECULE", "entities"), (b"SOURCE", "ORGANISM_SCIENTIFIC", "organisms")):
        lines_of = [line[10:80] for line in header.split(b"\n") if line.startswith(record)]
        text = " ".join(line.decode("latin-1").strip() for line in lines_of)
        values = [
            value for part in text.split(";") for name, _, value in (part.partition(":"),) if name.strip() == word
        ]
        if kept := list(dict.fromkeys(clean(value) for value in values if value.strip())):
            found[key] = kept[:MAX_ITEMS]
    return found


def common(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a structure says under the shared keys."""
    return facts.common(
        title=document.get("title"),
        creator=document.get("authors"),
        sample=[document.get("formula"), *document.get("entities", ()), *document.get("organisms", ())],
        technique=document.get("methods"),
        created=document.get("deposition_date"),
        keywords=[word.strip() for word in document.get("keywords", "").split(",")],
        doi=document.get("doi"),
    )


def read(stream: BinaryIO, counter: atoms.Counter) -> tuple[bytes, str]:
    """Count all atoms, as far as SECONDS go; return the other lines, and why it is not all, where it is not."""
    header, size, reason = [], 0, ""
    try:
        with extractor_batch.within(SECONDS):
            for line in lines(stream):
                if counter.take(line) or size + len(line) > HEADER_BYTES:
                    continue
                header.append(line)
                size += len(line)
    except extractor_batch.OutOfTime:
        reason = f"counted as far as {SECONDS} s go"
    except DAMAGED as exc:
        reason = f"its compressed content is broken: {clean(str(exc))}"
    return b"".join(header), reason or counter.reason


def parsed(header: bytes, parse: Callable[[bytes], dict[str, Any]], count: int) -> dict[str, Any]:
    """Return what `parse` makes of a header, or of its sound beginning, or just the reason if there were atoms."""
    try:
        return parse(header)
    except Exception as exc:
        reason = {"partial": f"its header is broken: {clean(str(exc))[:200]}"}
        beginning = header
        for _ in range(64 if len(header) < TORN_BYTES else 2):  # the last, torn items go, one by one
            beginning = beginning[: max(0, beginning.rstrip().rfind(b"\n")) + 1]
            try:
                return parse(beginning) | reason
            except Exception:  # noqa: BLE001, S112 - the first reason is the one that is told
                continue
        if not count:
            raise
        return {"format": "pdb" if parse is pdb else "cif"} | reason


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        head = file.read(HEAD)
        file.seek(0)
        compression = compression_of(head)
        stream: Any = file
        if compression:
            stream, head = expanding(file, compression), beginning(file, compression)
        document = described(stream, head)
    return document | ({"compression": compression} if compression else {})


def beginning(file: BinaryIO, compression: str) -> bytes:
    """Return how the content of a compressed file begins, as far as it is sound; the file is at its start again."""
    stream, found = expanding(file, compression), b""
    try:
        while len(found) < HEAD and (more := stream.read1(HEAD - len(found))):
            found += more
    except DAMAGED:
        pass
    file.seek(0)
    return found


def described(stream: BinaryIO, head: bytes) -> dict[str, Any]:
    """Return the document of a file by how its content begins."""
    for pattern, counter, parse in (
        (sdf.LINES, sdf.Sdf(), None),
        (MOL2_LINES, atoms.Mol2(), None),
        (CIF_LINES, atoms.Cif(), cif),
        (PDB_LINES, atoms.Pdb(), pdb),
        (XYZ_LINES, atoms.Xyz(), None),
    ):
        if pattern.match(head):
            header, reason = read(stream, counter)
            counted = counter.document()
            document = (parsed(header, parse, counted["atoms"]) if parse else {}) | counted
            reasons = dict.fromkeys(each for each in (document.get("partial"), reason, counter.reason) if each)
            document |= common(document) | facts.preview(excerpt=head.decode("latin-1"))
            return document | ({"partial": "; ".join(reasons)} if reasons else {})
    raise ValueError("it is not a PDB, mmCIF, CIF, XYZ, mol2 or SD file")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    extractor_batch.run(facts.told(extract), isolated=True)
