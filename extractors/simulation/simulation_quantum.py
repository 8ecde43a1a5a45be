"""Gaussian, ORCA, CP2K and Quantum ESPRESSO: what was computed and how it ended, by the lines that say it."""

from __future__ import annotations

import re
import time
from typing import Any

import extractor_facts as facts
from simulation_scan import HARTREE_EV, NUMBER, RYDBERG_EV, Mark, Output, after, number, whole

ATOM = re.compile(rb"\s*([A-Z][a-z]?)\s+[-\d.]+\s+[-\d.]+\s+[-\d.]+\s*$")
MAX_ROUTE = 4000  # characters
KEYWORDS = {
    "opt": "geometry optimization", "freq": "frequencies", "irc": "reaction path", "scan": "scan",
    "td": "excited states",
    "nmr": "NMR", "optts": "transition state", "numfreq": "frequencies", "goat": "conformers",
    "md": "molecular dynamics",
}  # fmt: skip


def moment(text: bytes | None, form: str) -> str | None:
    """Return a time without zone, from the form in which a program writes it."""
    try:
        when = time.strptime((text or b"").decode("latin-1").strip(), form)
    except ValueError:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S", when)


def energy(pattern: bytes, unit: float = HARTREE_EV) -> Any:
    """Return what takes a total energy."""

    def take(output: Output, line: bytes, _: Any) -> None:
        value = number(after(line, pattern))
        if value is not None:
            output.energy_ev(value * unit)
            output.put("energy", value)
            output.put("energy_unit", {HARTREE_EV: "hartree", RYDBERG_EV: "Ry"}.get(unit, "eV"))

    return take


def value(key: str, pattern: bytes, unit: float = 1) -> Any:
    """Return what takes a number."""

    def take(output: Output, line: bytes, _: Any) -> None:
        found = number(after(line, pattern))
        output.put(key, None if found is None else round(found * unit, 8))

    return take


def count(key: str, pattern: bytes) -> Any:
    """Return what takes a whole number."""
    return lambda output, line, _: output.put(key, whole(line, pattern))


def text(key: str, pattern: bytes, *, first: bool = True) -> Any:
    """Return what takes a text."""

    def take(output: Output, line: bytes, _: Any) -> None:
        (output.first if first else output.put)(key, after(line, pattern))

    return take


def flag(key: str, said: object) -> Any:
    """Return what takes a fact that a mark alone says."""
    return lambda output, *_: output.put(key, said)


def ended(output: Output, *_: Any) -> None:
    """Take that it ended well."""
    output.normal, output.error = True, ""


def failed(output: Output, line: bytes, rest: Any) -> None:
    """Take that it ended badly, and what the line, or the next that says anything, tells."""
    told = line.strip(b" *%!|\t")
    if told.endswith(b":") or b"FOAM FATAL" in told or told.upper() in {b"", b"ERROR"}:
        told += b" " + next((each.strip() for each in rest.lines(6) if each.strip(b" *%-|")), b"")
    output.error = output.error or told.decode("utf-8", "replace") or "error"


def step(output: Output, *_: Any) -> None:
    """Count a step."""
    output.steps += 1


# Gaussian

# A method, a basis, one that fits it
THEORY = re.compile(r"(?!(?i:iop))([A-Za-z][\w+*-]*(?:\([^()]*\))?)/([\w+*-]+(?:\([^()]*\))?[\w+*-]*)(?:/.*)?")
CORRELATED = re.compile(
    r"(?:ro|r|u)?(mp[2-5]|ccsd|ccd|qcisd|cisd|cid|bd|casscf|cas|eomccsd|sac-ci|g[1-4]\w*|cbs-\w+|w1\w*)((?:[(=].*)?)"
)


def stoichiometry(output: Output, line: bytes, _: Any) -> None:
    """Take the formula."""
    said = after(line, rb"Stoichiometry\s+([A-Z][A-Za-z0-9]*)") or b""
    output.elements = {}
    for symbol, times in re.findall(rb"([A-Z][a-z]?)(\d*)", said):
        output.atom(symbol, int(times or 1))


