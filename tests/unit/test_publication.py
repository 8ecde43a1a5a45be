"""Outputs of a run come into their directory as a whole, whatever is killed between two steps, and by no link."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.domain.rules.containers import STAGING
from tests.support.rows import each_row
from tests.support.service.published import (
    FAR_NS,
    LATER_NS,
    LIMITS,
    MARKER,
    NOBODYS_INPUT,
    attempt,
    fill,
    killed,
    names,
    nothing,
    place_in,
    seen,
    steps_of,
)
from workers.publication import OutputsRefused, discard, prepare, publish


@pytest.mark.long
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


@each_row("outputs", [["../a.h5"], ["a/b"], [".."], [""], ["a\0"], ["\ud800"], "a.h5", [1], None])
def test_a_marker_that_its_owner_has_written_names_nothing_else(tmp_path: Path, outputs: object) -> None:
    """The names go on to the next rule of a chain, so one that leads out of the directory is refused."""
    run = uuid.uuid4().hex
    attempt(place_in(tmp_path, run), "new")
    marker = tmp_path / "out" / ".a.h5.calibrate.done"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"outputs": outputs}))
    with pytest.raises(OutputsRefused, match="the plan of a run"):
        prepare(place_in(tmp_path, run, FAR_NS + 1), 0, nothing)


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


@each_row("make", [link, folder, fifo, hard_link, set_uid, hidden, many, large])
def test_what_is_no_output(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """What is not a regular file of its own, begins with a dot, or is too much is refused; nothing is published."""
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
    """An output that would replace the file itself, or of a directory, is refused."""
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
