"""The `directory` source over real trees and the kernel's inotify: records against the tree itself."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID
from lustre_events.changelog.record import RecordType
from lustre_events.errors import ChangelogBroken, ChangelogRefused, ChangelogUnavailable
from lustre_events.llapi.statx import Statx
from lustre_events.sources import directory_scan, inotify
from lustre_events.sources.directory import DirectorySource
from lustre_events.sources.directory_scan import MOST_NAMES
from lustre_events.sources.directory_state import DirectoryEntry
from lustre_events.sources.inotify import OVERFLOW, InotifyEvent, InotifyWatcher
from lustre_events.sources.local_fid import fid_of_path
from tests.support.model.tree import (
    DRAIN_SECONDS,
    LIMIT,
    Chaos,
    KnownTree,
    check,
    drain,
    exchange,
    hurry,
    real_paths,
    types,
)


class Tree:
    """A watched directory with its source, and what its records said so far."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "top"
        self.outside = folder / "outside"
        self.state = folder / "state"
        self.top.mkdir()
        self.outside.mkdir()
        self.known = KnownTree()
        self.source = DirectorySource(self.top, state_dir=self.state)

    def open(self) -> None:
        """Open where the records ended."""
        self.source.open(self.known.last_index + 1)

    def drain(self) -> list[str]:
        """Read everything, and return the types."""
        return types(drain(self.source, self.known))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    hurry(monkeypatch)
    tree = Tree(tmp_path)
    yield tree
    tree.source.close()


@pytest.fixture
def watched(tree: Tree) -> Tree:
    """An empty tree that is watched already."""
    tree.open()
    tree.drain()
    return tree


# ---- single operations ----


def test_a_written_file_is_created_and_closed(watched: Tree) -> None:
    """A plain write is CREAT and CLOSE, as on an MDT with the default mask, with the owner and no jobid."""
    (watched.top / "a").write_text("x")

    assert watched.drain() == ["CREAT", "CLOSE"]
    created, closed = watched.known.records
    assert (created.parent, created.name, created.target) == (ROOT_FID, b"a", closed.target)
    assert (created.uid, created.gid, created.jobid) == (os.getuid(), os.getgid(), b"")
    check(watched.known, watched.top)


def test_each_file_type_has_its_record(watched: Tree) -> None:
    """Directories, symbolic links (not followed) and fifos are told apart."""
    (watched.top / "d").mkdir()
    watched.drain()
    (watched.top / "l").symlink_to("d")
    watched.drain()
    os.mkfifo(watched.top / "p")
    watched.drain()
    os.link(watched.top / "p", watched.top / "q")
    watched.drain()
    (watched.top / "d").rmdir()
    watched.drain()

    assert types(watched.known.records) == ["MKDIR", "SLINK", "MKNOD", "HLINK", "RMDIR"]
    check(watched.known, watched.top)


def test_changed_attributes_are_one_record(watched: Tree) -> None:
    """A chmod of a file, and of the top directory itself, is SATTR."""
    file = watched.top / "a"
    file.write_text("x")
    watched.drain()
    file.chmod(0o600)

    assert watched.drain() == ["SATTR"]
    assert watched.known.records[-1].target == watched.known.names[ROOT_FID, b"a"]

    watched.top.chmod(0o700)

    assert watched.drain() == ["SATTR"]
    assert watched.known.records[-1].target == ROOT_FID


def test_a_rename_says_what_it_overwrote(watched: Tree) -> None:
    """A rename over a file is one RENME with source and overwritten target, whose last name is gone."""
    (watched.top / "a").write_text("a")
    (watched.top / "b").write_text("b")
    watched.drain()
    a, b = (watched.known.names[ROOT_FID, name] for name in (b"a", b"b"))
    (watched.top / "a").rename(watched.top / "b")

    assert watched.drain() == ["RENME"]
    record = watched.known.records[-1]
    assert (record.source, record.target, record.source_name) == (a, b, b"a")
    check(watched.known, watched.top)


def test_a_directory_is_renamed_with_one_record(watched: Tree) -> None:
    """What lies below is not mentioned, and goes on being watched."""
    (watched.top / "d" / "e").mkdir(parents=True)
    (watched.top / "d" / "e" / "f").write_text("x")
    watched.drain()
    (watched.top / "d").rename(watched.top / "n")

    assert watched.drain() == ["RENME"]

    (watched.top / "n" / "e" / "g").write_text("x")

    assert watched.drain() == ["CREAT", "CLOSE"]
    check(watched.known, watched.top)


