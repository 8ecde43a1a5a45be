"""Facts of structures: elements are those of the periodic table, and those that gemmi finds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import Later
from tests.support.rows import each_row

gemmi = Later("gemmi")
molecular, elements = Later("molecular", "molecular"), Later("molecular_elements", "molecular")
quick = examples(50, HealthCheck.function_scoped_fixture)
SYMBOLS = st.sampled_from(elements.TABLE)
# Atoms of residues as the PDB and CHARMM name them, with their elements
ATOMS = [("N", "MET", "N"), ("CA", "MET", "C"), ("CD", "LYS", "C"), ("CE", "LYS", "C"), ("SD", "MET", "S"),
         ("HG1", "LYS", "H"),
         ("NE", "ARG", "N"), ("HE", "ARG", "H"), ("HH12", "ARG", "H"), ("CD1", "PHE", "C"), ("OG", "SER", "O"),
         ("CB", "HSD", "C"), ("P", "DA", "P"), ("HO5'", "DA", "H"), ("OH2", "TIP3", "O")]  # fmt: skip
IONS = [("CA", "CA", "Ca"), ("ZN", "ZN", "Zn"), ("NA", "NA", "Na"), ("SOD", "SOD", "Na"), ("CLA", "CLA", "Cl"),
        ("CAL", "CAL", "Ca"), ("FE", "HEM", "Fe")]  # fmt: skip


def line(name: str, residue: str, element: str, kind: str = "ATOM  ") -> str:
    """Return an atom's line; the name has its four columns."""
    place = "   0.000   0.000   0.000  1.00  0.00"
    return f"{kind}    1 {name:<4s} {residue:<4s}    1    {place}          {element:>2s}\n"


@quick
@given(atoms=st.lists(SYMBOLS, min_size=1, max_size=40))
def test_a_column_of_elements_is_taken_as_gemmi_takes_it(tmp_path: Path, atoms: list[str]) -> None:
    """Symbols of a PDB file with elements, and of XYZ in capitals or not or by numbers, are counted."""
    pdb = "".join(line(symbol.upper(), "LIG", symbol.upper()) for symbol in atoms)
    (tmp_path / "a.pdb").write_text(pdb)
    known = Counter(
        atom.element.name for model in gemmi.read_pdb_string(pdb) for chain in model for r in chain for atom in r
    )
    assert molecular.extract(str(tmp_path / "a.pdb"))["elements"] == known == Counter(atoms)
    numbers = [str(elements.TABLE.index(symbol) + 1) for symbol in atoms]
    for words in (atoms, [symbol.upper() for symbol in atoms], numbers):
        rows = "".join(f"{word} 0.0 0.0 0.0\n" for word in words)
        (tmp_path / "a.xyz").write_text(f"{len(atoms)}\nframe\n{rows}")
        assert molecular.extract(str(tmp_path / "a.xyz"))["elements"] == Counter(atoms)


@pytest.mark.parametrize("left", [True, False])
def test_names_of_atoms_are_no_metals(tmp_path: Path, left: bool) -> None:
    """Without a column of elements, a carbon CA is carbon and an ion CA is calcium, wherever the names begin."""
    rows = ""
    for name, residue, element in ATOMS + IONS:
        aligned = name if left or len(element) == 2 or len(name) == 4 else f" {name}"
        rows += line(aligned, residue, "", "HETATM" if residue == "HEM" else "ATOM  ")
    (tmp_path / "a.pdb").write_text(rows)
    expected = Counter(element for _, _, element in ATOMS + IONS)
    assert molecular.extract(str(tmp_path / "a.pdb"))["elements"] == expected


@each_row(
    ("words", "expected"),
    [
        (["CA", "HA", "OW"], {"C": 1, "H": 1, "O": 1}), (["CL", "NA", "O"], {"Cl": 1, "Na": 1, "O": 1}),
        (["Ca", "Fe2+", "O2-"], {"Ca": 1, "Fe": 1, "O": 1}),
        (["OW", "HW1", "HW2", "Na"], {"O": 1, "H": 2, "Na": 1}),
        (["C1", "H1A", "Cl2"], {"C": 1, "H": 1, "Cl": 1}), (["Q", "QQ"], {}),
        (["CA", "CA"], {}), (["N", "CA", "C", "O"], {"N": 1, "C": 1, "O": 1}),
        (["CA", "C", "O"], {"Ca": 1, "C": 1, "O": 1}),
        (["D", "O"], {"H": 1, "O": 1}),
    ],
)  # fmt: skip
def test_words_of_xyz_are_symbols_or_names(tmp_path: Path, words: list[str], expected: dict[str, int]) -> None:
    """Where all words are symbols they are elements; where one is a name, all in capitals are."""
    rows = "".join(f"{word} 0.0 0.0 0.0\n" for word in words)
    (tmp_path / "a.xyz").write_text(f"{len(words)}\nframe\n{rows}")
    found = molecular.extract(str(tmp_path / "a.xyz"))
    assert (found["elements"], found["atoms"]) == (expected, len(words))


@quick
@given(word=st.binary(max_size=6))
def test_whatever_stands_there_an_element_is_one_or_none(word: bytes) -> None:
    """No bytes make an element that is not in the periodic table."""
    table = {symbol.encode() for symbol in elements.TABLE} | {b""}
    assert {
        elements.symbol(word),
        elements.of_label(word),
        elements.of_name(word),
        elements.of_types(word),
    } <= table


def test_a_trace_of_alpha_carbons_is_no_calcium(tmp_path: Path) -> None:
    """Atoms CA of residues that nobody knows are carbon, unless the residue is the ion."""
    (tmp_path / "a.pdb").write_text(
        line("CA", "XYZ", "") * 3 + line("CA", "CA", "") + line("CA", "LIG", "", "HETATM")
    )
    assert molecular.extract(str(tmp_path / "a.pdb"))["elements"] == {"C": 3, "Ca": 2}


def test_mol2_types_of_sybyl_and_force_fields_differ(tmp_path: Path) -> None:
    """A type with a capital is a symbol, one in small letters of a force field; dummies are no element."""
    types = ("C.ar", "Ca", "ca", "hc", "cl", "Du", "LP", "N.pl3")
    rows = "".join(f"{n} X 0 0 0 {kind} 1 R 0\n" for n, kind in enumerate(types))
    (tmp_path / "a").write_text(f"@<TRIPOS>MOLECULE\nm\n8 0\nSMALL\nX\n@<TRIPOS>ATOM\n{rows}")
    assert molecular.extract(str(tmp_path / "a"))["elements"] == {"C": 2, "Ca": 1, "Cl": 1, "H": 1, "N": 1}


def test_pdb_tells_what_it_is_of_and_its_doi(tmp_path: Path) -> None:
    """Title, authors, molecules, organisms, date and DOI stand under the shared keys."""
    text = (
        "HEADER    TOY                                     29-FEB-24   9XYZ\nTITLE     A TOY\n"
        "COMPND    MOL_ID: 1;\nCOMPND   2 MOLECULE: TOYASE;\nSOURCE    ORGANISM_SCIENTIFIC: EXEMPLUM VULGARE;\n"
        "EXPDTA    X-RAY DIFFRACTION\nAUTHOR    E.NOETHER\nJRNL        DOI    10.5072/ABC.1\n"
        + line(" CA", "GLY", "C")
    )
    (tmp_path / "a").write_text(text)
    assert molecular.extract(str(tmp_path / "a"))["common"] == {
        "title": "A TOY", "creator": ["NOETHER, E."], "sample": ["TOYASE", "EXEMPLUM VULGARE"],
        "technique": ["X-RAY DIFFRACTION"], "created": "2024-02-29", "doi": ["10.5072/abc.1"],
    }  # fmt: skip


INDENTED = """data_BaTiO3
_cell_length_a   3.99
_cell_length_b   3.99
_cell_length_c   4.03
_cell_angle_alpha   90
_cell_angle_beta   90
_cell_angle_gamma   90
loop_
 _atom_site_label
 _atom_site_type_symbol
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_note
  Ba1  Ba  0.0  0.0  0.0  .
  Ti1  Ti  0.5  0.5
    0.42  'it goes on in the next line'
  O1  O  0.5  0.5  0.03
;a text
of lines
;
  'O 2'  O  0.5  0.0  0.51  "O's place"  O3  O  0.0  0.5  0.51  .
loop_
 _symmetry_equiv_pos_as_xyz
  'x, y, z'
  '-x, -y, z'
"""


def test_atoms_of_a_cif_are_those_of_gemmi_however_its_lines_are_broken(tmp_path: Path) -> None:
    """Names and rows may be indented, as pymatgen and VESTA write them, and rows go over lines and share them."""
    (tmp_path / "a.cif").write_text(INDENTED)
    sites = gemmi.make_small_structure_from_block(gemmi.cif.read_string(INDENTED)[0]).sites
    found = molecular.extract(str(tmp_path / "a.cif"))
    assert found["atoms"] == len(sites)
    assert found["elements"] == dict(Counter(site.element.name for site in sites)) == {"Ba": 1, "Ti": 1, "O": 3}


