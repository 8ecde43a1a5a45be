"""Outputs of simulations: the documents say what the samples were made from, whatever else stands around it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.suite.families import families
from tests.support.programs import program

SIMULATION = families()["simulation"]
SAMPLES = SIMULATION.manifest.folder / "samples"
simulation = program("simulation")
TRUTH: dict[str, dict[str, Any]] = runpy.run_path(str(SIMULATION.manifest.folder / "make_samples.py"))["TRUTH"]
UNITS = {"eV": 1.0, "Ry": 13.605693122994, "hartree": 27.211386245988}  # CODATA 2018


@pytest.mark.parametrize("name", TRUTH)
def test_an_output_says_what_it_was_made_from(name: str) -> None:
    """Code, version, method, formula, energy and end of each sample are those that were written into it."""
    found = SIMULATION.expected(SAMPLES / name)
    assert {key: found.get(key) for key in TRUTH[name]} == TRUTH[name]
    if "energy" in found:
        assert found["energy_ev"] == pytest.approx(found["energy"] * UNITS[found["energy_unit"]])


@pytest.mark.parametrize("name", [name for name, one in TRUTH.items() if one["end_state"] == "normal"])
def test_an_output_that_is_cut_off_is_not_finished(name: str, tmp_path: Path) -> None:
    """Without its last quarter an output has no normal end, and still its code."""
    content = (SAMPLES / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 3 // 4])
    found = simulation.extract(str(tmp_path / name))
    assert (found["code"], found["end_state"]) == (TRUTH[name]["code"], "unfinished")


@pytest.mark.parametrize("name", ["OUTCAR", "methanol.log", "water.out", "pw.out", "water.cp2k.out", "log.lammps"])
def test_what_stands_between_the_lines_changes_nothing(name: str, tmp_path: Path) -> None:
    """Megabytes of numbers between the lines of an output leave its facts as they are."""
    first, *lines = (SAMPLES / name).read_text().splitlines(keepends=True)
    middle = len(lines) * 2 // 3
    noise = "  0.1234567 0.7654321 -0.5555555\n" * 100_000
    while not lines[middle].startswith((" SCF", "!  ", " ENERGY", "FINAL", "  free", "Loop")):
        middle -= 1
    (tmp_path / name).write_text("".join([first, *lines[:middle], noise, *lines[middle:]]))
    found = simulation.extract(str(tmp_path / name))
    assert {key: value for key, value in found.items() if key != "preview"} == {
        key: value for key, value in SIMULATION.expected(SAMPLES / name).items() if key != "preview"
    }


def extracted(folder: Path, text: str) -> dict[str, Any]:
    """Return the document of an output with this text."""
    (folder / "a.out").write_text(text)
    found: dict[str, Any] = simulation.extract(str(folder / "a.out"))
    return found


# Lines as Gaussian 09 writes them; its archive entry, at the end of an output, repeats the energy of the method
GAUSSIAN = """ Entering Gaussian System, Link 0=g09
 Gaussian 09:  EM64L-G09RevD.01 24-Apr-2013
 --------------
 {route}
 --------------
 Charge =  0 Multiplicity = 1
 SCF Done:  E(RHF) =  -74.9643287913     A.U. after    7 cycles
 E2 =    -0.3795333648D-01 EUMP2 =    -0.75002282127785D+02
 E3=       -0.10518804D-01        EUMP3=      -0.75012800931D+02
 E4(DQ)=   -0.31002165D-02        UMP4(DQ)=   -0.75015901148D+02
 E4(SDQ)=  -0.32127250D-02        UMP4(SDQ)=  -0.75016013656D+02
 E4(SDTQ)= -0.32671217D-02        UMP4(SDTQ)= -0.75016068053D+02
 DE(Corr)= -0.48169987E-01 E(Corr)=     -75.012498779
 DE(Corr)= -0.53354848E-01 E(CORR)=     -75.017683640     Delta=-3.61D-08
 CCSD(T)= -0.75017760423D+02
 Normal termination of Gaussian 09 at Wed Feb 19 07:07:27 2014.