def test_a_move_into_a_directory_that_is_not_watched_yet_is_a_rename(watched: Tree) -> None:
    """A file or directory moved into a directory made a moment ago keeps its identity."""
    (watched.top / "f").write_text("x")
    (watched.top / "d").mkdir()
    (watched.top / "d" / "g").write_text("x")
    watched.drain()
    (watched.top / "new").mkdir()
    (watched.top / "f").rename(watched.top / "new" / "f")
    (watched.top / "d").rename(watched.top / "new" / "d")
    (watched.top / "d").mkdir()

    names = [name for name in watched.drain() if name != "SATTR"]  # their ctime changed with their names

    assert sorted(names) == ["MKDIR", "MKDIR", "RENME", "RENME", "RENME"]  # `d` is set aside first
    check(watched.known, watched.top)


def test_two_exchanged_names_end_right(watched: Tree) -> None:
    """RENAME_EXCHANGE is three renames: no object is ever without a name, and both keep their identity."""
    (watched.top / "a").write_text("a")
    (watched.top / "d").mkdir()
    (watched.top / "d" / "f").write_text("a")
    watched.drain()
    if not exchange(watched.top / "a", watched.top / "d"):
        pytest.skip("this file system cannot exchange names")

    assert watched.drain() == ["RENME", "RENME", "RENME"]
    check(watched.known, watched.top)


def test_what_was_rewritten_with_its_old_size_and_time_is_found(watched: Tree) -> None:
    """A file that was written while nobody looked, with its size and mtime put back, counts as written."""
    file = watched.top / "a"
    file.write_text("old")
    watched.drain()
    watched.source.close()

    before = file.stat()
    file.write_text("new")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    watched.open()
    assert watched.drain() == ["CLOSE", "SATTR"]

    watched.source.close()
    watched.open()
    assert watched.drain() == []