LOOP = "data_a\nloop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n"


@each_row(
    "rows",
    [
        "O5' O 1 # first\nC1 C 2\n",
        "O1 O # two of three\n1 C1 C 2\n",
        "O1 O '0.1 # 2'\nC1 C 0#2\n",
        "'O 1' O\n1\nC1 C 2\n",
        "O1 O 1\n\n# a line\nC1 C 2\n",
        "O1 O\n;1\n; C1 C 2\n",
    ],
)
@each_row("end", ["", "loop_\n_b\n1\n", "DATA_b\n_c 1\n", "save_\n", "stop_\n_c 1\n"])
def test_comments_and_ends_of_a_loop_are_no_atoms(tmp_path: Path, rows: str, end: str) -> None:
    """A comment ends its line, not the loop, which a reserved word ends (CIF 1.1, syntax 2.2.7.1)."""
    opened = "data_f\nsave_f\n" if end == "save_\n" else ""
    (tmp_path / "a.cif").write_text(LOOP.replace("data_a\n", opened or "data_a\n") + rows + end)
    if not end:
        values = gemmi.cif.read_string(LOOP + rows)[0].find_values("_atom_site_type_symbol")
        assert list(values) == ["O", "C"]
    found = molecular.extract(str(tmp_path / "a.cif"))
    assert (found["atoms"], found["elements"]) == (2, {"C": 1, "O": 1})


@quick
@given(
    symbols=st.lists(st.sampled_from(["C", "N", "O", "Fe"]), min_size=1, max_size=8),
    more=st.integers(0, 3),
    breaks=st.lists(st.integers(1, 7), max_size=8),
)
def test_rows_of_a_cif_begin_and_end_anywhere_in_lines(
    tmp_path: Path, symbols: list[str], more: int, breaks: list[int]
) -> None:
    """Also where some lines are rows, and others have fewer values, atoms are those that gemmi finds."""
    columns = ["label", "type_symbol", *map("x{}".format, range(more))]
    values = [value for symbol in symbols for value in (f"{symbol}1", symbol, *["'0 1'"] * more)]
    lines = []
    for size in [*breaks, len(values)]:
        lines.append(" ".join(values[:size]))
        values = values[size:]
    content = "data_a\nloop_\n" + "".join(f"_atom_site_{name}\n" for name in columns) + "\n".join(lines) + "\n"
    (tmp_path / "a.cif").write_text(content)
    known = list(gemmi.cif.read_string(content)[0].find_values("_atom_site_type_symbol"))
    found = molecular.extract(str(tmp_path / "a.cif"))
    assert (found["atoms"], found["elements"], found.get("partial")) == (len(known), Counter(known), None)


def test_a_row_with_too_few_values_costs_only_itself(tmp_path: Path) -> None:
    """Where each line is a row, the next line is the next row, and the document says that one is torn."""
    (tmp_path / "a.cif").write_text(LOOP + "C1 C 1\nC2 C\nO1 O 3\nN1 N 4\n")
    found = molecular.extract(str(tmp_path / "a.cif"))
    assert (found["atoms"], found["elements"]) == (4, {"C": 2, "O": 1, "N": 1})
    assert "fewer or more values than columns" in found["partial"]


@pytest.mark.parametrize("line", ["'x " * 20_000, "\"y 'x " * 10_000, "C " * 300_000], ids=["one", "both", "rows"])
def test_hostile_lines_of_a_cif_are_read_once(tmp_path: Path, line: str) -> None:
    """Quotes without an end and many rows in a line take time by their length: none is out of time."""
    (tmp_path / "a.cif").write_text(LOOP + "C1 C 1\n" + line + "\n")
    assert "counted as far as" not in molecular.extract(str(tmp_path / "a.cif")).get("partial", "")


def test_a_loop_of_too_many_columns_has_no_atoms(tmp_path: Path) -> None:
    """The document says so, and a row over hundreds of lines is not put together."""
    names = "".join(f"_atom_site_n{number}\n" for number in range(300))
    (tmp_path / "a.cif").write_text(LOOP + names + "C\n" * 303)
    found = molecular.extract(str(tmp_path / "a.cif"))
    assert found["atoms"] == 0
    assert found["partial"] == "atoms of loops of more than 200 columns are not counted"
    (tmp_path / "b.cif").write_text(LOOP + "C1 C 1\nloop_\n" + names.replace("_atom_site", "_b") + "C\n" * 300)
    assert "partial" not in molecular.extract(str(tmp_path / "b.cif"))
