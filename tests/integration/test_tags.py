"""Tags of real files, from `stat` and `scan` into both databases."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.config.settings import DispatcherSettings
from lustre_events.index.opening import open_search
from lustre_events.index.visibility import Viewer
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import Rig, csv_rig
from tests.support.model.tree_workers import TreeWorkers
from tests.support.records import builders as b

SETTINGS = DispatcherSettings(settle_seconds=0, skew_seconds=1)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path / "top"
    made.mkdir()
    (made / "a.txt").touch()
    (made / "b.txt").touch()
    try:
        os.setxattr(made / "a.txt", "user.project", b"Halo 7")
        os.setxattr(made, "user.project", b"all")
    except OSError as exc:
        if exc.errno != errno.EOPNOTSUPP:
            raise
        pytest.skip("the file system of temporary files has no extended attributes")
    return made


@pytest.fixture
def rig(index_place: IndexPlace) -> Iterator[Rig]:
    made = csv_rig(index_place, settings=SETTINGS, now_ns=time.time_ns())
    yield made
    made.close()


def found(rig: Rig, query: str, viewer: Viewer | None = None) -> set[bytes]:
    with open_search(rig.path if isinstance(rig.path, str) else f"sqlite:///{rig.path}") as index:
        return {path for hit in index.page(query, visible_to=viewer).hits for path in hit.paths}


def test_tags_are_found_and_follow_their_file(rig: Rig, top: Path) -> None:
    """A scan finds tags; each record about attributes lets `stat` look again: changed, removed, back."""
    workers = TreeWorkers(rig, top)
    workers.scan()
    workers.settle()
    assert found(rig, "xattr.project:halo") == found(rig, 'project:"halo 7"') == {b"a.txt"}
    assert found(rig, "NOT xattr.project:* AND type:f") == {b"b.txt"}

    fid = workers.fid("a.txt")
    for number, (value, expected) in enumerate([(b"other", {b"a.txt"}), (None, set()), (b"other", {b"a.txt"})]):
        if value is None:
            os.removexattr(top / "a.txt", "user.project")
        else:
            os.setxattr(top / "a.txt", "user.project", value)
        record = b.sattr if number else b.xattr
        rig.feed(record(fid, index=number + 1))
        workers.settle()
        assert found(rig, "xattr.project:other") == expected
        assert found(rig, "halo") == set()


def test_tags_of_what_was_known_are_found_by_a_scan(rig: Rig, top: Path) -> None:
    """A file that the index knew before it kept tags gets them by the next scan; unchanged ones cost nothing."""
    workers = TreeWorkers(rig, top)
    before = workers.context
    workers.context = replace(before, xattrs=False)
    workers.scan()
    workers.settle()
    assert found(rig, "xattr.project:*") == set()

    workers.context = before
    workers.scan()
    workers.settle()
    assert found(rig, "xattr.project:*") == {b"a.txt"}
    done = rig.select("SELECT generation FROM document WHERE extractor = 'xattr'")
    workers.scan()
    workers.settle()
    assert rig.select("SELECT generation FROM document WHERE extractor = 'xattr'") == done


def test_tags_are_for_who_can_read_the_file(rig: Rig, top: Path) -> None:
    """As for `getfattr`, who cannot read a file finds nothing by its tags."""
    (top / "a.txt").chmod(0o600)
    workers = TreeWorkers(rig, top)
    workers.scan()
    workers.settle()
    assert found(rig, "xattr.project:halo", Viewer(4242)) == set()
    assert found(rig, "xattr.project:halo", Viewer(os.getuid())) == {b"a.txt"}
