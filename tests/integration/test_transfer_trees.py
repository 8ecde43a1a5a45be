"""`transfer` of all that is below a directory, and of what a container has made, by the real rsync and rclone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote_from_bytes

import pytest

from lustre_events.actions import transfer_commands
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, GONE, OK, REFUSED, Attempt
from lustre_events.actions.slurm_commands import Caller
from lustre_events.actions.transfer_commands import Copied, Sources
from lustre_events.domain.rules.endpoints import Endpoint
from tests.support.service.copy_fixtures import daemon, plain, site, way
from tests.support.service.copy_site import OWNER, CopySite
from tests.support.service.copy_ways import NAMES, Way, files_in

__all__ = ["daemon", "plain", "site", "way"]  # fixtures
DEEP = b"/".join(b"level %d" % number for number in range(100))
ODD = b"-d ir\n\xff"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")


def copied(site: CopySite, path: bytes = b"proj/run", strip: str = "proj") -> Attempt:
    """Make one attempt for a directory."""
    return site.copied(path, strip, directory=True)


def arrived(site: CopySite) -> dict[bytes, bytes]:
    return files_in(site.tree.parent / "archive")


def before(deed: Callable[[], object], *, times: int = 1) -> transfer_commands.Copy:
    """Return a copy before whose first calls something happens."""
    left = [times]

    def copy(endpoint: Endpoint, view: Sources, user: Caller | None, seconds: float) -> Copied:
        if left[0]:
            left[0] -= 1
            deed()
        return transfer_commands.copy(endpoint, view, user, seconds)

    return copy


def test_all_below_a_directory_arrives(site: CopySite, way: Way) -> None:
    """Whatever bytes names have, and however deep, regular files arrive; no link is followed, and it is said."""
    site.write(b"secret/key", b"of somebody else")
    paths = [b"run/" + name for name in (*NAMES, b"#first", ODD + b"/x", DEEP + b"/x")]
    written = {path: site.write(b"proj/" + path, b"of " + path[-9:]) for path in paths}
    run = site.tree / "proj" / "run"
    (run / "link").symlink_to(site.tree / "secret" / "key")
    (run / "more").symlink_to(site.tree / "secret")
    os.mkfifo(run / "pipe")
    (run / ".lustre-events").mkdir()
    (run / ".lustre-events" / "staged").write_text("a half")
    found = copied(site)
    assert (found.outcome, found.error) == (
        OK, f"{len(paths)} of {len(paths)} files are there; 2 links, 1 pipes are not copied",
    )  # fmt: skip
    assert files_in(way.arrived) == {path: b"of " + path[-9:] for path in written}
    assert (way.arrived / "run" / "plain.txt").stat().st_uid == OWNER.uid


@pytest.mark.timeout(600)
def test_ten_thousand_files_go_on_where_an_attempt_ended(plain: CopySite) -> None:
    """An attempt that ends in the middle says how far it came, and the next one leaves that alone."""
    plain.become(replace(plain.endpoint, timeout_seconds=600))
    for number in range(10_000):
        plain.write(b"proj/run/%d/%d" % (number % 100, number), b"%d" % number)
    calls = [0]

    def dying(endpoint: Endpoint, view: Sources, user: Caller | None, seconds: float) -> Copied:
        calls[0] += 1
        if calls[0] > 5:
            return Copied(AGAIN, "rsync was ended by SIGKILL")
        return transfer_commands.copy(endpoint, view, user, seconds)

    plain.work = replace(plain.work, copy=dying)
    first = copied(plain)
    assert (first.outcome, first.error) == (AGAIN, "2500 of 10000 files are there; rsync was ended by SIGKILL")
    assert first.arrived == 2_500
    assert len(arrived(plain)) == 2_500
    inodes = {each: each.stat().st_ino for each in (plain.tree.parent / "archive").rglob("*") if each.is_file()}
    plain.work = replace(plain.work, copy=transfer_commands.copy)
    assert copied(plain).outcome == OK
    assert len(arrived(plain)) == 10_000
    assert {each: each.stat().st_ino for each in inodes} == inodes


@needs_root
def test_what_its_owner_cannot_read_is_said(site: CopySite, way: Way) -> None:
    """It is copied as the directory's owner: what this user cannot reach is told by name, all else arrives."""
    site.write(b"proj/run/good", b"good")
    site.write(b"proj/run/closed", mode=0)
    site.write(b"proj/run/theirs/x")
    os.chown(site.tree / "proj/run/theirs", 0, 0)
    (site.tree / "proj/run/theirs").chmod(0o700)
    found = copied(site)
    assert (found.outcome, files_in(way.arrived)) == (REFUSED, {b"run/good": b"good"})
    assert found.error.startswith("1 of 3 files are there; not run/")
    assert "run/closed: Permission denied" in found.error
    assert "run/theirs/: Permission denied" in found.error
    os.chown(site.tree / "proj/run", 0, 0)
    refused = copied(site)
    assert (refused.outcome, "below [worker] min_uid" in refused.error) == (REFUSED, True)


