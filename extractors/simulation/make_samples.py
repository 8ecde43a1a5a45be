#!/usr/bin/env python3
"""Write the samples of the extractor anew, short outputs with made-up numbers as the programs lay them out.

TRUTH says what they were made from; the tests compare it with the documents. Standard library only.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

DASHES = " " + "-" * 70 + "\n"
TRUTH: dict[str, dict[str, Any]] = {
    "OUTCAR": {"code": "VASP", "code_version": "6.4.2", "formula": "O2Ti", "energy": -26.52341, "method": "PBE",
               "end_state": "normal", "converged": True, "cutoff_ev": 520.0, "k_points": 18, "wall_seconds": 182.4,
               "started": "2026-03-02T10:11:12", "calculation": ["geometry optimization"], "steps": 2},
    "torn.outcar": {"code": "VASP", "formula": "O2Ti", "energy": -26.12345, "end_state": "unfinished", "steps": 1},
    "vasprun.xml": {"code": "VASP", "code_version": "6.4.2", "formula": "ClNa", "energy": -6.78901,
                    "method": "PBEsol",
                    "end_state": "normal", "spin_polarized": True, "started": "2026-03-02T09:08:07", "k_points": 2},
    "pw.out": {"code": "Quantum ESPRESSO", "program": "PWSCF", "code_version": "7.2", "formula": "Si2",
               "method": "PBE",
               "energy": -15.84445, "energy_unit": "Ry", "end_state": "normal",
               "started": "2026-03-02T10:11:12", "k_points": 10, "wall_seconds": 62.5},
    "pw-failed.out": {"code": "Quantum ESPRESSO", "end_state": "error",
                      "error": "Error in routine electrons (1): charge is wrong"},
    "methanol.log": {"code": "Gaussian", "code_version": "16", "revision": "C.01", "formula": "CH4O", "charge": 0,
                     "multiplicity": 1, "method": "B3LYP", "basis": "6-31G(d)", "energy": -115.714407,
                     "calculation": ["geometry optimization", "frequencies"], "converged": True,
                                     "end_state": "normal",
                     "ended": "2026-03-02T10:11:12", "steps": 2, "wall_seconds": 13.5},
    "stopped.log": {"code": "Gaussian", "formula": "C2H5N", "charge": 1, "multiplicity": 2, "end_state": "error",
                    "converged": False},
    "water.out": {"code": "ORCA", "code_version": "5.0.4", "formula": "H2O", "energy": -76.3213,
                  "basis": "def2-SVP",
                  "calculation": ["geometry optimization"], "converged": True, "end_state": "normal",
                  "wall_seconds": 65.25, "charge": 0, "multiplicity": 1},
    "water.cp2k.out": {"code": "CP2K", "code_version": "2024.1", "formula": "H2O", "energy": -17.219,
                       "method": "PBE",
                       "calculation": ["GEO_OPT"], "end_state": "normal", "started": "2026-03-02T10:11:12",
                       "ended": "2026-03-02T10:15:00", "title": "water", "scf_converged": True},
    "md.log": {"code": "GROMACS", "code_version": "2023.3", "method": "md", "time_step_fs": 2.0, "steps": 5000,
               "thermostat": "V-rescale", "temperature_k": 300.0, "end_state": "normal", "atoms": 1960,
               "started": "2026-03-02T10:11:12", "ended": "2026-03-02T10:12:00", "wall_seconds": 48.1},
    "log.lammps": {"code": "LAMMPS", "code_version": "2 Aug 2023", "units": "metal", "method": "eam", "atoms": 4000,
                   "steps": 100, "processes": 4, "end_state": "normal", "wall_seconds": 62},
    "lost.lammps": {"code": "LAMMPS", "end_state": "error"},
    "log.simpleFoam": {"code": "OpenFOAM", "code_version": "v2312", "program": "simpleFoam", "method": "kOmegaSST",
                       "end_state": "normal", "converged": True, "steps": 2, "time_last": 2.0, "wall_seconds": 3.0,
                       "started": "2026-03-02T10:11:12"},
    "log.pimpleFoam": {"code": "OpenFOAM", "end_state": "error",
                       "error": "--> FOAM FATAL ERROR: (openfoam-2312) Maximum number of iterations exceeded"},
}  # fmt: skip


def outcar(*, whole: bool) -> str:
    """Return an OUTCAR."""
    steps = f"  free  energy   TOTEN  =       {TRUTH['torn.outcar']['energy']:.5f} eV\n"
    text = f""" vasp.6.4.2 20Jul23 (build Jan 10 2024 12:00:00) complex
 executed on             LinuxGNU date 2026.03.02  10:11:12
 running on   16 total cores
   VRHFIN =Ti: d3 s1
   VRHFIN =O: s2p4
   number of dos      NEDOS =    301   number of ions     NIONS =      3
   k-points           NKPTS =     18   k-points in BZ     NKDIM =     18
   ions per type =               1   2
   ENCUT  =  520.0 eV  38.22 Ry    6.18 a.u.
   ISPIN  =      1    spin polarized calculation?
   IBRION =      2    ionic relax: 0-MD 1-quasi-New 2-CG
   GGA     =    PE    GGA type
{steps}"""
    if not whole:
        return text
    return f"""{text}  aborting loop because EDIFF is reached
  free  energy   TOTEN  =       {TRUTH["OUTCAR"]["energy"]:.5f} eV
 reached required accuracy - stopping structural energy minimisation
 General timing and accounting informations for this job:
                         Elapsed time (sec):      182.400
