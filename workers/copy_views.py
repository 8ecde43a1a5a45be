"""Views: directories of links to descriptors, from which rsync and rclone copy (actions/transfer_commands.py)."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial

from lustre_events.actions.transfer_commands import Sources
from workers.as_owner import as_owner
from workers.privileges import Account
from workers.rights import OwnerRefused

PREFIX = "lustre-events-transfer-"


@contextlib.contextmanager
def view_of(files: Sequence[tuple[bytes, int]], account: Account | None) -> Iterator[Sources]:
    """Give a directory that has, at each file's path, a link to its descriptor; its user makes and removes it.

    Raises OSError: a path is too long, or there is no room.
    """
    folder = os.fsencode(as_owner(account, partial(_made, files), OwnerRefused))
    try:
        yield Sources(folder, list(dict.fromkeys(name for name, _ in files)), [fd for _, fd in files])
    finally:
        as_owner(account, partial(shutil.rmtree, folder, ignore_errors=True), OwnerRefused)


def _made(files: Sequence[tuple[bytes, int]]) -> str:
    folder = tempfile.mkdtemp(prefix=PREFIX)
    try:
        for name, fd in files:
            path = os.fsencode(folder) + b"/" + name
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120 - bytes
            with contextlib.suppress(FileExistsError):  # two runs of one file
                os.symlink(b"/proc/self/fd/%d" % fd, path)  # noqa: PTH211 - bytes
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder
