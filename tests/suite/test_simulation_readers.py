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