"""


def vasprun() -> str:
    """Return a vasprun.xml."""
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling><generator><i name="program" type="string">vasp </i><i name="version" type="string">6.4.2  </i>
<i name="date" type="string">2026 03 02 </i><i name="time" type="string">09:08:07 </i></generator>
<kpoints><varray name="kpointlist"><v>0 0 0</v><v>0.5 0 0</v></varray></kpoints>
<parameters><separator name="electronic"><i name="ENMAX">400.0</i><i type="int" name="ISPIN">2</i>
<i type="string" name="GGA">PS</i></separator></parameters>
<atominfo><atoms>2</atoms><array
name="atoms"><set><rc><c>Na</c><c>1</c></rc><rc><c>Cl</c><c>2</c></rc></set></array>
<array
name="atomtypes"><set><rc><c>1</c><c>Na</c><c>22.99</c><c>1</c></rc><rc><c>1</c><c>Cl</c><c>35.45</c><c>7</c></rc>
</set></array></atominfo>
<calculation><scstep><energy><i name="e_fr_energy">-6.1</i></energy></scstep>
<energy><i name="e_fr_energy">{TRUTH["vasprun.xml"]["energy"]}</i></energy></calculation></modeling>
"""


def espresso(*, whole: bool) -> str:
    """Return an output of pw.x."""
    head = """
     Program PWSCF v.7.2 starts on  2Mar2026 at 10:11:12

     This program is part of the open-source Quantum ESPRESSO suite
     Number of MPI processes:                 4
     number of atoms/cell      =            2
     kinetic-energy cutoff     =      30.0000  Ry
     Exchange-correlation= PBE
     site n.     atom                  positions (alat units)
         1           Si  tau(   1) = (   0.0000000   0.0000000   0.0000000  )
         2           Si  tau(   2) = (   0.2500000   0.2500000   0.2500000  )
     number of k points=    10
"""
    if not whole:
        lines = "%" * 60
        return f"""{head}
 {lines}
     Error in routine electrons (1):
     charge is wrong
 {lines}

     stopping ...
"""
    return f"""{head}
!    total energy              =     {TRUTH["pw.out"]["energy"]:.5f} Ry
     convergence has been achieved in   8 iterations
     PWSCF        :   1m 1.10s CPU   1m 2.50s WALL

   This run was terminated on:  10:12:15   2Mar2026
   JOB DONE.
"""


def gaussian(*, whole: bool) -> str:
    """Return an output of Gaussian."""
    head = " Entering Gaussian System, Link 0=g16\n"
    head += " Gaussian 16:  ES64L-G16RevC.01  3-Jul-2019\n"
    if not whole:
        return (
            f"{head}{DASHES} #p UHF/STO-3G opt\n{DASHES} Charge =  1 Multiplicity = 2\n"
            " Stoichiometry    C2H5N(1+,2)\n Optimization stopped.\n"
            " Error termination via Lnk1e in /g16/l9999.exe at Mon Mar  2 10:11:12 2026.\n"
        )
    return (
        f"{head}{DASHES} #p B3LYP/6-31G(d) opt fr\n eq\n{DASHES} Charge =  0 Multiplicity = 1\n"
        " Stoichiometry    CH4O\n SCF Done:  E(RB3LYP) =  -115.714000000     A.U. after   11 cycles\n"
        f" SCF Done:  E(RB3LYP) =  {TRUTH['methanol.log']['energy']:.9f}     A.U. after    8 cycles\n"
        " Optimization completed.\n Elapsed time:       0 days  0 hours  0 minutes 13.5 seconds.\n"
        " Normal termination of Gaussian 16 at Mon Mar  2 10:11:12 2026.\n"
    )


