"""What killed attempts leave in directories for outputs is swept by the worker that began them, and only that."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.config.settings import FilesystemSettings, Settings
from lustre_events.domain.rules.containers import STAGING
from tests.support.service.published import (
    FAR_NS,
    LATER_NS,
    LIMITS,
    attempt,
    fill,
    killed,
    names,
    nothing,
    place_in,
    seen,
)
from workers.leftovers import DAY_NS, Leftovers
from workers.privileges import Account
from workers.publication import Place, prepare, publish
from workers.rights import Rights
from workers.wiring import notes_folder

OTHER_GROUP = 65534
OVER_NS = 5
"""Until when an attempt lasted that is long over."""


@pytest.fixture
def notes(tmp_path: Path) -> Leftovers:
    (tmp_path / "tree" / "out").mkdir(parents=True)
    # Nothing runs in root's group, so a test that is root takes another one.
    rights = Rights(None, min_uid=0, by_uid=lambda uid: Account("me", uid, os.getegid() or OTHER_GROUP))
    return Leftovers(tmp_path / "notes", os.fsencode(tmp_path / "tree"), rights, lambda: FAR_NS)


def forget(notes: Leftovers, place: Place) -> None:
    """Forget an attempt whose input lies in the tree."""
    notes.forget(place, Path(os.fsdecode(notes.mount)).stat().st_dev)


def left_by(notes: Leftovers, last: int, content: str = "old", expires_ns: int = OVER_NS) -> Place:
    """Be an attempt that was noted, and killed behind one of its steps."""
    place = place_in(Path(os.fsdecode(notes.mount)), expires_ns=expires_ns)
    notes.note(place)
    killed(place, content, last)
    forget(notes, place)  # as whoever ends a worker's child does: there is something left, so the note stays
    return place


@pytest.mark.parametrize(("last", "found"), [(1, {}), (3, {}), (5, {"a.h5": "old", "b.h5": "old"})])
def test_a_killed_attempt_is_swept_without_another_run(
    notes: Leftovers, tmp_path: Path, last: int, found: dict[str, str]
) -> None:
    """What is not planned is removed, what is planned comes into its place; no directory of runs or note stays."""
    left_by(notes, last)
    assert notes.sweep() == 1
    assert seen(tmp_path / "tree") == (found, bool(found))
    assert STAGING.decode() not in names(tmp_path / "tree")
    assert (list(notes.folder.iterdir()), notes.sweep()) == ([], 0)


def test_an_attempt_that_may_go_on_is_left_alone(notes: Leftovers, tmp_path: Path) -> None:
    """As long as an attempt may last nothing of it is touched, and a directory that nobody noted never is."""
    left_by(notes, 1, expires_ns=LATER_NS)
    strange = tmp_path / "tree" / "out" / STAGING.decode() / f"{'0' * 32}-1"
    strange.mkdir()
    assert notes.sweep() == 0
    assert len(list(strange.parent.iterdir())) == 2


def test_an_old_plan_does_not_replace_what_is_newer(notes: Leftovers, tmp_path: Path) -> None:
    """A plan that was given up is thrown away where a newer run has published for the same file meanwhile."""
    tree = tmp_path / "tree"
    old = left_by(notes, 5)
    plan = Path(os.fsdecode(old.staging + b".plan")) / "marker"
    os.utime(plan, ns=(1, 1))
    newer = place_in(tree)
    assert prepare(newer, 0, nothing) is None  # the old one counts as alive yet
    fill(newer, "new")
    publish(newer, LIMITS, (0, 0), {}, nothing, lambda: 0)
    assert notes.sweep() == 1
    assert seen(tree) == ({"a.h5": "new", "b.h5": "new"}, True)
    killed(place_in(tree, expires_ns=OVER_NS), "old", 5)
    os.utime(next(tree.glob("out/.lustre-events/*.plan/marker")), ns=(1, 1))
    attempt(place_in(tree, expires_ns=LATER_NS), "newest")
    assert seen(tree) == ({"a.h5": "newest", "b.h5": "newest"}, True)


def test_a_sweep_is_bounded_and_takes_what_cannot_be_swept_once(notes: Leftovers, tmp_path: Path) -> None:
    """A few notes are taken in one sweep, and one whose directory is gone or that is no note stops nothing."""
    notes = replace(notes, most=2)
    for number in range(3):
        notes.note(place_in(tmp_path / "tree", expires_ns=OVER_NS + number, directory=b"gone"))
    (notes.folder / f"{'a' * 32}-7").write_text("no note")
    assert [notes.sweep(), notes.sweep(), notes.sweep()] == [2, 2, 0]


@pytest.mark.parametrize("mounted_at", ["tree", "tree/out"])
def test_a_note_waits_for_the_file_system(notes: Leftovers, tmp_path: Path, mounted_at: str) -> None:
    """Where a mount point or the target is not there a note is kept, and after a day it is not."""
    early = replace(notes, clock=lambda: DAY_NS)
    left_by(notes, 5)
    (tmp_path / mounted_at).rename(tmp_path / "away")
    assert (early.sweep(), len(list(notes.folder.iterdir()))) == (0, 1)
    (tmp_path / "away").rename(tmp_path / mounted_at)
    assert (early.sweep(), seen(tmp_path / "tree")) == (1, ({"a.h5": "old", "b.h5": "old"}, True))
    left_by(notes, 5)
    (tmp_path / mounted_at).rename(tmp_path / "away")
    assert (notes.sweep(), list(notes.folder.iterdir())) == (1, [])


def test_notes_are_for_the_worker_alone(notes: Leftovers, tmp_path: Path) -> None:
    """Paths of users' files are in notes, so nobody else reads them or their folder."""
    notes.note(place_in(tmp_path / "tree"))
    (note,) = notes.folder.iterdir()
    assert [path.stat().st_mode & 0o777 for path in (notes.folder, note)] == [0o700, 0o600]


