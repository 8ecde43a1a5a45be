"""Structures that nobody would write on purpose: lines without end, absurd counts, loops without rows."""

from __future__ import annotations

import gzip
from pathlib import Path

LARGE = 2 << 30
MEGABYTE = 1 << 20


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, or sparse ones of 2 GB."""
    atom = b"ATOM      1  N   GLY A   1       1.000   1.000   1.000  1.00 10.00           N\n"
    sites = b"data_x\nloop_\n_atom_site.id\n_atom_site.type_symbol\n"
    makers = {
        "line-without-end.pdb.gz": gzip.compress(b"HEADER    " + b"x" * (64 * MEGABYTE), mtime=0),
        "lines-without-end.pdb.gz": gzip.compress(atom, mtime=0) + gzip.compress(atom * 100_000, mtime=0) * 3,
        "remarks.pdb.gz": gzip.compress(b"REMARK   2 RESOLUTION. nan ANGSTROMS.\n" * 300_000, mtime=0),
        "models.pdb": b"MODEL     1\nENDMDL\n" * 200_000,
        "short-lines.pdb": b"HEADER\nCRYST1\nSEQRES\nATOM  \nATOM\nHETATM\nMODEL\nSCALE1\nREMARK\n" * 3,
        "wild-numbers.pdb": b"HEADER\nCRYST1 1e999999      nan      inf -9999999999999\n"
        + atom.replace(b"1.000", b"  nan"),
        "binary.pdb": b"HEADER    \0\1\2\xff\xfe\nTITLE     \x1b[31m\xff\n" + bytes(range(256)) * 10,
        "loops.cif": b"data_x\n" + b"loop_\n_a\n1\n" * 100_000,
        "columns.cif.gz": gzip.compress(
            b"data_x\nloop_\n"
            + b"".join(b"_atom_site.c%d\n" % n for n in range(500_000))
            + b"_atom_site.d\n" * 9_500_000,
            1,
        ),
        "items.cif": b"data_x\n" + b"".join(b"_i%d 1\n" % n for n in range(100_000)),
        "blocks.cif": b"data_x\n" * 300_000,
        "frames.cif": b"data_x\n" + b"save_y\n" * 100_000,
        "quote.cif": b"data_x\n_a '" + b"x" * 500_000,
        "text-without-end.cif": b"data_x\n_entry.id\n;" + b"line\n;x" * 200_000,
        "text-in-rows.cif": sites + b"1 C\n;\n" * 100_000,
        "rows.cif.gz": gzip.compress(sites + b"1 C\n" * 100_000, mtime=0),
        "kinds.cif": sites
        + b"".join(
            b"1 %s\n" % (bytes((97 + n % 26, 97 + n // 26 % 26, 97 + n // 676 % 26))) for n in range(50_000)
        ),
        "empty-rows.cif": b"data_x\nloop_\n_atom_site.type_symbol\n" + b"\n" * 100_000,
        "twice.cif": b"data_x\n_entry.id a\n_entry.id b\n",
        "atoms.xyz": b"999999999999\nx\nH 0.0 0.0 0.0\n",
        "digits.xyz": b"9" * 5_000 + b"\nx\nH 0.0 0.0 0.0\n",
        "frames.xyz": b"0\n\n" * 300_000 + b"1\n\nH 0.0 0.0 0.0\n",
        "molecules.mol2": b"@<TRIPOS>MOLECULE\nx\n1\nSMALL\nNONE\n" * 100_000,
        "sections.mol2": b"@<TRIPOS>\n@<TRIPOS>ATOM\n1\n@<TRIPOS>BOND\n" * 50_000,
        "members-without-end.pdb.gz": gzip.compress(atom, mtime=0) + gzip.compress(b"", mtime=0) * 50_000,
    }
    for name, content in makers.items():
        (folder / name).write_bytes(content)
    for name, start in (("sparse.pdb", atom), ("sparse.cif", b"data_x\n"), ("sparse.xyz", b"1\n\nH 0.0 0.0 0.0\n")):
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one PDB file of about `size_bytes`, all of it atoms."""
    path = folder / "large.pdb"
    atom = b"ATOM  %5d  N   GLY A   1       1.000   1.000   1.000  1.00 10.00           N  \n"
    atoms = b"".join(atom % (n % 100_000) for n in range(10_000))
    with path.open("wb") as file:
        file.write(b"HEADER    LARGE\n")
        for _ in range(size_bytes // len(atoms)):
            file.write(atoms)
    return path