def orca() -> str:
    """Return an output of ORCA."""
    return f"""
                                 *****************
                                 * O   R   C   A *
                                 *****************
                         Program Version 5.0.4 -  RELEASE  -
|  1> ! PBE0 def2-SVP Opt
|  2> * xyz 0 1
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  O      0.000000    0.000000    0.119262
  H      0.000000    0.763239   -0.477047
  H      0.000000   -0.763239   -0.477047

----------------------------
 Number of atoms                             ...      3
 Total Charge           Charge          ....    0
 Multiplicity           Mult            ....    1
                  ***        THE OPTIMIZATION HAS CONVERGED     ***
FINAL SINGLE POINT ENERGY       {TRUTH["water.out"]["energy"]:.12f}
                             ****ORCA TERMINATED NORMALLY****
TOTAL RUN TIME: 0 days 0 hours 1 minutes 5 seconds 250 msec
"""


def cp2k() -> str:
    """Return an output of CP2K."""
    return f"""
  **** **** ******  **  PROGRAM STARTED AT               2026-03-02 10:11:12.345
 CP2K| version string:                 CP2K version 2024.1
 GLOBAL| Project name                                                      water
 GLOBAL| Run type                                                        GEO_OPT
 GLOBAL| Total number of message passing processes                             8
 FUNCTIONAL| PBE:
 DFT| Multiplicity                                                             1
 DFT| Charge                                                                   0
  1. Atomic kind: O                                     Number of atoms:       1
  2. Atomic kind: H                                     Number of atoms:       2
  *** SCF run converged in    12 steps ***
 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:              {TRUTH["water.cp2k.out"]["energy"]:.12f}
 ***                    GEOMETRY OPTIMIZATION COMPLETED                      ***
  **** **** ******  **  PROGRAM ENDED AT                 2026-03-02 10:15:00.001
"""


def gromacs() -> str:
    """Return a log of GROMACS."""
    return """Log file opened on Mon Mar  2 10:11:12 2026
GROMACS:      gmx mdrun, version 2023.3
   integrator                     = md
   dt                             = 0.002
   nsteps                         = 5000
   tcoupl                         = V-rescale
   pcoupl                         = No
   ref-t:         300         300
There are: 1960 Atoms
Using 4 MPI threads
        Statistics over 5001 steps using 51 frames
               Core t (s)   Wall t (s)        (%)
       Time:      192.400       48.100      400.0
Finished mdrun on rank 0 Mon Mar  2 10:12:00 2026
"""


def lammps(*, whole: bool) -> str:
    """Return a log of LAMMPS."""
    head = (
        "LAMMPS (2 Aug 2023)\nunits metal\natom_style atomic\npair_style eam\ntimestep 0.001\nCreated 4000 atoms\n"
    )
    if not whole:
        return f"{head}ERROR: Lost atoms: original 4000 current 3998 (../thermo.cpp:494)\nLast command: run 100\n"
    table = "   Step   Temp     E_pair\n      0   300     -13440.1\n    100   155.2   -13362.7\n"
    return f"{head}{table}Loop time of 1.25 on 4 procs for 100 steps with 4000 atoms\nTotal wall time: 0:01:02\n"


def foam(*, whole: bool) -> str:
    """Return a log of OpenFOAM."""
    head = """/*---------------------------------------------------------------------------*\\
|   \\\\    /   O peration     | Version:  v2312                                 |
|    \\\\  /    A nd           | Website:  www.openfoam.com                      |
|     \\\\/     M anipulation  |                                                 |
  F ield
\\*---------------------------------------------------------------------------*/
Build  : _a0f1846504-20240102 OPENFOAM=2312
Exec   : simpleFoam -parallel
Date   : Mar 02 2026
Time   : 10:11:12
nProcs : 4
Case   : /data/motorBike
Selecting RAS turbulence model kOmegaSST
Time = 1

ExecutionTime = 1.5 s  ClockTime = 2 s
"""
    if not whole:
        return f"{head}--> FOAM FATAL ERROR: (openfoam-2312)\nMaximum number of iterations exceeded\nFOAM exiting\n"
    return f"""{head}
Time = 2

ExecutionTime = 2.5 s  ClockTime = 3 s

SIMPLE solution converged in 2 iterations

End
"""


def main() -> None:
    """Write all."""
    folder = Path(__file__).resolve().parent / "samples"
    folder.mkdir(exist_ok=True)
    texts = {
        "OUTCAR": outcar(whole=True), "torn.outcar": outcar(whole=False), "vasprun.xml": vasprun(),
        "pw.out": espresso(whole=True), "pw-failed.out": espresso(whole=False),
        "methanol.log": gaussian(whole=True),
        "stopped.log": gaussian(whole=False), "water.out": orca(), "water.cp2k.out": cp2k(), "md.log": gromacs(),
        "log.lammps": lammps(whole=True), "lost.lammps": lammps(whole=False), "log.simpleFoam": foam(whole=True),
        "log.pimpleFoam": foam(whole=False), "bad-other.log": "An output of another program\nEnergy = -1.0\n",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "water.out.gz").write_bytes(gzip.compress(orca().encode(), mtime=0))


if __name__ == "__main__":
    main()