def route(output: Output, line: bytes, rest: Any) -> None:
    """Take the route: it may go on in the next lines, up to one of dashes."""
    if not re.match(rb"\s*#(?:[pntPNT]?\s|\w)", line + b" "):
        return
    if "route" in output.found:
        output.normal = False  # another step of the job begins
        return
    parts = [line]
    for each in rest.lines(6):
        if each.lstrip().startswith(b"---"):
            break
        parts.append(each)
    said = b"".join(part[1:] if part[:1] == b" " else part for part in parts)
    output.put("route", said)
    words = facts.text(said.decode("latin-1")).split()
    words[0] = words[0].lstrip("#")
    if theory := next((found for word in words if (found := THEORY.fullmatch(word))), None):
        output.put("method", theory[1])
        output.put("basis", theory[2])
    output.state["level"] = next((level for word in words if (level := correlated(word.split("/")[0]))), "")
    tasks(output, words)


def correlated(method: str) -> str:
    """Return the part of an output that has a method's energy, where it is not the SCF's; `none` for none known."""
    found = CORRELATED.fullmatch(method.lower())
    if not found:
        return ""
    name, options = found[1], found[2]
    triples = re.search(r"[(=,]t\b", options) is not None
    if name == "mp4":
        return next((f"mp4{part}" for part in ("sdq", "dq") if re.search(rf"\b{part}\b", options)), "mp4")
    if name in {"ccsd", "qcisd"} and triples:
        return f"{name}(t)"
    return (
        "corr"
        if name in {"ccd", "ccsd", "qcisd", "cisd", "cid", "bd"} and not triples
        else (name if name in {"mp2", "mp3"} else "none")
    )


def scf(output: Output, line: bytes, rest: Any) -> None:
    """Take the energy of the SCF, where the method has no other."""
    step(output)
    if not output.state.get("level"):
        energy(rb"SCF Done:\s+E\([^)]*\)\s*=\s*" + NUMBER)(output, line, rest)


def beyond(level: str, pattern: bytes) -> Any:
    """Return what takes the energy of a correlated method."""
    take = energy(pattern + rb"\s*" + NUMBER)

    def of_level(output: Output, line: bytes, rest: Any) -> None:
        if output.state.get("level") == level:
            take(output, line, rest)

    return of_level


def tasks(output: Output, words: list[str]) -> None:
    """Take what is to be computed."""
    found = [KEYWORDS[key] for word in words if (key := re.split(r"[=(]", word.lower())[0]) in KEYWORDS]
    output.put("calculation", list(dict.fromkeys(found)) or ["single point"])


def gaussian_end(output: Output, line: bytes, _: Any) -> None:
    """Take that a job ended well, and when."""
    ended(output)
    output.put("ended", moment(after(line, rb" at (.*?)\.?\s*$"), "%a %b %d %H:%M:%S %Y"))


GAUSSIAN: tuple[Mark, ...] = (
    (b" Gaussian ", text("code_version", rb"^ Gaussian (\d\d):\s+\S+")),
    (b"Rev", text("revision", rb"^ Gaussian \d\d:\s+\S*Rev([A-Z]\.\d+)")),
    (b" #", route),
    (b"Stoichiometry", stoichiometry),
    (b"Multiplicity =", count("multiplicity", rb"Multiplicity =\s*(\d+)")),
    (b"Charge =", count("charge", rb"Charge =\s*([-+]?\d+)\s+Mult")),
    (b"SCF Done:", scf),
    (b"EUMP2", beyond("mp2", rb"EUMP2\s*=")),
    (b"EUMP3", beyond("mp3", rb"EUMP3\s*=")),
    (b"UMP4(DQ)", beyond("mp4dq", rb"UMP4\(DQ\)\s*=")),
    (b"UMP4(SDQ)", beyond("mp4sdq", rb"UMP4\(SDQ\)\s*=")),
    (b"UMP4(SDTQ)", beyond("mp4", rb"UMP4\(SDTQ\)\s*=")),
    (b"DE(Corr)=", beyond("corr", rb"E\((?:CORR|Corr)\)\s*=\s*\S+\s+E\((?:CORR|Corr)\)\s*=")),
    (b" CCSD(T)=", beyond("ccsd(t)", rb"^ CCSD\(T\)=")),
    (b" QCISD(T)=", beyond("qcisd(t)", rb"^ QCISD\(T\)=")),
    (b"Optimization completed.", flag("converged", said=True)),
    (b"Optimization stopped.", flag("converged", said=False)),
    (b"Convergence failure", flag("converged", said=False)),
    (b"Normal termination of Gaussian", gaussian_end),
    (b"Error termination", failed),
    (b"Elapsed time:", lambda output, line, _: output.put("wall_seconds", span(line))),
    (b"Will use up to", count("processes", rb"up to\s+(\d+) processors")),
)