def test_who_swaps_a_directory_for_a_link_gets_nothing_else_copied(plain: CopySite) -> None:
    """What was listed is what is opened: a link that was put on the way, or another file, is not followed."""
    for path in (b"secret/b", b"proj/run/a", b"proj/run/in/b", b"proj/run/z"):
        plain.write(path, path)
    run = plain.tree / "proj" / "run"

    def swap() -> None:
        (run / "in").rename(run / "out")
        (run / "in").symlink_to(plain.tree / "secret")
        (run / "z").unlink()
        os.link(plain.tree / "secret" / "b", run / "z")

    plain.work = replace(plain.work, copy=before(swap), portion=1)
    found = copied(plain)
    assert (found.outcome, arrived(plain)) == (AGAIN, {b"run/a": b"proj/run/a"})
    assert found.error.startswith("1 of 3 files are there; not run/in/b: it went away")


def test_what_changes_meanwhile_is_copied_again(plain: CopySite) -> None:
    """A file that is written while it is copied, or comes under another name, is not taken for copied."""
    plain.write(b"proj/run/a", b"old")
    plain.write(b"proj/run/b", b"b")
    run = plain.tree / "proj" / "run"

    def change() -> None:
        (run / "a").write_bytes(b"newer content")
        (run / "b").rename(run / "c")

    plain.work = replace(plain.work, copy=before(change), portion=1)
    found = copied(plain)
    assert found.outcome == AGAIN
    assert "run/a: it changed while it was copied" in found.error
    assert copied(plain).outcome == OK
    assert arrived(plain) == {b"run/a": b"newer content", b"run/c": b"b"}


def test_one_bad_file_spoils_no_other(plain: CopySite) -> None:
    """Where the program refuses a portion it is halved until the file is found, and only this one is missing."""
    for number in range(64):
        plain.write(b"proj/run/%02d" % number)

    def copy(endpoint: Endpoint, view: Sources, user: Caller | None, seconds: float) -> Copied:
        if b"run/37" in view.names:
            return Copied(REFUSED, "rsync ended with 23: file name too long", of_file=True)
        return transfer_commands.copy(endpoint, view, user, seconds)

    plain.work = replace(plain.work, copy=copy)
    found = copied(plain)
    assert (found.outcome, found.error, len(arrived(plain))) == (
        REFUSED, "63 of 64 files are there; not run/37: rsync ended with 23: file name too long", 63,
    )  # fmt: skip


def test_what_is_wrong_with_the_endpoint_is_not_the_directorys(plain: CopySite) -> None:
    """A wrong endpoint is held for a directory, too, and its time counts for all files of a run."""
    plain.write(b"proj/run/a")
    plain.work = replace(plain.work, copy=lambda *_: Copied(ENDPOINT, "auth failed"))
    assert copied(plain).outcome == ENDPOINT
    times = iter([0, 0])
    plain.work = replace(plain.work, copy=transfer_commands.copy, clock=lambda: next(times, 10**15))
    late = copied(plain)
    assert (late.outcome, late.error) == (
        AGAIN,
        "0 of 1 files are there; the time of 'archive' for one attempt has run out",
    )


def test_a_directory_that_is_gone_or_elsewhere(plain: CopySite) -> None:
    """A directory that is gone ends its run; one that is not below `strip` is refused, `strip` itself is not."""
    plain.write(b"proj/run/a", b"a")
    assert copied(plain, strip="elsewhere").outcome == REFUSED
    assert copied(plain, strip="proj/run").outcome == OK
    assert arrived(plain) == {b"a": b"a"}
    event = plain.parcel(b"proj/run", "proj", directory=True)
    shutil.rmtree(plain.tree / "proj" / "run")
    assert plain.attempts([event])[0].outcome == GONE


def outputs(site: CopySite, *paths: bytes, strip: str = "") -> Attempt:
    """Make one attempt for what a container has made of `raw/a`."""
    return site.copied(b"raw/a", strip, outputs=[quote_from_bytes(path) for path in paths])


def test_what_a_container_has_made_is_copied_instead_of_its_file(site: CopySite, way: Way) -> None:
    """Outputs arrive under their own paths, whatever bytes these have, and the raw file does not."""
    site.write(b"raw/a", b"raw")
    made = [b"out/" + name for name in NAMES]
    for path in made:
        site.write(path, b"made " + path[-5:])
    assert outputs(site, *made) == Attempt(OK)
    assert files_in(way.arrived) == {path: b"made " + path[-5:] for path in made}


@needs_root
def test_outputs_that_are_not_what_was_made(plain: CopySite) -> None:
    """One that is gone ends the run as cancelled, one of another user or a link is refused; the others arrive."""
    for path in (b"raw/a", b"out/a", b"out/theirs", b"elsewhere/b"):
        plain.write(path)
    os.chown(plain.tree / "out" / "theirs", 0, 0)
    (plain.tree / "out" / "link").symlink_to(plain.tree / "raw" / "a")
    os.lchown(plain.tree / "out" / "link", OWNER.uid, OWNER.gid)
    found = outputs(plain, b"out/a", b"out/theirs", b"out/link", b"elsewhere/b", strip="out")
    assert (found.outcome, list(arrived(plain))) == (REFUSED, [b"a"])
    for words in (
        "1 of 4 files",
        "theirs: it belongs to uid 0 now",
        "link: it is not a regular file",
        "is not below /out",
    ):
        assert words in found.error
    gone = outputs(plain, b"out/a", b"out/b")
    assert (gone.outcome, gone.error) == (GONE, "1 of 2 files are there; 1 are not there any more, as out/b")
    assert b"out/a" in arrived(plain)
