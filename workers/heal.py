"""The built-in `heal`: which names an object has by the file system itself."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any
from urllib.parse import quote_from_bytes

from lustre_events.changelog.fid import FID, ROOT_FID
from workers.files import Files

LOOKS = 3


class OtherDirectory(FileNotFoundError):
    """At the path is a directory with another FID."""


def names(fid: FID, files: Files) -> dict[str, Any]:
    """Return the names of an object as dispatcher/heal.py reads them: (parent's FID, percent-encoded name).

    Where the file system cannot tell (no fid2path), they are None. `whole`: the object has no other names. Paths
    come one by one, and a directory on the way may be renamed meanwhile, so each is checked by the FIDs of what is
    there now; if that fails all are asked for again.

    The old FID of a directory that was split, or whose migration stopped half-way, has the directory's path and is
    not what is there at any look: it is a stripe, which has no name of its own.

    Raises:
        OSError: they changed at each of three looks, or a directory cannot be reached.
    """
    others: list[list[bytes]] = []
    for _ in range(LOOKS):
        paths = files.paths_of(fid)
        if paths is None:
            return {"names": None}
        try:
            found, links = _checked(fid, paths, files)
        except OtherDirectory:
            others.append(paths)
            continue
        except (FileNotFoundError, NotADirectoryError):
            continue
        return {
            "names": [[str(parent), quote_from_bytes(name)] for parent, name in found],
            "whole": len(found) >= links,
        }
    if len(others) == LOOKS and all(paths == others[0] for paths in others):
        return {"names": [], "whole": True}
    raise OSError(errno.EAGAIN, "they change while they are looked at")


def _checked(fid: FID, paths: list[bytes], files: Files) -> tuple[list[tuple[FID, bytes]], int]:
    """Return (parent, name) of each path, and how many names the object has. Raises OSError."""
    found, links = [], 0
    for path in paths:
        above, _, name = path.rpartition(b"/")
        if not name:
            continue  # the root has no name
        directory = files.open_path(above)
        try:
            parent = files.fid_of(directory) if above else ROOT_FID
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                seen, facts = files.fid_of(fd), os.fstat(fd)
            finally:
                os.close(fd)
        finally:
            os.close(directory)
        if parent is not None and seen not in {fid, None} and stat.S_ISDIR(facts.st_mode):
            raise OtherDirectory(errno.ENOENT, "another directory is there now", os.fsdecode(path))
        if parent is None or seen not in {fid, None}:
            raise FileNotFoundError(errno.ENOENT, "something else is there now", os.fsdecode(path))
        found.append((parent, name))
        links = 1 if stat.S_ISDIR(facts.st_mode) else facts.st_nlink
    return found, links
