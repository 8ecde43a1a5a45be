"""VASP, GROMACS, LAMMPS and OpenFOAM: the lines of their outputs that say what was computed and how it ended."""

from __future__ import annotations

import re
from typing import Any

import extractor_facts as facts
from extractor_xml import Walk
from simulation_quantum import count, ended, energy, failed, flag, moment, step, text, value
from simulation_scan import NUMBER, Mark, Output, after, number

GGA = {"PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "91": "PW91", "AM": "AM05", "CA": "LDA", "--": "", "B3": "B3LYP"}
RELAXATION = {"-1": "single point", "0": "molecular dynamics", "5": "frequencies", "6": "frequencies",
              "7": "frequencies",
              "8": "frequencies"}  # fmt: skip
# The keys of vasprun.xml that make up the functional, and how many steps ions go
SAID = {
    "GGA": "gga",
    "LHFCALC": "exact",
    "METAGGA": "meta",
    "AEXX": "share",
    "HFSCREEN": "screened",
    "NSW": "moves",
}
META = {"--": "", "F": "", "NONE": ""}
COMMANDS = {"pair_style": "method", "units": "units", "timestep": "time_step", "atom_style": "atom_style"}


# VASP


def vasp_start(output: Output, line: bytes, _: Any) -> None:
    """Take the version."""
    output.first("code_version", after(line, rb"^\s*vasp\.(\d[\w.]*)"))


def vasp_elements(output: Output, line: bytes, _: Any) -> None:
    """Take an element of the pseudopotentials."""
    if found := after(line, rb"VRHFIN\s*=\s*([A-Za-z]+)"):
        output.state.setdefault("species", []).append(found)


def vasp_counts(output: Output, line: bytes, _: Any) -> None:
    """Take how many atoms each element has."""
    counts = [int(one) for one in line.partition(b"=")[2].split() if one.isdigit() and len(one) < 10]
    species = output.state.get("species", [])
    if len(counts) == len(species):
        output.elements = {}
        for name, times in zip(species, counts, strict=True):
            output.atom(name, times)


def vasp_gga(output: Output, line: bytes, _: Any) -> None:
    """Take the functional."""
    said = (after(line, rb"\bGGA\s*=\s*(\S\S)") or b"").decode("latin-1").upper()
    output.state["gga"] = GGA.get(said, said)
    vasp_method(output)


def vasp_method(output: Output) -> None:
    """Tell the functional, as far as it is known: exact exchange or a meta-GGA makes it another one."""
    said = output.state
    meta, name = said.get("meta", ""), said.get("gga", "")
    if said.get("exact"):
        screened = said.get("screened", 0.0)
        hybrid = "PBE0" if not screened else "HSE06" if 0.19 < screened < 0.22 else ""
        name, meta = hybrid if (name, meta, said.get("share")) == ("PBE", "", 0.25) else "", ""
    output.found.pop("method", None)
    output.put("method", meta or name)


def vasp_exact(output: Output, line: bytes, _: Any) -> None:
    """Take whether there is exact exchange, how much, and how it is screened."""
    for key, pattern in (("share", rb"AEXX\s*=\s*"), ("screened", rb"HFSCREEN\s*=\s*")):
        if (found := number(after(line, pattern + NUMBER))) is not None:
            output.state[key] = found
    if said := after(line, rb"LHFCALC\s*=\s*([TF])"):
        output.state["exact"] = said == b"T"
    if (said := after(line, rb"\bMETAGGA\s*=\s*([A-Z]\w+)")) and said not in {b"F", b"T", b"NONE"}:
        output.state["meta"] = said.decode()
    vasp_method(output)


def vasp_moves(output: Output, line: bytes, _: Any) -> None:
    """Take how many steps ions may go."""
    output.state["moves"] = number(after(line, rb"NSW\s*=\s*" + NUMBER))


def vasp_task(output: Output, line: bytes, _: Any) -> None:
    """Take how ions move."""
    said = (after(line, rb"IBRION\s*=\s*([-+]?\d+)") or b"").decode()
    if said:
        still = output.state.get("moves") == 0
        output.first("calculation", ["single point" if still else RELAXATION.get(said, "geometry optimization")])


def vasp_ended(output: Output, *_: Any) -> None:
    """Take that it ended."""
    ended(output)


VASP: tuple[Mark, ...] = (
    (b"vasp.", vasp_start),
    (b"executed on", lambda output, line, _: output.first("started", dotted(line))),
    (b"VRHFIN", vasp_elements),
    (b"ions per type =", vasp_counts),
    (b"NIONS =", count("atoms", rb"NIONS =\s*(\d+)")),
    (b"NKPTS =", count("k_points", rb"NKPTS =\s*(\d+)")),
    (b"ENCUT  =", value("cutoff_ev", rb"ENCUT\s*=\s*" + NUMBER + rb"\s*eV")),
    (b"GGA     =", vasp_gga),
    (b"LHFCALC", vasp_exact),
    (b"AEXX", vasp_exact),
    (b"HFSCREEN", vasp_exact),
    (b"METAGGA", vasp_exact),
    (b"NSW    =", vasp_moves),
    (b"IBRION =", vasp_task),
    (b"ISPIN  =", lambda output, line, _: output.put("spin_polarized", after(line, rb"ISPIN\s*=\s*(\d)") == b"2")),
    (b"free  energy   TOTEN", energy(rb"TOTEN\s*=\s*" + NUMBER + rb"\s*eV", 1)),
    (b"free  energy   TOTEN", step),
    (b"reached required accuracy - stopping", flag("converged", said=True)),
    (b"aborting loop because EDIFF is reached", flag("scf_converged", said=True)),
    (b"running on", count("processes", rb"running on\s+(\d+) (?:total|nodes|cores)")),
    (b"Elapsed time (sec):", value("wall_seconds", rb"\(sec\):\s*" + NUMBER)),
    (b"General timing and accounting", vasp_ended),
)


def dotted(line: bytes) -> str | None:
    """Return a time such as 2026.03.02 10:11:12."""
    found = re.search(rb"date (\d{4})\.(\d\d)\.(\d\d)\s+(\d\d:\d\d:\d\d)", line)
    return facts.moment("{}-{}-{}T{}".format(*(part.decode() for part in found.groups()))) if found else None


class Run:
    """A vasprun.xml."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.path: list[str] = []
        self.names: list[str] = []
        self.cells: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        self.path.append(name)
        self.names.append(attributes.get("name", ""))
        if name == "rc":
            self.cells = []
        if name == "calculation":
            self.output.steps += 1

    def end(self, name: str, said: str) -> None:
        """Take the end of an element."""
        said, key = said.strip(), self.names.pop()
        self.path.pop()
        around = self.path[-1] if self.path else ""
        if name == "c":
            self.cells.append(said)
        elif name == "rc" and "atomtypes" in self.names and len(self.cells) > 1 and self.cells[0].isdigit():
            self.output.atom(self.cells[1].encode(), int(self.cells[0][:9]))
        elif name == "i":
            self._item(around, key, said)
        elif name == "v" and self.names[-1:] == ["kpointlist"]:
            self.output.state["k"] = self.output.state.get("k", 0) + 1
        elif name == "modeling":
            ended(self.output)

    def _item(self, around: str, key: str, said: str) -> None:
        output = self.output
        if around == "generator" and key == "version":
            output.first("code_version", said.strip())
        elif around == "generator" and key in {"date", "time"}:
            output.state[key] = said.replace(" ", "-")
        elif key in {"ENMAX", "ENCUT"}:
            output.put("cutoff_ev", number(said.encode()))
        elif key in SAID and ("parameters" in self.path or key == "METAGGA"):
            output.state[SAID[key]] = {
                "gga": GGA.get(said, said),
                "exact": said == "T",
                "meta": META.get(said, said),
            }.get(SAID[key], number(said.encode()) or 0.0)
            vasp_method(output)
        elif key == "ISPIN":
            output.put("spin_polarized", said == "2")
        elif key == "IBRION" and "parameters" in self.path:
            still = output.state.get("moves") == 0
            output.first(
                "calculation", ["single point" if still else RELAXATION.get(said, "geometry optimization")]
            )
        elif key == "e_fr_energy" and around == "energy" and self.path[-2:-1] == ["calculation"]:
            output.energy_ev(number(said.encode()))
            output.put("energy", number(said.encode()))
            output.put("energy_unit", "eV")


def vasprun(stream: Any, output: Output) -> str:
    """Read a vasprun.xml; return why it is not all."""
    run = Run(output)
    try:
        Walk(run.start, run.end).read(stream)
    except ValueError as exc:
        if run.path[:1] != ["modeling"] and "code_version" not in output.found:
            raise
        return facts.text(str(exc))
    finally:
        said = f"{output.state.get('date', '')}T{output.state.get('time', '')}"
        output.put("started", facts.moment(said))
        if output.state.get("k"):
            output.put("k_points", output.state["k"])
    return ""


# GROMACS

STOCHASTIC = {"sd", "sd1", "sd2", "bd"}  # integrators that hold the temperature themselves


def gromacs_temperature(output: Output, line: bytes, _: Any) -> None:
    """Take the temperature that is held, where all groups have one."""
    found = {number(one) for one in line.partition(b":")[2].split()}
    held = str(output.found.get("thermostat", "")).lower() != "no" or output.found.get("method") in STOCHASTIC
    if held and len(found) == 1 and not found & {None, 0.0}:
        output.first("temperature_k", found.pop())


def gromacs_end(output: Output, line: bytes, _: Any) -> None:
    """Take that it ended, and when."""
    ended(output)
    output.put("ended", moment(after(line, rb"(?:rank|node) \d+ (.*)$"), "%a %b %d %H:%M:%S %Y"))


def started(output: Output, line: bytes, _: Any) -> None:
    """Take when the log was opened, or the run began."""
    output.first("started", moment(after(line, rb"(?:opened on|rank \d+|node \d+) (.*)$"), "%a %b %d %H:%M:%S %Y"))


GROMACS: tuple[Mark, ...] = (
    (b"version", text("code_version", rb"^\s*(?:GROMACS version:|GROMACS:.*version)\s+(?:VERSION )?(\S+)")),
    (b"Log file opened on", started),
    (b"integrator", text("method", rb"^\s*integrator\s+=\s+(\S+)")),
    (b" dt ", lambda output, line, _: output.first("time_step_fs", scaled(line, 1000))),
    (b"nsteps", count("planned_steps", rb"^\s*nsteps\s+=\s+(\d+)")),
    (b"tcoupl", text("thermostat", rb"^\s*tcoupl\s+=\s+(\S+)")),
    (b"pcoupl", text("barostat", rb"^\s*pcoupl\s+=\s+(\S+)")),
    (b"ref-t:", gromacs_temperature),
    (b"There are:", count("atoms", rb"There are:\s+(\d+) Atoms")),
    (b"Using", count("processes", rb"Using\s+(\d+) MPI (?:thread|process)")),
    (b"Statistics over", lambda output, line, _: setattr(output, "steps", steps(line))),
    (b"Fatal error:", failed),
    (b"Started mdrun on", started),
    (b"Finished mdrun on", gromacs_end),
    (b"       Time:", value("wall_seconds", rb"Time:\s+[\d.]+\s+" + NUMBER)),
)


def scaled(line: bytes, factor: float) -> float | None:
    """Return the number after `=`, in another unit."""
    found = number(after(line, rb"^\s*dt\s+=\s+" + NUMBER))
    return None if found is None else round(found * factor, 9)


def steps(line: bytes) -> int:
    """Return the steps that statistics are over; the first is the beginning."""
    found = after(line, rb"over\s+(\d+) steps")
    return max(0, int(found) - 1) if found and len(found) < 16 else 0


# LAMMPS


def lammps_command(output: Output, line: bytes, _: Any) -> None:
    """Take a command of the input, as the log repeats it."""
    name, _, rest = line.strip().partition(b" ")
    key = COMMANDS.get(name.decode("latin-1"))
    if key == "time_step":
        output.put(key, number(rest.split()[0]) if rest.split() else None)
    elif key:
        output.put(key, rest.split(b"#")[0].strip())


def lammps_loop(output: Output, line: bytes, _: Any) -> None:
    """Take a run: its steps and atoms."""
    found = re.search(rb"on (\d+) procs for (\d+) steps with (\d+) atoms", line)
    if found and all(len(one) < 16 for one in found.groups()):
        output.put("processes", int(found[1]))
        output.put("atoms", int(found[3]))
        output.steps += int(found[2])


def lammps_end(output: Output, line: bytes, _: Any) -> None:
    """Take that it ended, and how long it took."""
    found = re.search(rb"Total wall time: (\d+):(\d\d):(\d\d)", line)
    if found and len(found[1]) < 10:
        ended(output)
        output.put("wall_seconds", int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3]))


def lammps_failed(output: Output, line: bytes, rest: Any) -> None:
    """Take an error, which begins a line; commands that the log repeats may have the word, too."""
    if re.match(rb"\s*ERROR(?: on proc \d+)?:", line):
        failed(output, line, rest)


LAMMPS: tuple[Mark, ...] = (
    (b"LAMMPS (", text("code_version", rb"^\s*LAMMPS \(([^)]*)\)")),
    *((f"{name} ".encode(), lammps_command) for name in COMMANDS),
    (b"Loop time of", lammps_loop),
    (b"ERROR", lammps_failed),
    (b"Total wall time:", lammps_end),
)


# OpenFOAM


def foam_time(output: Output, line: bytes, _: Any) -> None:
    """Take a time step."""
    found = number(after(line, rb"^Time = ([-\d.eE+]+)s?\s*$"))
    if found is not None:
        output.steps += 1
        output.put("time_last", found)


def foam_day(output: Output, line: bytes, rest: Any) -> None:
    """Take when it began: the day, and the time in the next line."""
    day = after(line, rb"^Date\s*:\s*(\w{3} \d\d \d{4})")
    hour = next((found for each in rest.lines(2) if (found := after(each, rb"^Time\s*:\s*(\d\d:\d\d:\d\d)"))), None)
    if day and hour:
        output.first("started", moment(day + b" " + hour, "%b %d %Y %H:%M:%S"))


def foam_end(output: Output, line: bytes, _: Any) -> None:
    """Take that it ended: a line says just that."""
    if line.strip() == b"End" or line.startswith(b"Finalising parallel run"):
        ended(output)


OPENFOAM: tuple[Mark, ...] = (
    (b"Version:", text("code_version", rb"\|\s+Version:\s+(\S+)")),
    (b"Build ", text("code_version", rb"^Build\s*:\s*(\S+)")),
    (b"Exec ", text("program", rb"^Exec\s*:\s*(\S+)")),
    (b"Date ", foam_day),
    (b"Case ", text("title", rb"^Case\s*:\s*(.*)$")),
    (b"nProcs", count("processes", rb"^nProcs\s*:\s*(\d+)")),
    (b"turbulence model", text("method", rb"Selecting (?:RAS|LES) turbulence model (\S+)")),
    (b"RAS model", text("method", rb"^\s*RASModel\s+(\S+);")),
    (b"Time = ", foam_time),
    (b"solution converged in", flag("converged", said=True)),
    (b"ExecutionTime =", value("wall_seconds", rb"ClockTime = " + NUMBER)),
    (b"FOAM FATAL", failed),
    (b"End", foam_end),
    (b"Finalising parallel run", foam_end),
)
