"""Formats of lines and tags: the golden documents are what their specifications say when the samples are split."""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import gemmi
import pysam
import pytest
from lxml import etree

from tests.suite.families import families

FAMILIES = families()


def sample(family: str, name: str) -> tuple[Path, dict[str, Any]]:
    """Return a sample and its golden document."""
    path = FAMILIES[family].manifest.folder / "samples" / name
    return path, FAMILIES[family].expected(path)


def header(path: Path) -> list[list[str]]:
    """Return the lines of a header of alignments, split: of CRAM as the library's newer version has them."""
    if path.suffix == ".cram":
        with pysam.AlignmentFile(str(path), check_sq=False) as file:
            text = str(file.header)
    elif path.suffix == ".bam":
        data = gzip.decompress(path.read_bytes())
        text = data[8 : 8 + struct.unpack_from("<i", data, 4)[0]].decode()
    else:
        text = path.read_text()
    return [line.split("\t") for line in text.split("\n") if line.startswith("@")]


@pytest.mark.parametrize("name", ["toy.sam", "toy.bam", "toy.cram", "headerless.sam"])
def test_a_header_of_alignments_is_the_one_of_its_lines(name: str) -> None:
    """References with their lengths, read groups, samples and the order are those of the lines' tags."""
    path, golden = sample("genomics", name)
    lines = header(path)
    tags = [(kind, dict(field.split(":", 1) for field in fields)) for kind, *fields in lines if kind != "@CO"]
    references = {each["SN"]: int(each["LN"]) for kind, each in tags if kind == "@SQ"}
    assert golden["reference_count"] == len(references)
    assert golden.get("references", []) == list(references)
    assert golden.get("reference_bases", 0) == sum(references.values())
    assert golden.get("read_groups", 0) == sum(kind == "@RG" for kind, _ in tags)
    assert set(golden.get("samples", [])) == {each["SM"] for kind, each in tags if kind == "@RG"}
    assert [golden.get("sort_order")] == ([each.get("SO") for kind, each in tags if kind == "@HD"] or [None])


@pytest.mark.parametrize("name", ["toy.vcf", "toy.vcf.gz", "toy.bcf"])
def test_variants_are_those_of_the_lines(name: str) -> None:
    """Contigs, samples and fields of information are those of the header's lines; records those of a text."""
    path, golden = sample("genomics", name)
    text = path.with_name("toy.vcf").read_text()
    if path.suffix == ".gz":
        text = gzip.decompress(path.read_bytes()).decode()
    lines = text.splitlines()
    assert golden["contigs"] == [line[13:].split(",")[0] for line in lines if line.startswith("##contig=<ID=")]
    assert golden["info"] == [line[11:].split(",")[0] for line in lines if line.startswith("##INFO=<ID=")]
    assert golden["samples"] == next(line for line in lines if line.startswith("#CHROM")).split("\t")[9:]
    if path.suffix != ".bcf":
        assert golden["records"] == sum(bool(line) and not line.startswith("#") for line in lines)


def symbols(path: Path) -> list[list[str]]:
    """Return the words that stand for elements, molecule by molecule or frame by frame."""
    lines = path.read_text().splitlines()
    if path.suffix == ".xyz":
        frames = []
        while lines and lines[0].strip():
            count = int(lines[0])
            frames.append([line.split()[0] for line in lines[2 : 2 + count]])
            lines = lines[2 + count :]
        return frames
    if path.suffix == ".mol2":
        parts = path.read_text().split("@<TRIPOS>ATOM\n")[1:]
        tables = [part.split("@<TRIPOS>")[0].splitlines() for part in parts]
        return [[row.split()[5].split(".")[0] for row in each if row.strip()] for each in tables]
    found = []
    for molecule in path.read_text().split("$$$$\n"):
        rows = molecule.splitlines()
        if len(rows) > 3 and "V3000" in rows[3]:
            atoms = molecule.split("BEGIN ATOM\n")[1].split("M  V30 END ATOM")[0].splitlines()
            found.append([row.split()[3] for row in atoms])
        elif len(rows) > 3:
            found.append([row[31:34].strip() for row in rows[4 : 4 + int(rows[3][:3])]])
    return found


@pytest.mark.parametrize("name", ["water.xyz", "water.mol2", "water.sdf"])
def test_atoms_are_those_of_the_columns(name: str) -> None:
    """Elements are those of the symbols' column: of all molecules, of a trajectory those of its first frame."""
    path, golden = sample("molecular", name)
    found = symbols(path)
    counted = found[:1] if path.suffix == ".xyz" else found
    elements = Counter(gemmi.Element(word).name for each in counted for word in each)
    assert golden["elements"] == elements
    assert golden["atoms"] == elements.total()
    assert golden["frames" if path.suffix == ".xyz" else "molecules"] == len(found)


def test_a_run_of_vasp_is_what_its_xml_says() -> None:
    """Atoms, elements, cutoff and k-points of vasprun.xml are those that XPath finds."""
    path, golden = sample("simulation", "vasprun.xml")
    tree = etree.parse(path)
    atoms = [one.text.strip() for one in tree.findall(".//atominfo/array[@name='atoms']/set/rc/c[1]")]
    assert golden["elements"] == Counter(atoms)
    assert golden["atoms"] == len(atoms)
    assert golden["cutoff_ev"] == float(tree.findtext(".//parameters//i[@name='ENMAX']", "0"))
    assert golden["k_points"] == len(tree.findall(".//kpoints/varray[@name='kpointlist']/v"))
    assert golden["energy_ev"] == float(tree.findall(".//calculation/energy/i[@name='e_fr_energy']")[-1].text)
