"""Outputs that nobody would write on purpose: lines without end, absurd numbers, marks alone."""

from __future__ import annotations

import gzip
from pathlib import Path

LARGE = 5 << 28
HEADS = {
    "gaussian": b" Entering Gaussian System, Link 0\n",
    "orca": b" * O   R   C   A *\n",
    "cp2k": b" CP2K| version string: CP2K version 1\n",
    "pw": b" Program PWSCF v.7 starts on  2Mar2026 at 10:11:12\n Quantum ESPRESSO\n",
    "vasp": b" vasp.6.1\n executed on x date 2026.99.99  99:99:99\n",
    "gromacs": b"GROMACS: gmx mdrun, version\n",
    "lammps": b"LAMMPS (1)\n",
    "foam": b"\nExec : x\nCase : y\nBuild : z\nDate   : Feb 31 2026\nTime   : 99:99:99\n",
}
MARKS = b"""\
 #
 #p
 Stoichiometry
 Stoichiometry Zz99999999999999999999H9999999999999
 Multiplicity =
 Charge =
 SCF Done:  E(X) = 9e999 A.U.
 SCF Done:
 Elapsed time: days hours
 Normal termination of Gaussian at never
|  1> !
|  2> !!
CARTESIAN COORDINATES (ANGSTROEM)
FINAL SINGLE POINT ENERGY nan
TOTAL RUN TIME:
 Atomic kind:
 Atomic kind: X Number of atoms: 99999999999999999999
 ENERGY| Total FORCE_EVAL
 FUNCTIONAL|
 PROGRAM STARTED AT
 GLOBAL| Run type
 tau(
   99999999999999999999 Si tau( 1)
!    total energy = 1e400 Ry
 x WALL
 PWSCF : CPU 1.1.1s WALL
 Error in routine
 VRHFIN =
 ions per type = 1 2 3
 GGA     =
 IBRION =
 ref-t: a b
 Statistics over 99999999999999999999 steps
 dt =
Finished mdrun on rank 0
units
timestep
timestep x
Loop time of on 99999999999999999999 procs for 1 steps with 1 atoms
Total wall time: 9:99
ERROR
Time = 1e999
Time =
Date
ExecutionTime =
FOAM FATAL
End
 \xff\xfe\0
"""


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    for name, head in HEADS.items():
        (folder / f"{name}.out").write_bytes(head + MARKS * 50)
        (folder / f"{name}-line.out").write_bytes(head + b"x" * 5_000_000)
    with (folder / "sparse.out").open("wb") as file:
        file.write(HEADS["vasp"])
        file.truncate(LARGE)
    (folder / "marks.out").write_bytes(HEADS["vasp"] + b"free  energy   TOTEN = -1 eV " * 15_000)
    (folder / "bomb.out.gz").write_bytes(gzip.compress(HEADS["orca"] + MARKS * 5_000, 1))
    (folder / "cells.xml").write_bytes(b"<?xml version='1.0'?><modeling>" + b"<rc><c>1</c>" * 100_000)
    (folder / "entity.xml").write_bytes(
        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><modeling>&b;</modeling>"
    )


def large(folder: Path, size_bytes: int) -> Path:
    """Write one output of about `size_bytes`."""
    path = folder / "large.outcar"
    block = b"  free  energy   TOTEN  =       -26.52341 eV\n" + b" 0.1 0.2 0.3 0.4 0.5 0.6\n" * 4000
    with path.open("wb") as file:
        file.write(HEADS["vasp"])
        for _ in range(size_bytes // len(block)):
            file.write(block)
    return path
