"""Inputs that a worker mounts for a run: seen by that run alone, read-only, and never another file.

Without a container: what is looked at here is what one would be started in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lustre_events.sources.local_fid import fid_of_fd
from tests.support.service.images import write_file
from workers.files import Files
from workers.mounted_inputs import MountedInputs
from workers.privileges import Account, account_for
from workers.runs import Input

NOBODY = account_for("nobody")
SECONDS = 20
LOOK = """
cd "$0"; cat 0001 0002; ls | tr '\\n' ' '
for name in 0001 new; do (echo changed > $name) 2>/dev/null && echo written; done
rm 0001 2>/dev/null && echo removed
id -u; grep CapEff: /proc/self/status
"""


def say(folder: Path, change: Callable[[Path], object] = lambda _: None, *, as_user: bool = False) -> list[str]:
    """Return what LOOK says of two files, one of which was changed since it was opened; `as_user`: by no root."""
    inputs, files = folder / "in", folder / "files"
    inputs.mkdir()
    items = [write_file(files, name, name) for name in (b"one\n", b"two\n")]
    files.chmod(0o777)
    for item in items:
        (files / os.fsdecode(item.path)).chmod(0o666)
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(file) for item in items if (file := Files(os.fsencode(files), fid_of_fd).open(item))
        ]
        change(files)
        given = [Input(f"000{place}", f"000{place}", file) for place, file in enumerate(opened, start=1)]
        bound = MountedInputs(inputs, given, None if as_user else NOBODY)
        done = subprocess.run(
            ["sh", "-c", LOOK, inputs], capture_output=True, text=True, timeout=SECONDS, check=True,
            preexec_fn=(lambda: become(NOBODY, bound)) if as_user and NOBODY else bound,
        )  # fmt: skip
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    assert list(inputs.iterdir()) == []
    return done.stdout.split()


def become(account: Account, then: Callable[[], None]) -> None:
    """Be a process that somebody else than root has started."""
    os.setgroups(())
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    pr_set_dumpable = 4
    ctypes.CDLL(None).prctl(pr_set_dumpable, 1, 0, 0, 0)  # as after the start of a program
    then()


@pytest.mark.parametrize("as_user", [False, True])
def test_inputs_are_seen_and_not_changed(open_folder: Path, as_user: bool) -> None:
    """A run sees its inputs by their names and nothing else, changes none whoever owns it, and gains no right."""
    uid = str(NOBODY.uid if NOBODY else os.geteuid())

    assert say(open_folder, as_user=as_user) == ["one", "two", "0001", "0002", uid, "CapEff:", "0" * 16]


def replace(files: Path) -> None:
    (files / "one\n").rename(files / "away")
    (files / "one\n").write_text("another")


def link(files: Path) -> None:
    (files / "one\n").rename(files / "away")
    (files / "one\n").symlink_to("away")


@pytest.mark.parametrize(
    "change",
    [
        replace,
        link,
        lambda files: (files / "one\n").unlink(),
        pytest.param(
            lambda files: files.chmod(0o700),
            marks=pytest.mark.skipif(NOBODY is None, reason="only a worker that is root becomes somebody else"),
        ),
    ],
    ids=["replaced", "a link", "removed", "out of reach"],
)
def test_what_is_not_what_was_opened_starts_nothing(open_folder: Path, change: Callable[[Path], object]) -> None:
    """With an input that is another file now, is gone, or that the account cannot reach, no program starts."""
    with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
        say(open_folder, change)
