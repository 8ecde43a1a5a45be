"""Outputs of simulations: which code, method and system, its energy, and whether it came to its end.

VASP (OUTCAR, vasprun.xml), Quantum ESPRESSO, Gaussian, ORCA, CP2K, GROMACS, LAMMPS and OpenFOAM, by content.
They are read
as streams in blocks, also within gzip, bzip2, xz and zstd.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
from extractor_open import Source
from simulation_scan import Mark, Output, scan

SECONDS = 25
NAMES = {
    "vasp": "VASP", "quantum-espresso": "Quantum ESPRESSO", "gaussian": "Gaussian", "orca": "ORCA", "cp2k": "CP2K",
    "gromacs": "GROMACS", "lammps": "LAMMPS", "openfoam": "OpenFOAM",
}  # fmt: skip
SIGNS: tuple[tuple[str, tuple[bytes, ...]], ...] = (  # all of them are in the beginning of an output
    ("gaussian", (b"Entering Gaussian System",)),
    ("gaussian", (b"Gaussian, Inc.", b" Gaussian ")),
    ("orca", (b"* O   R   C   A *",)),
    ("cp2k", (b"CP2K| version string:",)),
    ("quantum-espresso", (b"starts on", b"Quantum ESPRESSO")),
    ("gromacs", (b"GROMACS", b"gmx mdrun")),
    ("gromacs", (b"Log file opened on", b"GROMACS")),
    ("openfoam", (b"O peration", b"F ield")),
    ("openfoam", (b"\nExec ", b"\nCase ", b"\nBuild ")),
    ("vasp", (b" vasp.", b"executed on")),
)


def code_of(start: bytes) -> str:
    """Return which code wrote an output that begins so; empty where none of them did."""
    if start.lstrip().startswith(b"LAMMPS ("):
        return "lammps"
    return next((code for code, signs in SIGNS if all(sign in start for sign in signs)), "")


def marks_of(code: str) -> Sequence[Mark]:
    """Return what is looked for in an output of a code."""
    import simulation_matter as matter  # noqa: PLC0415 - only for what is an output
    import simulation_quantum as quantum  # noqa: PLC0415

    return {
        "gaussian": quantum.GAUSSIAN, "orca": quantum.ORCA, "cp2k": quantum.CP2K,
        "quantum-espresso": quantum.ESPRESSO,
        "vasp": matter.VASP, "gromacs": matter.GROMACS, "lammps": matter.LAMMPS, "openfoam": matter.OPENFOAM,
    }[code]  # fmt: skip


def read(file: BinaryIO) -> tuple[Output, str]:
    """Return what an output says, and why it is not all.

    Raises:
        ValueError: it is none.
    """
    source = Source(file)
    start = source.sample
    stream = io.BufferedReader(source, 1 << 20)
    if start.lstrip()[:5] == b"<?xml" and b"<modeling>" in start[:1000]:
        from simulation_matter import vasprun  # noqa: PLC0415

        output = Output("vasp")
        reason = vasprun(stream, output)
    else:
        code = code_of(start)
        if not code:
            raise ValueError(
                "it is not an output of VASP, Quantum ESPRESSO, Gaussian, ORCA, CP2K, GROMACS, LAMMPS or OpenFOAM"
            )
        output = Output(code)
        reason = scan(stream, marks_of(code), output, None if source.compression else file)
    if source.compression:
        output.found["compression"] = source.compression
    if source.damage:
        reason = f"its {source.compression} stream is damaged: {facts.text(source.damage)}"
    return output, reason


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        try:
            with extractor_batch.within(SECONDS):
                output, reason = read(file)
        except extractor_batch.OutOfTime:
            raise ValueError(f"reading it took longer than {SECONDS} s") from None
    document = output.document()
    name = NAMES[document["format"]]
    document["code"] = name
    document |= facts.common(
        title=document.get("title"),
        sample=document.get("formula"),
        technique=[*document.get("calculation", ()), document.get("method"), document.get("basis")],
        start=document.get("started"),
        end=document.get("ended"),
        software=f"{name} {document.get('code_version', '')}",
    )
    document |= facts.preview(lines=[output.energies.shown()])
    return document | ({"partial": reason} if reason else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
