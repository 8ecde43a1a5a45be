"""The contract of `transfer`, to the real rsync (a folder, a daemon) and rclone: each file whole, as its owner."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.actions import transfer_commands
from lustre_events.actions.delivery import Delivery
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, GONE, OK, REFUSED, UNTRIED
from lustre_events.actions.slurm_commands import Caller
from lustre_events.actions.transfer_commands import Copied, Sources
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.transfers import endpoint_name
from lustre_events.errors import ConfigError
from tests.support.need import need
from tests.support.servers.receivers import closed_port
from tests.support.servers.rsync import PASSWORD, Daemon
from tests.support.service.copy_fixtures import daemon, plain, site, way
from tests.support.service.copy_site import OWNER, CopySite
from tests.support.service.copy_ways import NAMES, Way, daemon_way, files_in, folder_way, rclone_way

__all__ = ["daemon", "plain", "site", "way"]  # fixtures
ODD = b"proj/-d ir\n\xff/"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")


def test_names_of_any_bytes_arrive_unchanged(site: CopySite, way: Way) -> None:
    """Whatever bytes names have, files that are copied together arrive under them, with content, mode and time."""
    paths = [*(ODD + name for name in NAMES), b"#first", b";first"]
    written = {site.write(path, b"of %d" % number): b"of %d" % number for number, path in enumerate(paths)}
    site.write(b"proj/other", b"not asked for")
    found = site.attempts([site.parcel(path) for path in written])
    assert [each.outcome for each in found] == [OK] * len(written), found
    assert files_in(way.arrived) == written
    facts = (way.arrived / os.fsdecode(ODD + NAMES[0])).stat()
    assert (stat.S_IMODE(facts.st_mode) & 0o600, facts.st_mtime_ns // 1000) == (0o600, (10**18 + 123_000) // 1000)
    assert facts.st_uid == OWNER.uid


def test_a_copy_that_is_there_is_left_alone(site: CopySite, way: Way) -> None:
    """Who tries again what is there already, as after a lost answer, changes nothing; new content replaces it."""
    path = site.write(b"a/b.txt", b"first")
    assert site.copied(path, "a").outcome == OK
    before = (way.arrived / "b.txt").stat()
    assert site.copied(path, "a").outcome == OK
    assert (way.arrived / "b.txt").stat() == before
    site.write(b"a/b.txt", b"second one")
    assert site.copied(path, "a").outcome == OK
    assert files_in(way.arrived) == {b"b.txt": b"second one"}


@needs_root
def test_what_its_owner_may_not_read_is_not_copied(site: CopySite, way: Way) -> None:
    """The program is the owner of the file: who may not read it gets no copy, and the others of a batch theirs."""
    closed, good = site.write(b"closed", mode=0), site.write(b"good")
    together = site.attempts([site.parcel(closed), site.parcel(good)])
    assert {(each.outcome, each.together) for each in together} == {(REFUSED, 1)}  # each is tried alone then
    alone = site.copied(closed)
    assert (alone.outcome, alone.together, "ermission denied" in alone.error) == (REFUSED, 0, True), alone
    assert site.copied(good).outcome == OK
    assert files_in(way.arrived) == {b"good": b"words"}
    os.chown(site.tree / "good", 0, 0)
    refused = site.copied(good)
    assert (refused.outcome, "below [worker] min_uid" in refused.error) == (REFUSED, True)


def swapping(path: Path, secret: Path) -> transfer_commands.Copy:
    """Return a copy before which somebody puts a link in place of the file."""

    def copy(endpoint: Endpoint, view: Sources, user: Caller | None, seconds: float) -> Copied:
        path.rename(path.with_name("away"))
        path.symlink_to(secret)
        return transfer_commands.copy(endpoint, view, user, seconds)

    return copy


def test_who_swaps_a_name_meanwhile_gets_nothing_else_copied(site: CopySite, way: Way) -> None:
    """What was opened is what is copied, whatever stands under its name when the program runs."""
    site.write(b"secret", b"of somebody else")
    path = site.write(b"a.txt", b"the file")
    site.work = replace(site.work, copy=swapping(site.tree / "a.txt", site.tree / "secret"))
    assert site.copied(path).outcome == OK
    assert files_in(way.arrived) == {b"a.txt": b"the file"}


def test_a_program_that_was_changed_copies_nothing(open_folder: Path) -> None:
    """What the site approved is the very program and place: a byte more, or another place, is one sentence."""
    program = open_folder / "rsync"
    shutil.copy(need("rsync"), program)
    way = folder_way(open_folder)
    site = CopySite(open_folder, replace(way.endpoint, program=str(program)))
    path = site.write(b"a")
    with program.open("ab") as file:
        file.write(b"\0")
    found = site.copied(path)
    assert (found.outcome, "is not approved as it is now" in found.error) == (ENDPOINT, True)
    assert "endpoints approve archive" in found.error
    site.approve()
    assert site.copied(path).outcome == OK
    site.endpoint = replace(site.endpoint, url=f"file://{open_folder}")
    assert site.copied(path).outcome == ENDPOINT
    program.chmod(0o777)
    assert "others could change this program" in site.copied(path).error
    assert files_in(way.arrived) == {b"a": b"words"}


def test_a_copy_has_a_deadline_and_leaves_no_half_file(open_folder: Path, daemon: Daemon) -> None:
    """A copy that takes too long ends, is tried again, and nobody sees half of the file meanwhile."""
    way = daemon_way(open_folder, daemon)
    site = CopySite(open_folder, replace(way.endpoint, bandwidth="10k", timeout_seconds=1))
    path = site.write(b"large", os.urandom(1 << 20))
    found = site.copied(path)
    assert (found.outcome, "did not end within" in found.error) == (AGAIN, True)
    assert not (way.arrived / "large").exists()
    site.become(way.endpoint)
    assert site.copied(path).outcome == OK
    assert (way.arrived / "large").read_bytes() == (site.tree / "large").read_bytes()


def wrong_password(endpoint: Endpoint, folder: Path) -> Endpoint:
    (folder / "wrong").write_text("mover:another-secret\n")
    (folder / "wrong").chmod(0o600)
    return replace(endpoint, secret=str(folder / "wrong"))


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        (wrong_password, ENDPOINT, "auth failed"),
        (
            lambda endpoint, _: replace(endpoint, url=endpoint.url.replace("incoming", "nix")),
            ENDPOINT,
            "Unknown module",
        ),
        (
            lambda endpoint, _: replace(endpoint, url=endpoint.url.replace("incoming", "shown")),
            ENDPOINT,
            "read only",
        ),
        (lambda endpoint, _: replace(endpoint, private=False), ENDPOINT, "private = true"),
        (lambda endpoint, _: replace(endpoint, secret="/nowhere"), ENDPOINT, "cannot be read"),  # noqa: S106 - a path
        (lambda endpoint, _: replace(endpoint, url="rsync://nowhere.invalid/x"), AGAIN, "nowhere.invalid"),
    ],
)
def test_what_is_wrong_with_a_daemon(
    open_folder: Path, daemon: Daemon, change: Callable[[Endpoint, Path], Endpoint], outcome: str, words: str
) -> None:
    """What a person must correct holds the endpoint, and no sentence has a password in it."""
    site = CopySite(open_folder, change(daemon_way(open_folder, daemon).endpoint, open_folder))
    found = site.copied(site.write(b"a"))
    assert (found.outcome, words in found.error) == (outcome, True), found
    assert "secret" not in found.error.replace(str(site.endpoint.secret), "").replace("the secret of", "")


def test_a_daemon_that_is_down_is_tried_again(open_folder: Path) -> None:
    """Nobody listens: the run waits, and nothing is held."""
    with closed_port() as port:
        endpoint = Endpoint("archive", "transfer", f"rsync://127.0.0.1:{port}/x", private=True, timeout_seconds=60)
        site = CopySite(open_folder, endpoint)
        found = site.copied(site.write(b"a"))
    assert (found.outcome, "ended with 10" in found.error) == (AGAIN, True)


def test_secrets_stand_in_no_command_and_no_answer(open_folder: Path) -> None:
    """Neither password nor what rclone's file says stands in argv, and what a program says of them is not told."""
    way = rclone_way(open_folder)
    told = open_folder / "told"
    told.mkdir(mode=0o777)
    told.chmod(0o777)
    program = open_folder / "rclone"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {told}/argv\nwhile [ "$1" != --config ]; do shift; done\ncat "$2" >&2\nexit 7\n'
    )
    program.chmod(0o755)
    site = CopySite(open_folder, replace(way.endpoint, program=str(program), url="rclone://sftp/x"))
    found = site.copied(site.write(b"a"))
    assert (found.outcome, "***" in found.error) == (ENDPOINT, True), found
    assert PASSWORD not in found.error + (told / "argv").read_text()