def span(line: bytes) -> float | None:
    """Return a duration in words (days, hours, minutes, seconds, msec)."""
    units = {b"day": 86400, b"hour": 3600, b"minute": 60, b"second": 1, b"sec": 1, b"msec": 0.001}
    found = re.findall(rb"([\d.]+)\s+(day|hour|minute|second|msec|sec)", line)
    return round(sum((number(amount) or 0) * units[unit] for amount, unit in found), 3) if found else None


# ORCA

BASIS = re.compile(r"(?i)(def2-|cc-p|aug-|6-31|sto-|ma-def)")
FITTED = re.compile(r"(?i)/(?:j|jk|c)$")  # bases for the density, not for the orbitals


def orca_input(output: Output, line: bytes, _: Any) -> None:
    """Take the line of keywords of the input."""
    said = after(line, rb"\|\s*\d+>\s*!\s*(.*)")
    if said is None:
        return
    words = facts.text(said.decode("latin-1")).split()
    route = " ".join([output.found.get("route", ""), *words]).strip()
    output.put("route", route if len(route) < MAX_ROUTE else output.found.get("route"))
    basis = next((word for word in words if BASIS.match(word) and not FITTED.search(word)), "")
    output.put("basis", basis)
    tasks(output, output.found.get("route", "").split())


def orca_atoms(output: Output, _: bytes, rest: Any) -> None:
    """Take the atoms of the coordinates."""
    output.elements = {}
    for line in rest.lines(5000)[1:]:
        found = ATOM.match(line)
        if not found:
            break
        output.atom(found[1])


ORCA: tuple[Mark, ...] = (
    (b"Program Version", text("code_version", rb"Program Version\s+(\S+)")),
    (b"> !", orca_input),
    (b"Number of atoms", count("atoms", rb"Number of atoms\s*\.+\s*(\d+)")),
    (b"CARTESIAN COORDINATES (ANGSTROEM)", orca_atoms),
    (b"Total Charge", count("charge", rb"Total Charge\s+Charge\s+\.+\s*([-+]?\d+)")),
    (b"Multiplicity", count("multiplicity", rb"Multiplicity\s+Mult\s+\.+\s*(\d+)")),
    (b"Exchange Functional", text("exchange", rb"Exchange Functional\s+Exchange\s+\.+\s*(\S+)")),
    (b"FINAL SINGLE POINT ENERGY", energy(rb"ENERGY\s+" + NUMBER)),
    (b"FINAL SINGLE POINT ENERGY", step),
    (b"THE OPTIMIZATION HAS CONVERGED", flag("converged", said=True)),
    (b"The optimization did not converge", flag("converged", said=False)),
    (b"SCF NOT CONVERGED", flag("converged", said=False)),
    (b"ORCA TERMINATED NORMALLY", ended),
    (b"error termination", failed),
    (b"aborting the run", failed),
    (b"TOTAL RUN TIME:", lambda output, line, _: output.put("wall_seconds", span(line))),
    (b"parallel MPI-processes", count("processes", rb"(\d+) parallel MPI-processes")),
)


# CP2K


def cp2k_kind(output: Output, line: bytes, _: Any) -> None:
    """Take the atoms of a kind."""
    found = re.search(rb"Atomic kind:\s+(\S+)\s+Number of atoms:\s+(\d+)", line)
    if found and len(found[2]) < 12:
        kinds = output.state.setdefault("kinds", {})
        kinds[found[1]] = int(found[2])
        output.elements = {}
        for name, times in kinds.items():
            output.atom(name, times)


def functional(output: Output, line: bytes, _: Any) -> None:
    """Take the functional; of one for exchange and one for correlation both."""
    if said := after(line, rb"FUNCTIONAL\|\s+([A-Z0-9_+-]+):"):
        names = output.state.setdefault("functionals", {})
        names[facts.text(said.decode("latin-1"))] = None
        output.put("method", "+".join(list(names)[:4]))


