"""Attempts of runs to bring outputs into their directory, also killed ones, and what is seen of them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from lustre_events.catalog.manifest import OutputLimits
from lustre_events.domain.rules.containers import staging_name
from workers.publication import Place, marker_of, prepare, publish

LIMITS = OutputLimits(files=3, bytes=1000)
MARKER = marker_of(b"/raw/a.h5", "calibrate")
NOBODYS_INPUT = (0, 0)
FAR_NS = 4 * 10**18
"""Until when attempts last, unless a test says when."""
LATER_NS = 5 * 10**18


def nothing(_step: str) -> None:
    """Go on."""


def place_in(folder: Path, run: str = "", expires_ns: int = FAR_NS, directory: bytes = b"out") -> Place:
    name = staging_name(run or uuid.uuid4().hex, expires_ns)
    return Place(os.fsencode(folder), directory, MARKER, name, os.geteuid())


def fill(place: Place, content: str, names: tuple[str, ...] = ("a.h5", "b.h5")) -> None:
    for name in names:
        (Path(os.fsdecode(place.staging)) / name).write_text(content)


def attempt(place: Place, content: str, step: Callable[[str], None] = nothing) -> None:
    """Be one attempt: make outputs where nobody has published yet, and publish them."""
    if prepare(place, 0, step) is None:
        fill(place, content)
        publish(place, LIMITS, NOBODYS_INPUT, {}, step, lambda: 0)


def steps_of(folder: Path) -> list[str]:
    seen: list[str] = []
    (folder / "out").mkdir(parents=True)
    attempt(place_in(folder), "x", seen.append)
    return seen


def killed(place: Place, content: str, last: int) -> None:
    """Be killed behind one of an attempt's steps, in a process of its own: nothing is tidied up."""
    child = os.fork()
    if child == 0:
        left = [last]

        def die(_step: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)

        try:
            attempt(place, content, die)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def seen(folder: Path) -> tuple[dict[str, str], bool]:
    """Return the outputs, and whether their marker is there."""
    out = folder / "out"
    return {each.name: each.read_text() for each in out.glob("*.h5")}, (out / os.fsdecode(MARKER)).exists()


def names(folder: Path) -> set[str]:
    return {each.name for each in (folder / "out").iterdir()}