@pytest.mark.parametrize(
    ("url", "outcome", "words"),
    [
        ("file://{folder}/nothing", AGAIN, "is it mounted?"),
        ("file://{folder}/tree/in", ENDPOINT, "in the file system that is watched"),
        ("file://{folder}/link", ENDPOINT, "in the file system that is watched"),
    ],
)
def test_a_folder_that_is_none(plain: CopySite, open_folder: Path, url: str, outcome: str, words: str) -> None:
    """A folder that is not mounted is waited for; one in the tree itself, also behind a link, is refused."""
    (open_folder / "link").symlink_to(open_folder / "tree")
    path = plain.write(b"a")
    plain.become(replace(plain.endpoint, url=url.format(folder=open_folder)))
    found = plain.copied(path)
    assert (found.outcome, words in found.error) == (outcome, True), found


def test_files_that_are_not_copied(plain: CopySite) -> None:
    """What is gone ends its run, what lies elsewhere than `strip` says is refused, too late an attempt is none."""
    event = plain.parcel(plain.write(b"a/b"))
    assert plain.copied(b"a/b", "proj").outcome == REFUSED
    os.mkfifo(plain.tree / "fifo")
    assert plain.copied(b"fifo").outcome == REFUSED
    (plain.tree / "a" / "b").unlink()
    assert plain.attempts([event])[0].outcome == GONE
    late = Delivery("a", endpoint_name("archive"), 10**18, (event,))
    assert [each.outcome for _, each in plain.work.attempts(late)] == [UNTRIED]
    elsewhere = Delivery("a", endpoint_name("other"), 1 << 62, (event,))
    assert [each.outcome for _, each in plain.work.attempts(elsewhere)] == [ENDPOINT]


def test_a_name_that_rclone_cannot_write_is_refused(open_folder: Path) -> None:
    """A name with rclone's own sign is refused with a reason, instead of being tried for a day."""
    site = CopySite(open_folder, rclone_way(open_folder).endpoint)
    found = site.copied(site.write("\u201bx".encode()))
    assert (found.outcome, "U+201B" in found.error) == (REFUSED, True)


def test_a_check_copies_nothing(site: CopySite, way: Way) -> None:
    """`endpoints check` reaches the place, and changes nothing there."""
    way.arrived.mkdir(exist_ok=True)
    assert way.endpoint.where in transfer_commands.check(way.endpoint)
    assert files_in(way.arrived) == {}
    with pytest.raises((ConfigError, OSError)):
        transfer_commands.check(replace(way.endpoint, url=way.endpoint.url + "/nothing/there"))
