"""Outputs of a run come into their directory as a whole, whatever is killed between two steps, and by no link."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.catalog.manifest import OutputLimits
from lustre_events.domain.rules.containers import STAGING, staging_name
from workers.publication import OutputsRefused, Place, discard, marker_of, prepare, publish

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


def test_killed_between_any_two_steps(tmp_path: Path) -> None:
    """Killed behind any step, no marker stands beside a mix of old and new; the next attempt ends it as a whole."""
    steps = steps_of(tmp_path / "dry")
    assert len(steps) >= 9
    for last, step in enumerate(steps, start=1):
        folder = tmp_path / str(last)
        (folder / "out").mkdir(parents=True)
        attempt(place_in(folder), "old")
        run = uuid.uuid4().hex
        killed(place_in(folder, run), "new", last)
        found, marked = seen(folder)
        assert not marked or len(set(found.values())) == 1, step
        attempt(place_in(folder, run, FAR_NS + 1), "new")
        assert seen(folder) == ({"a.h5": "new", "b.h5": "new"}, True), step
        assert names(folder) == {"a.h5", "b.h5", os.fsdecode(MARKER)}, step


@pytest.mark.parametrize("last", [1, 4, 7])
def test_what_a_run_left_is_swept_by_the_next_one(tmp_path: Path, last: int) -> None:
    """What an attempt that has ended has left is finished or thrown away by any later run, before its own work."""
    (tmp_path / "out").mkdir()
    killed(place_in(tmp_path, expires_ns=5), "older", last)
    attempt(replace(place_in(tmp_path, expires_ns=FAR_NS), marker=b".other.done"), "newer")  # nothing has ended yet
    assert STAGING.decode() in names(tmp_path)
    later = place_in(tmp_path, expires_ns=LATER_NS)
    assert prepare(later, FAR_NS, nothing) is None
    fill(later, "newest")
    publish(later, LIMITS, NOBODYS_INPUT, {}, nothing, lambda: 0)
    assert seen(tmp_path) == ({"a.h5": "newest", "b.h5": "newest"}, True)
    assert STAGING.decode() not in names(tmp_path)


def test_the_marker_names_the_outputs(tmp_path: Path) -> None:
    """The marker says which run made what, and an attempt that finds it of its own run does nothing again."""
    run = uuid.uuid4().hex
    attempt(place_in(tmp_path, run), "new")
    told = json.loads((tmp_path / "out" / ".a.h5.calibrate.done").read_text())
    assert (told["run"], told["outputs"]) == (run, ["a.h5", "b.h5"])
    assert prepare(place_in(tmp_path, run, FAR_NS + 1), 0, nothing) == ["a.h5", "b.h5"]


def test_a_late_attempt_publishes_nothing(tmp_path: Path) -> None:
    """An attempt whose end has come publishes nothing: another one may be at work."""
    place = place_in(tmp_path, expires_ns=100)
    assert prepare(place, 0, nothing) is None
    fill(place, "late")
    with pytest.raises(OSError, match="attempt has ended"):
        publish(place, LIMITS, NOBODYS_INPUT, {}, nothing, lambda: 100)
    discard(place)
    assert names(tmp_path) == set()


def link(place: Path) -> None:
    (place / "a.h5").symlink_to("/etc/passwd")


def folder(place: Path) -> None:
    (place / "a.h5").mkdir()


def fifo(place: Path) -> None:
    os.mkfifo(place / "a.h5")


def hard_link(place: Path) -> None:
    (place / "a.h5").write_text("x")
    os.link(place / "a.h5", place / "b.h5")


def set_uid(place: Path) -> None:
    (place / "a.h5").write_text("x")
    (place / "a.h5").chmod(0o4755)


def hidden(place: Path) -> None:
    (place / ".a.h5.calibrate.done").write_text("x")


def many(place: Path) -> None:
    for number in range(4):
        (place / f"{number}.h5").write_text("x")


def large(place: Path) -> None:
    (place / "a.h5").write_bytes(bytes(1001))


@pytest.mark.parametrize("make", [link, folder, fifo, hard_link, set_uid, hidden, many, large])
def test_what_is_no_output(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """What is no regular file of its own, begins with a dot, or is too much is refused; nothing is published."""
    place = place_in(tmp_path)
    assert prepare(place, 0, nothing) is None
    make(Path(os.fsdecode(place.staging)))
    with pytest.raises(OutputsRefused):
        publish(place, LIMITS, NOBODYS_INPUT, {}, nothing, lambda: 0)
    discard(place)
    assert names(tmp_path) == set()


def test_outputs_follow_no_link(tmp_path: Path) -> None:
    """A target behind a link, above the mount point, or of another user is refused before anything is made."""
    (tmp_path / "real" / "out").mkdir(parents=True)
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "up").symlink_to("..")
    for place in (
        place_in(tmp_path, directory=b"way/out"), place_in(tmp_path / "mount", directory=b"up/real/out"),
        place_in(tmp_path / "mount", directory=b"../real/out"), place_in(tmp_path, directory=b"no/such/out"),
        replace(place_in(tmp_path, directory=b"real/out"), uid=os.geteuid() + 1),
    ):  # fmt: skip
        with pytest.raises(OutputsRefused):
            prepare(place, 0, nothing)
    assert list((tmp_path / "real" / "out").iterdir()) == []


def test_the_input_is_not_replaced(tmp_path: Path) -> None:
    """An output that would take the place of the file itself, or of a directory, is refused."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.h5").write_text("the input")
    facts = (tmp_path / "out" / "a.h5").stat()
    place = place_in(tmp_path)
    assert prepare(place, 0, nothing) is None
    fill(place, "new")
    with pytest.raises(OutputsRefused, match="the file itself"):
        publish(place, LIMITS, (facts.st_dev, facts.st_ino), {}, nothing, lambda: 0)
    discard(place)
    assert seen(tmp_path) == ({"a.h5": "the input"}, False)
