"""The inputs of a run, mounted by the worker: the runtime takes a fifth of the CPU of a bare run for 64 of them.

Between a run's process and its program there is one moment in this module: the process leaves the mounts of the
node, mounts each input read-only over an empty file, in a folder in memory, and becomes whoever it runs as. The
runtime then has one folder to bind. It goes away with the run, and nobody else ever sees it.

An input is reached by its path with the rights of that account alone, as the runtime would, and mounted only if it
is the file that the worker holds open. Whatever goes wrong here starts no program: then the runtime binds each
input itself, and finds out which of them it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lustre_events.llapi import mounts
from workers.privileges import Account
from workers.runs import Input

FEWEST = 2
"""One input is the runtime's to bind: to fork this process, which is done here, takes time, too."""
_OPTIONS = "mode=755,size=64k"


@dataclass(frozen=True, slots=True)
class MountedInputs:
    """Called in a new process before its program (see child_process.run); `folder` is the run's, and empty."""

    folder: Path
    inputs: Sequence[Input]
    account: Account | None

    def __call__(self) -> None:
        """Mount the inputs below `folder` by their names, and become `account`.

        Raises:
            OSError: this is not possible on this node, or with one of the inputs.
        """
        place, account = os.fsencode(self.folder), self.account
        mounts.leave_mounts()
        mounts.mount_memory(place, _OPTIONS)
        for one in self.inputs:
            os.close(os.open(self.folder / one.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444))
        if account is not None:
            os.setgroups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            mounts.reach_files_as(account.uid)
        for one in self.inputs:
            mounts.mount_read_only(one.file.path, one.file.fd, place + b"/" + os.fsencode(one.name))
        mounts.make_read_only(place)
        if account is not None:
            os.setresuid(account.uid, account.uid, account.uid)