def test_very_many_names_of_one_file_take_time_by_their_number(
    watched: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked at for the thousandth hard link is no more than for the hundredth."""
    seen: list[int] = []

    def counting(entries: Iterable[DirectoryEntry]) -> dict[DirectoryEntry, Statx | None]:
        found = real(entries)
        seen.append(len(found))
        return found

    assert watched.source._reconciler is not None
    real = watched.source._reconciler._see
    monkeypatch.setattr(watched.source._reconciler, "_see", counting)
    (watched.top / "h").write_text("x")
    watched.drain()
    for number in range(600):
        os.link(watched.top / "h", watched.top / f"l{number}")
    assert sorted(set(watched.drain())) == ["HLINK"]
    assert sum(seen) < 600 * (MOST_NAMES + 2) < 600 * 300
    check(watched.known, watched.top)


def test_a_hard_link_and_the_loss_of_one_name(watched: Tree) -> None:
    """A second name is HLINK; the first removal is not the last link, the second one is."""
    (watched.top / "a").write_text("x")
    watched.drain()
    os.link(watched.top / "a", watched.top / "b")

    assert watched.drain() == ["HLINK"]

    (watched.top / "a").unlink()
    watched.drain()
    (watched.top / "b").unlink()
    watched.drain()

    assert [(record.name, record.flags & 1) for record in watched.known.records[-2:]] == [(b"a", 0), (b"b", 1)]


def test_a_tree_that_moves_out_is_removed_and_one_that_moves_in_is_created(watched: Tree) -> None:
    """A move out of the tree removes everything that moved; a move in creates and closes it; the watches follow."""
    (watched.top / "d" / "e").mkdir(parents=True)
    (watched.top / "d" / "e" / "f").write_text("x")
    watched.drain()
    (watched.top / "d").rename(watched.outside / "d")

    assert watched.drain() == ["UNLNK", "RMDIR", "RMDIR"]

    (watched.outside / "d" / "unseen").write_text("x")

    assert watched.drain() == []

    (watched.outside / "d").rename(watched.top / "back")

    assert sorted(watched.drain()) == ["CLOSE", "CLOSE", "CREAT", "CREAT", "MKDIR", "MKDIR"]

    (watched.top / "back" / "e" / "new").write_text("x")

    assert watched.drain() == ["CREAT", "CLOSE"]
    check(watched.known, watched.top)


def test_what_is_written_at_once_into_new_directories_is_not_missed(watched: Tree) -> None:
    """Directories made deep, with files at every level, are complete, however late the watches come."""
    for number in range(20):
        folder = watched.top / f"{number}" / "a" / "b" / "c"
        folder.mkdir(parents=True)
        for level in [folder, *folder.parents][:4]:
            (level / "file").write_text("x")
        if number % 5 == 0:
            watched.known.apply(watched.source.read(LIMIT, 0))
    watched.drain()

    check(watched.known, watched.top)


def test_a_removed_tree_is_removed_name_by_name(watched: Tree) -> None:
    """After rm -rf nothing is known, with children before their parents."""
    for number in range(10):
        (watched.top / "d" / f"{number}" / "e").mkdir(parents=True)
        (watched.top / "d" / f"{number}" / "e" / "f").write_text("x")
    watched.drain()
    shutil.rmtree(watched.top / "d")
    watched.drain()

    assert watched.known.names == {}


def test_an_editor_that_keeps_a_backup_loses_no_file(watched: Tree) -> None:
    """Old file renamed away, new one written under its name, old one removed: one file with new content."""
    file, backup = watched.top / "f", watched.top / "f~"
    file.write_text("old")
    watched.drain()
    file.rename(backup)
    file.write_text("new")
    backup.unlink()
    watched.drain()

    check(watched.known, watched.top)


def test_a_temporary_file_that_is_renamed_is_announced_under_its_name(watched: Tree) -> None:
    """Write and rename in one moment end in a written file with the final name only."""
    (watched.top / "f").write_text("old")
    watched.drain()
    for number in range(3):
        (watched.top / ".f.tmp").write_text(f"new {number}")
        (watched.top / ".f.tmp").rename(watched.top / "f")

    assert "CLOSE" in watched.drain()
    check(watched.known, watched.top)


def test_a_nameless_file_that_gets_a_name_is_announced(watched: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """O_TMPFILE and link give no close event; the file counts as written once it is left alone."""
    monkeypatch.setattr(directory_scan, "QUIET_SECONDS", 0.03)
    watched.source.close()
    watched.open()
    watched.drain()
    top = os.open(watched.top, os.O_RDONLY)
    try:
        fd = os.open(watched.top, os.O_TMPFILE | os.O_RDWR)
    except OSError:
        os.close(top)
        pytest.skip("this file system has no nameless files")
    os.write(fd, b"x")
    os.link(f"/proc/self/fd/{fd}", watched.top / "f", src_dir_fd=top, follow_symlinks=True)
    found = watched.drain()
    os.close(fd)
    os.close(top)
    found += watched.drain()

    assert found == ["CREAT", "CLOSE"]


@pytest.mark.parametrize("to", ["f", "arrived"])
def test_what_is_done_between_two_renames_is_not_missed(watched: Tree, to: str) -> None:
    """A write or a chmod under a name that nobody ever saw is told, whether the file came back or moved on."""
    written, changed = watched.top / "f", watched.top / "d" / "f"
    changed.parent.mkdir()
    for file in (written, changed):
        file.write_text("x")
    watched.drain()
    watched.known.records.clear()
    written.rename(watched.top / "passing").write_text("longer")
    (watched.top / "passing").rename(watched.top / to)
    changed.rename(watched.top / "passing").chmod(0o600)
    (watched.top / "passing").rename(changed.with_name(to))
    watched.drain()

    told = {(record.target, RecordType(record.type)) for record in watched.known.records}
    assert (fid_of_path(os.fsencode(watched.top / to)), RecordType.CLOSE) in told
    assert (fid_of_path(os.fsencode(changed.with_name(to))), RecordType.SATTR) in told
    check(watched.known, watched.top)


def test_a_change_before_a_rename_is_not_missed(watched: Tree) -> None:
    """A chmod is told although its name is gone when somebody looks."""
    (watched.top / "a").write_text("x")
    watched.drain()
    (watched.top / "a").chmod(0o600)
    (watched.top / "a").rename(watched.top / "b")

    assert watched.drain() == ["RENME", "SATTR"]


def test_names_are_bytes(watched: Tree) -> None:
    """Newlines, bytes that are no UTF-8 and 255 bytes survive creation, rename and listing."""
    names = [b"new\nline", b"\xff\xfe", b"x" * 255, b" ", b"%41", b'"']
    folders = [watched.top / os.fsdecode(name) for name in names]
    for folder in folders:
        folder.mkdir()
        (folder / folder.name).write_text("x")
    watched.drain()
    for folder in folders:
        (folder / folder.name).rename(folder / ("y" * 255))
    watched.drain()

    check(watched.known, watched.top)
    assert {name for _, name in watched.known.names} == {*names, b"y" * 255}


# ---- the log ----


def test_records_stay_until_they_are_cleared(watched: Tree) -> None:
    """The same bytes come again at the same index, also from another object, until a clear takes them away."""
    (watched.top / "a").write_text("x")
    watched.drain()
    watched.source.open(0)
    first = watched.source.read(LIMIT, 0)
    watched.source.close()
    other = DirectorySource(watched.top, state_dir=watched.state)
    other.open(0)
    again = other.read(LIMIT, 0)
    other.clear("cl1", 1)
    other.open(0)
    rest = other.read(LIMIT, 0)
    other.close()

    assert first == again
    assert KnownTree().apply(rest)[0].index == 2


def test_indexes_go_on_when_everything_was_cleared(watched: Tree) -> None:
    """An index is never given twice, also when the log is empty at a restart."""
    (watched.top / "a").write_text("x")
    watched.drain()
    watched.source.clear("cl1", 2)
    watched.source.close()
    watched.open()
    (watched.top / "b").write_text("x")
    watched.drain()

    assert [record.index for record in watched.known.records] == [1, 2, 3, 4]


def test_a_second_handle_sees_the_same_and_takes_over(watched: Tree) -> None:
    """While one handle watches, another is served from the log; when the first is closed, the other watches."""
    second = DirectorySource(watched.top, state_dir=watched.state)
    second.open(0)
    (watched.top / "a").write_text("x")

    assert second.read(LIMIT, 0) == b""

    watched.drain()
    known = KnownTree()

    assert types(drain(second, known)) == ["CREAT", "CLOSE"]

    watched.source.close()
    (watched.top / "b").write_text("x")
    found = types(drain(second, known))
    second.close()

    assert found == ["CREAT", "CLOSE"]


# ---- while nobody looked ----


def test_the_first_start_tells_the_whole_tree_parents_first(tree: Tree) -> None:
    """Everything that is there already is created, and files are announced as written."""
    (tree.top / "d" / "e").mkdir(parents=True)
    (tree.top / "d" / "e" / "f").write_text("x")
    (tree.top / "d" / "l").symlink_to("nowhere")
    os.link(tree.top / "d" / "e" / "f", tree.top / "d" / "g")
    tree.open()

    # `g` was found first, for `d` is listed before `d/e`.
    assert tree.drain() == ["MKDIR", "MKDIR", "CREAT", "CLOSE", "SLINK", "HLINK"]
    check(tree.known, tree.top)


def test_a_time_beyond_the_range_costs_itself_only(watched: Tree) -> None:
    """A file of the year 2300 is watched, found again at a restart, and hides nothing that comes behind it."""
    far = watched.top / "far"
    far.write_text("x")
    os.utime(far, ns=(10_413_792_000 * 10**9,) * 2)
    first = watched.drain()
    (watched.top / "later").write_text("x")
    assert first[0] == "CREAT"
    assert watched.drain() == ["CREAT", "CLOSE"]
    watched.source.close()
    far.write_text("longer")
    os.utime(far, ns=(10_445_328_000 * 10**9,) * 2)
    watched.open()
    changed = watched.drain()
    watched.source.close()
    watched.open()

    assert "CLOSE" in changed
    assert watched.drain() == []


def test_a_restart_without_changes_tells_nothing(watched: Tree) -> None:
    """A tree that did not change gives no record at the next start."""
    (watched.top / "d").mkdir()
    (watched.top / "d" / "f").write_text("x")
    (watched.top / "d" / "f").chmod(0o600)
    (watched.top / "d" / "f").rename(watched.top / "d" / "g")
    watched.drain()
    watched.source.close()
    watched.open()
    noise = watched.drain()
    watched.source.close()
    watched.open()

    assert set(noise) <= {"SATTR"}  # a directory's ctime changes with its names
    assert watched.drain() == []


def test_changes_while_nobody_looked_are_found(watched: Tree) -> None:
    """Created, written, changed, renamed (one record for a directory), linked and removed: found at the start."""
    top = watched.top
    for name in ("written", "changed", "removed", "linked"):
        (top / name).write_text("x")
    (top / "d" / "e").mkdir(parents=True)
    (top / "d" / "e" / "f").write_text("x")
    watched.drain()
    watched.source.close()

    (top / "written").write_text("longer")
    (top / "changed").chmod(0o600)
    (top / "removed").unlink()
    os.link(top / "linked", top / "other")
    (top / "d").rename(top / "n")
    (top / "created").write_text("x")
    watched.open()
    found = watched.drain()

    assert [name for name in found if name != "SATTR"].count("RENME") == 1
    assert sorted(set(found)) == ["CLOSE", "CREAT", "HLINK", "RENME", "SATTR", "UNLNK"]
    changed = watched.known.names[ROOT_FID, b"changed"]
    assert watched.known.attributes_ns[changed] >= (top / "changed").stat().st_ctime_ns
    check(watched.known, top)


def test_names_that_were_taken_over_while_nobody_looked_end_right(watched: Tree) -> None:
    """Renamed in a circle, moved away and made anew, a file where a directory was: identities are kept."""
    top = watched.top
    for name in ("a", "b", "c"):
        (top / name).write_text(name)
    for name in ("d", "x", "y"):
        (top / name).mkdir()
    (top / "d" / "f").write_text("f")
    (top / "y" / "f").write_text("f")
    watched.drain()
    watched.source.close()
    before = real_paths(top)

    (top / "a").rename(top / "t")
    (top / "b").rename(top / "a")
    (top / "c").rename(top / "b")
    (top / "t").rename(top / "c")
    (top / "d").rename(top / "x" / "d")
    (top / "d").mkdir()
    (top / "d" / "g").write_text("g")
    shutil.rmtree(top / "y")
    (top / "y").write_text("now a file")
    watched.open()
    found = drain(watched.source, watched.known)

    check(watched.known, top)
    assert not {record.target for record in found if record.type == RecordType.CREAT} & set(before.values())
    assert {record.target for record in found if record.type == RecordType.RMDIR} == {before[b"y"]}


def test_an_overflow_leads_to_a_comparison(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    """When events are missing, the tree is compared, and the log says which setting to raise."""

    class Overflowing(InotifyWatcher):
        def events(self) -> list[InotifyEvent]:
            lost = super().events()
            return [InotifyEvent(NO_FID, OVERFLOW, b"")] if lost else []

    tree.source = DirectorySource(tree.top, state_dir=tree.state, watcher=Overflowing)
    tree.open()
    tree.drain()
    (tree.top / "d").mkdir()
    (tree.top / "d" / "f").write_text("x")
    with caplog.at_level(logging.WARNING):
        tree.drain()

    check(tree.known, tree.top)
    assert "fs.inotify.max_queued_events" in caplog.text


def test_a_read_that_ends_before_the_tree_is_listed_loses_nothing(watched: Tree) -> None:
    """Where listing takes longer than a read may last, the next reads go on with it, and the removals come last."""

    class Slow(InotifyWatcher):
        def watch(self, directory: FID, fd: int) -> None:
            time.sleep(0.3)
            super().watch(directory, fd)

    deep = watched.top / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    watched.drain()
    watched.source.close()
    (deep / "f").unlink()
    watched.source = DirectorySource(watched.top, state_dir=watched.state, watcher=Slow)
    watched.open()

    assert [name for name in watched.drain() if name != "SATTR"] == ["UNLNK"]
    check(watched.known, watched.top)


def test_a_name_that_is_held_longer_than_a_read_lasts_is_removed(
    watched: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that ends while the other half of a rename may still come tells nothing of it; a later one does."""
    monkeypatch.setattr(directory_scan, "GRACE_SECONDS", 4 * DRAIN_SECONDS)
    (watched.top / "a").write_text("x")
    watched.drain()
    (watched.top / "a").rename(watched.outside / "a")

    assert watched.source.read(LIMIT, DRAIN_SECONDS) == b""
    assert watched.drain() == ["UNLNK"]
    check(watched.known, watched.top)


# ---- what can go wrong ----


def test_a_directory_that_may_not_be_read_is_left_out_with_one_warning(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of the tree is told, nobody is warned twice, and the content comes once it may be read."""

    class Forbidding(InotifyWatcher):  # root may read everything
        def watch(self, directory: FID, fd: int) -> None:
            if not Path(f"/proc/self/fd/{fd}").stat().st_mode & stat.S_IRUSR:
                raise PermissionError(errno.EACCES, "Permission denied")
            super().watch(directory, fd)

    secret = tree.top / "secret"
    secret.mkdir()
    (secret / "f").write_text("x")
    (tree.top / "z").write_text("x")
    secret.chmod(0)
    tree.source = DirectorySource(tree.top, state_dir=tree.state, watcher=Forbidding)
    tree.open()
    with caplog.at_level(logging.WARNING):
        tree.drain()
        secret.chmod(0o100)
        tree.drain()

    assert {name for _, name in tree.known.names} == {b"secret", b"z"}
    assert [record.getMessage() for record in caplog.records] == ["in the watched tree: 'secret' may not be read"]

    secret.chmod(0o700)
    tree.drain()

    check(tree.known, tree.top)


def test_too_many_watches_say_which_setting_to_raise(tree: Tree) -> None:
    """The kernel's limit is one clear sentence, and not retryable; what was found before is kept."""

    class Limited(InotifyWatcher):
        def watch(self, directory: FID, fd: int) -> None:
            raise inotify._refused("watches", OSError(errno.ENOSPC, "No space left on device"))

    tree.source = DirectorySource(tree.top, state_dir=tree.state, watcher=Limited)
    tree.open()

    with pytest.raises(ChangelogRefused, match=r"sysctl fs\.inotify\.max_user_watches=\d+"):
        tree.source.read(LIMIT, 0)


def test_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    """It may come (a mount, a USB disk), so this is retryable, and says which directory."""
    source = DirectorySource(tmp_path / "nowhere", state_dir=tmp_path / "state")

    with pytest.raises(ChangelogUnavailable, match="nowhere"):
        source.open(0)


def test_a_removed_top_directory_breaks_the_handle(watched: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the watched directory itself goes away, the reader is told."""
    monkeypatch.setattr(directory_scan, "QUIET_SECONDS", 0.05)
    watched.source.close()
    watched.open()
    watched.drain()
    watched.top.rmdir()

    with pytest.raises(ChangelogBroken, match="removed"):
        watched.source.read(LIMIT, 10)


def test_the_state_may_lie_in_the_tree_but_not_be_the_tree(tmp_path: Path) -> None:
    """The state's own folder is left out; a top directory that is the state's folder is refused."""
    (tmp_path / "f").write_text("x")
    inside = DirectorySource(tmp_path, state_dir=tmp_path / "state")
    inside.open(0)
    known = KnownTree()
    drain(inside, known)
    inside.close()

    assert {name for _, name in known.names} == {b"f"}
    with pytest.raises(ChangelogRefused, match="folder of its own"):
        DirectorySource(tmp_path, state_dir=tmp_path).open(0)


def test_more_directories_than_are_kept_open(watched: Tree) -> None:
    """Directories are found again by walking, when their descriptors were closed to make room."""
    folders = [watched.top / f"{number // 20}" / f"{number}" for number in range(200)]
    for folder in folders:
        folder.mkdir(parents=True)
    watched.drain()
    for folder in folders:
        (folder / "f").write_text("x")
    (watched.top / "0").rename(watched.top / "zero")
    watched.drain()

    check(watched.known, watched.top)


def test_a_state_that_cannot_be_written_breaks_the_handle_and_loses_nothing(watched: Tree) -> None:
    """When a transaction fails, the next start finds what it would have told."""
    (watched.top / "a").write_text("x")
    watched.source._opened()._db.close()

    with pytest.raises(ChangelogBroken, match="open it again"):
        watched.source.read(LIMIT, 0)

    watched.open()
    watched.drain()

    check(watched.known, watched.top)


# ---- everything at once ----


@pytest.mark.parametrize("seed", range(10))
def test_random_operations_end_in_the_truth(tree: Tree, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens, read in whatever portions, with restarts in between: the records end in the real tree."""
    monkeypatch.setattr(directory_scan, "QUIET_SECONDS", 0.03)
    tree.open()
    links = bool(seed % 2)
    chaos = Chaos(tree.top, tree.outside, seed, links=links)
    for _ in range(10):
        for _ in range(6):
            chaos.run(chaos.random.randrange(1, 25))
            if chaos.random.random() < 0.8:
                tree.known.apply(tree.source.read(chaos.random.choice([1, 1000, LIMIT]), 0))
        if chaos.random.random() < 0.3:
            tree.source.close()
            chaos.run(chaos.random.randrange(30))
            tree.open()
        if chaos.random.random() < 0.5:
            tree.drain()
            check(tree.known, tree.top, writes=not links)
    tree.drain()
    tree.open()  # compares everything
    tree.drain()

    check(tree.known, tree.top)