"""


@pytest.mark.parametrize(
    ("route", "method", "basis", "energy"),
    [
        ("#HF/STO-3G", "HF", "STO-3G", -74.9643287913),
        ("#p hf/sto-3g iop(6/7=3)", "hf", "sto-3g", -74.9643287913),
        ("# iop(6/7=3) B3LYP/6-311++G(2df,2p) opt", "B3LYP", "6-311++G(2df,2p)", -74.9643287913),
        ("# MP2/STO-3G", "MP2", "STO-3G", -75.002282127785),
        ("# MP3/STO-3G", "MP3", "STO-3G", -75.012800931),
        ("# RMP4(SDQ)/STO-3G", "RMP4(SDQ)", "STO-3G", -75.016013656),
        ("# MP4/STO-3G", "MP4", "STO-3G", -75.016068053),
        ("# CCSD/STO-3G", "CCSD", "STO-3G", -75.01768364),
        ("#CCSD(T)/STO-3G scf=xqc", "CCSD(T)", "STO-3G", -75.017760423),
        ("# MP5/STO-3G", "MP5", "STO-3G", None),
        ("# gfinput iop(6/7=3)", None, None, -74.9643287913),
    ],
)
def test_the_energy_is_that_of_the_method(
    tmp_path: Path, route: str, method: str | None, basis: str | None, energy: float | None
) -> None:
    """Of a correlated method the energy is its own, as it says itself, and never that of the SCF; else none."""
    found = extracted(tmp_path, GAUSSIAN.format(route=route))
    assert (found.get("method"), found.get("basis"), found.get("energy")) == (method, basis, energy)


def test_a_job_whose_next_step_did_not_end_is_unfinished(tmp_path: Path) -> None:
    """Gaussian ends each step of a job; where a later one has begun and not ended, the job has not."""
    first = GAUSSIAN.format(route="# b3lyp/sto-3g opt freq")
    assert extracted(tmp_path, first)["end_state"] == "normal"
    second = " ----\n #N Geom=AllCheck Guess=TCheck RB3LYP/STO-3G Freq\n ----\n Leave Link 1\n"
    found = extracted(tmp_path, first + second)
    assert (found["end_state"], found["route"]) == ("unfinished", "# b3lyp/sto-3g opt freq")


def test_a_basis_for_the_density_is_not_the_basis_set(tmp_path: Path) -> None:
    """Of ORCA's keywords, what ends with /C, /J or /JK is an auxiliary basis (ORCA manual, 6.3)."""
    start = "          * O   R   C   A *\n|  1> ! ADC2 NOCOSX def2-SVP/C STO-3G TightSCF\n"
    assert extracted(tmp_path, start)["basis"] == "STO-3G"


def test_atoms_are_counted_wherever_a_block_ends(tmp_path: Path) -> None:
    """The elements of a large ORCA output are all atoms of its last coordinates, where its parts are read apart."""
    atoms = "".join(f"  {'CHO'[place % 3]}      0.000000    {place}.000000    1.000000\n" for place in range(3000))
    head = "          * O   R   C   A *\n"
    mark = "CARTESIAN COORDINATES (ANGSTROEM)\n---------------------------------\n"
    for before in ((1 << 20) - 100_000, (1 << 20) - 200, (1 << 20) - 20_100):
        noise = ("x" * 79 + "\n") * ((before - len(head)) // 80)
        found = extracted(tmp_path, head + noise + mark + atoms + "\n" + "y\n" * 1_000_000)
        assert found["elements"] == {"C": 1000, "H": 1000, "O": 1000}, before


@pytest.mark.parametrize(
    ("exact", "share", "screened", "method"),
    [("F", 0, 0, "PBE"), ("T", 0.25, 0.2, "HSE06"), ("T", 0.25, 0, "PBE0"), ("T", 1, 0, None)],
)
def test_a_hybrid_is_not_its_gga(
    tmp_path: Path, exact: str, share: float, screened: float, method: str | None
) -> None:
    """Exact exchange makes another functional of the GGA that VASP names, as the manual of VASP defines them."""
    start = " vasp.6.3.0 20Jan22 complex\n executed on LinuxIFC date 2024.03.01 10:00:00\n"
    lines = (
        f"   GGA     =    PE    GGA type\n   LHFCALC =     {exact}    Hartree Fock is set to\n"
        f"   AEXX    = {share:7.4f}    exact exchange contribution\n   HFSCREEN= {screened:7.4f}    screening\n"
    )
    assert extracted(tmp_path, start + lines).get("method") == method


def test_a_relaxation_of_no_steps_is_a_single_point(tmp_path: Path) -> None:
    """Where VASP moves ions 0 times (NSW), IBRION says nothing."""
    start = " vasp.6.3.0 20Jan22 complex\n executed on LinuxIFC date 2024.03.01 10:00:00\n"
    for moves, task in ((0, "single point"), (50, "geometry optimization")):
        lines = f"   NSW    =     {moves}    number of steps for IOM\n   IBRION =      2    ionic relax\n"
        assert extracted(tmp_path, start + lines)["calculation"] == [task]


def test_a_log_of_an_older_gromacs_ends(tmp_path: Path) -> None:
    """Versions before 5 write `node` for `rank`; without a thermostat no temperature is held."""
    found = extracted(
        tmp_path,
        "Log file opened on Thu Feb 20 16:25:14 2014\nGROMACS: gmx mdrun\n   integrator  = md\n   tcoupl  = No\n"
        "   ref-t:         300\nFinished mdrun on node 0 Thu Feb 20 16:25:15 2014\n",
    )
    assert (found["end_state"], found["ended"]) == ("normal", "2014-02-20T16:25:15")
    assert "temperature_k" not in found


def test_dynamics_that_reached_its_steps_did_not_fail_to_converge(tmp_path: Path) -> None:
    """Of Quantum ESPRESSO, the last step is the aim of molecular dynamics, and a failure of a relaxation."""
    start = "     Program PWSCF v.7.3 (Quantum ESPRESSO) starts on 21Feb2024 at 16:33: 2\n"
    last = "     The maximum number of steps has been reached.\n\n"
    found = extracted(tmp_path, f"{start}{last}     End of molecular dynamics calculation\n")
    assert "converged" not in found
    found = extracted(tmp_path, f"{start}{last}     End of BFGS Geometry Optimization\n")
    assert found["converged"] is False
