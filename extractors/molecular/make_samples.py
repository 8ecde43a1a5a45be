#!/usr/bin/env python3
"""Write the samples of the extractor anew: small files of every kind, the same bytes each time."""

from __future__ import annotations

import gzip
from pathlib import Path

HEADER = """\
HEADER    TOY PROTEIN                             29-FEB-24   9XYZ
TITLE     A TOY OF TWO RESIDUES
KEYWDS    TOY, EXAMPLE
EXPDTA    X-RAY DIFFRACTION
AUTHOR    R.RESEARCHER,S.STUDENT
REMARK   2
REMARK   2 RESOLUTION.    1.80 ANGSTROMS.
SEQRES   1 A    2  GLY ALA
CRYST1   30.000   40.000   50.000  90.00  90.00  90.00 P 21 21 21    4
"""
ATOMS = (
    ("N", "N", "GLY", 1), ("CA", "C", "GLY", 1), ("C", "C", "GLY", 1), ("O", "O", "GLY", 1),
    ("N", "N", "ALA", 2), ("CA", "C", "ALA", 2),
)  # fmt: skip
MMCIF = """\
data_9XYZ
#
_entry.id   9XYZ
_struct.entry_id   9XYZ
_struct.title      'A toy of two residues'
_exptl.entry_id    9XYZ
_exptl.method      'X-RAY DIFFRACTION'
_refine.ls_d_res_high   1.80
_pdbx_database_status.recvd_initial_deposition_date   2024-02-29
_cell.length_a     30.000
_cell.length_b     40.000
_cell.length_c     50.000
_cell.angle_alpha  90.00
_cell.angle_beta   90.00
_cell.angle_gamma  90.00
_symmetry.space_group_name_H-M   'P 21 21 21'
#
loop_
_audit_author.name
_audit_author.pdbx_ordinal
'Researcher, R.' 1
'Student, S.' 2
#
_entity.id   1
_entity.pdbx_description
;a toy
of two residues
;
_entity_src_gen.pdbx_gene_src_scientific_name   'Exemplum vulgare'
_struct_asym.id   A
#
loop_
_chem_comp.id
_chem_comp.type
GLY 'peptide linking'
ALA 'L-peptide linking'
#
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_comp_id
_atom_site.Cartn_x
_atom_site.pdbx_PDB_model_num
"""
CIF = """\
data_salt
_chemical_name_common 'table salt'
_chemical_formula_sum 'Cl Na'
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 5.6402(2)
_cell_length_b 5.6402(2)
_cell_length_c 5.6402(2)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_diffrn_ambient_temperature 293(2)
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
Na1 Na 0
Cl1 Cl 0.5
"""
XYZ = """3
water
O   0.000  0.000  0.117
H   0.000  0.757 -0.467
H   0.000 -0.757 -0.467
"""
MOL2 = """@<TRIPOS>MOLECULE
water
3 2 1 0 0
SMALL
USER_CHARGES

@<TRIPOS>ATOM
1 O1 0.0 0.0 0.117 O.3 1 WAT -0.8
2 H1 0.0 0.757 -0.467 H 1 WAT 0.4
3 H2 0.0 -0.757 -0.467 H 1 WAT 0.4
@<TRIPOS>BOND
1 1 2 1
2 1 3 1
"""


def pdb() -> str:
    """Return a PDB file with two models."""
    rows = "".join(
        f"ATOM  {n:5d}  {name:<3s} {residue} A{place:4d}    {n:8.3f}{n:8.3f}{n:8.3f}  1.00 10.00{element:>12s}\n"
        for n, (name, element, residue, place) in enumerate(ATOMS, 1)
    )
    rows += "HETATM    7 ZN    ZN B   1       1.000   1.000   1.000  1.00 10.00          ZN\n"
    return HEADER + "".join(f"MODEL     {model:4d}\n{rows}ENDMDL\n" for model in (1, 2)) + "END\n"


SDF = """water
  made by hand

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1170 O   0  0  0  0  0  0  0  0  0  0  0  0
    0.0000    0.7570   -0.4670 H   0  0  0  0  0  0  0  0  0  0  0  0
    0.0000   -0.7570   -0.4670 H   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0
  1  3  1  0
M  END
> <melting_point>
273.15

$$$$
chloride
  made by hand

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 1 0 0 0 0
M  V30 BEGIN ATOM
M  V30 1 Cl 0 0 0 0 CHG=-1
M  V30 END ATOM
M  V30 END CTAB
M  END
$$$$
"""


def charmm() -> str:
    """Return a PDB file as CHARMM writes it: names begin in the first column, and no column has elements."""
    names = (("N", "MET"), ("HT1", "MET"), ("CA", "MET"), ("CD", "LYS"), ("HG1", "LYS"), ("NE", "ARG"),
             ("SOD", "SOD"), ("CLA", "CLA"), ("OH2", "TIP3"))  # fmt: skip
    return "MODEL\n" + "".join(
        f"ATOM  {n:5d} {name:<4s} {residue:<4s} {n:4d}    {n:8.3f}{n:8.3f}{n:8.3f}  1.00  0.00      PROT\n"
        for n, (name, residue) in enumerate(names, 1)
    )


def mmcif() -> str:
    """Return an mmCIF file."""
    rows = "".join(
        f"ATOM {n} {element} {name} {residue} {n}.000 1\n" for n, (name, element, residue, _) in enumerate(ATOMS, 1)
    )
    return MMCIF + rows + "HETATM 7 ZN ZN ZN 1.000 1\n#\n"


def samples(folder: Path) -> None:
    """Write all samples into `folder`."""
    folder.mkdir(exist_ok=True)
    for name, content in (
        ("toy.pdb", pdb()),
        ("toy.cif", mmcif()),
        ("salt.cif", CIF),
        ("water.xyz", XYZ * 3),
        ("water.mol2", MOL2 * 2),
        ("named.txt", pdb()),
        ("torn.cif", mmcif()[:-30]),
        ("torn-header.cif", MMCIF[:700]),
        ("torn.xyz", XYZ + XYZ[:-30]),
        ("bad-text.pdb", "no structure at all\n"),
        ("charmm.pdb", charmm()),
        ("names.xyz", "4\nMD frame\nCA 0.0 0.0 0.0\nHA 1.0 0.0 0.0\nOW 0.0 1.0 0.0\nNA 0.0 0.0 1.0\n"),
        ("numbers.xyz", "2\n\n6 0.0 0.0 0.0\n17 1.0 0.0 0.0\n"),
        ("water.sdf", SDF),
        ("torn-quote.cif", "data_x\n_entry.id 'without an end\n"),
    ):
        (folder / name).write_text(content)
    (folder / "toy.pdb.gz").write_bytes(gzip.compress(pdb().encode(), mtime=0))
    (folder / "toy.cif.gz").write_bytes(gzip.compress(mmcif().encode(), mtime=0))


if __name__ == "__main__":
    samples(Path(__file__).resolve().parent / "samples")