CP2K: tuple[Mark, ...] = (
    (b"CP2K| version string:", text("code_version", rb"CP2K version (\S+)")),
    (b"GLOBAL| Run type", lambda output, line, _: output.put("calculation", words(line))),
    (b"GLOBAL| Project name", text("title", rb"Project name\s+(\S+)")),
    (b"GLOBAL| Total number of message passing processes", count("processes", rb"processes\s+(\d+)")),
    (b"FUNCTIONAL|", functional),
    (b"Atomic kind:", cp2k_kind),
    (b"- Atoms:", count("atoms", rb"- Atoms:\s+(\d+)")),
    (b"DFT| Charge", count("charge", rb"Charge\s+([-+]?\d+)")),
    (b"DFT| Multiplicity", count("multiplicity", rb"Multiplicity\s+(\d+)")),
    (b"ENERGY| Total FORCE_EVAL", energy(rb"energy [\[(]\S+[\])]:?\s+" + NUMBER)),
    (b"ENERGY| Total FORCE_EVAL", step),
    (b"SCF run NOT converged", flag("scf_converged", said=False)),
    (b"SCF run converged in", flag("scf_converged", said=True)),
    (b"GEOMETRY OPTIMIZATION COMPLETED", flag("converged", said=True)),
    (b"MAXIMUM NUMBER OF OPTIMIZATION STEPS REACHED", flag("converged", said=False)),
    (b"PROGRAM STARTED AT", lambda output, line, _: output.first("started", facts.moment(stamp(line)))),
    (b"PROGRAM ENDED AT", lambda output, line, _: output.put("ended", facts.moment(stamp(line)))),
    (b"PROGRAM ENDED AT", ended),
    (b"[ABORT]", failed),
)


def words(line: bytes) -> list[str]:
    """Return the kind of a run, as a list."""
    return [facts.text(line.split()[-1].decode("latin-1"))]


def stamp(line: bytes) -> str:
    """Return the time at the end of a line."""
    found = after(line, rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
    return (found or b"").decode()


# Quantum ESPRESSO


def espresso_start(output: Output, line: bytes, _: Any) -> None:
    """Take program, version and time."""
    found = re.search(rb"Program (\S+) v\.(\S+)\s.*starts on\s+(\d{1,2}\w{3}\d{4}) at\s+([\d: ]+)", line)
    if found:
        output.put("program", found[1])
        output.put("code_version", found[2])
        hour = b":".join(part.strip().rjust(2, b"0") for part in found[4].split(b":"))
        output.put("started", moment(found[3].rjust(9, b"0") + b" " + hour, "%d%b%Y %H:%M:%S"))


def espresso_site(output: Output, line: bytes, _: Any) -> None:
    """Take an atom of the first list of sites."""
    found = re.match(rb"\s+(\d+)\s+(\S+)\s+tau\(", line)
    if found and len(found[1]) < 12:
        last = output.state.get("site", 0)
        if int(found[1]) == last + 1:
            output.state["site"] = last + 1
            output.atom(found[2])


def espresso_time(output: Output, line: bytes, _: Any) -> None:
    """Take the time that the program took."""
    said = after(line, rb"CPU\s+([\dhms. ]+)WALL")
    if line.strip().startswith((b"PWSCF ", b"CP ", b"PHONON ")) and said:
        units = {b"d": 86400, b"h": 3600, b"m": 60, b"s": 1}
        parts = re.findall(rb"([\d.]+)\s*([dhms])", said)
        output.put("wall_seconds", round(sum((number(amount) or 0) * units[unit] for amount, unit in parts), 3))


ESPRESSO: tuple[Mark, ...] = (
    (b"starts on", espresso_start),
    (b"number of atoms/cell", count("atoms", rb"=\s*(\d+)")),
    (b"tau(", espresso_site),
    (b"kinetic-energy cutoff", value("cutoff_ev", rb"=\s*" + NUMBER + rb"\s*Ry", RYDBERG_EV)),
    (b"Exchange-correlation", text("method", rb"Exchange-correlation\s*=\s*(.*?)\s*(?:\(|$)")),
    (b"number of k points=", count("k_points", rb"k points=\s*(\d+)")),
    (b"!    total energy", energy(rb"=\s*" + NUMBER, RYDBERG_EV)),
    (b"!    total energy", step),
    (b"convergence has been achieved", flag("scf_converged", said=True)),
    (b"convergence NOT achieved", flag("scf_converged", said=False)),
    (b"bfgs converged in", flag("converged", said=True)),
    (b"End of BFGS Geometry Optimization", lambda output, *_: output.first("converged", True)),
    (b"maximum number of steps has been reached", flag("converged", said=False)),
    (b"End of molecular dynamics", lambda output, *_: output.found.pop("converged", None)),
    (b"Number of MPI processes:", count("processes", rb":\s*(\d+)")),
    (b"WALL", espresso_time),
    (b"JOB DONE.", ended),
    (b"Error in routine", failed),
)