def test_notes_lie_in_the_state_of_the_unit(tmp_path: Path) -> None:
    """Under systemd notes are in a folder that root may write to, and without it in the node's state."""
    settings = Settings(filesystem=FilesystemSettings(state=str(tmp_path)))
    assert notes_folder(settings, {"STATE_DIRECTORY": "/var/lib/w"}) == Path("/var/lib/w/attempts")
    assert notes_folder(settings, {}) == tmp_path / "attempts"


def test_an_attempt_that_ended_leaves_no_note(notes: Leftovers, tmp_path: Path) -> None:
    """Of an attempt that has published nothing is left, so it is forgotten at once."""
    place = place_in(tmp_path / "tree")
    notes.note(place)
    attempt(place, "new")
    forget(notes, place)
    assert list(notes.folder.iterdir()) == []


@pytest.mark.parametrize("away", ["tree", "tree/out"])
def test_a_note_stays_where_nobody_can_see_whether_something_is_left(
    notes: Leftovers, tmp_path: Path, away: str
) -> None:
    """A file system that is unmounted when an attempt ends hides what is left: the note waits until it is back."""
    device = tmp_path.stat().st_dev
    place = place_in(tmp_path / "tree", expires_ns=OVER_NS)
    notes.note(place)
    killed(place, "old", 5)
    (tmp_path / away).rename(tmp_path / "away")
    (tmp_path / "tree").mkdir(exist_ok=True)
    notes.forget(place, device)
    assert len(list(notes.folder.iterdir())) == 1
    if away == "tree":
        (tmp_path / "tree").rmdir()
    (tmp_path / "away").rename(tmp_path / away)
    assert (notes.sweep(), seen(tmp_path / "tree")) == (1, ({"a.h5": "old", "b.h5": "old"}, True))


def test_a_directory_of_another_file_system_says_nothing(notes: Leftovers, tmp_path: Path) -> None:
    """What shows where a file system was mounted is not what the attempt wrote into."""
    place = place_in(tmp_path / "tree")
    notes.note(place)
    notes.forget(place, tmp_path.stat().st_dev + 1)
    assert len(list(notes.folder.iterdir())) == 1
