"""How the FID of a job becomes an open file on this node, and what can be told about it without reading it.

A path in a job is a hint: between the index and now the file may have been renamed, replaced or removed, by
somebody who may wish this worker ill. So nothing is opened through a symbolic link, and what was opened must
have the FID of the job; else it is gone (which is normal: the index hears of it by another record).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from lustre_events.fid import FID, ROOT_FID
from lustre_events.work import JobItem

# lustre_user.h: #define LL_IOC_PATH2FID _IOR('f', 173, long); struct lu_fid in host byte order
_LL_IOC_PATH2FID = 2 << 30 | 8 << 16 | ord("f") << 8 | 173
_HOST_FID = struct.Struct("=QII")
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENODEV}
_TYPES = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFBLK: "b",
    stat.S_IFCHR: "c",
}


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One file of a job, held by an O_PATH descriptor: it can be looked at, but not read through this."""

    item: JobItem
    fd: int
    path: bytes
    """Absolute; where it was when it was opened."""

    @property
    def regular(self) -> bool:
        """Whether it is a regular file, the only kind that extractors get."""
        return stat.S_ISREG(os.fstat(self.fd).st_mode)

    @property
    def suffix(self) -> str:
        """Its extension in lower case with the dot, where it is of 1 to 8 letters and digits; else empty."""
        extension = os.path.splitext(self.path)[1][1:]  # noqa: PTH122 - bytes
        return "." + extension.decode().lower() if extension.isalnum() and len(extension) <= 8 else ""

    def in_place(self) -> bool:
        """Return whether its path still leads to it; else it is gone from there."""
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self.fd))
        except OSError:
            return False

    def facts(self) -> dict[str, Any]:
        """Return what `stat` keeps, by the index's column names; sizes in bytes, times in ns."""
        found = os.fstat(self.fd)
        return {
            "type": _TYPES.get(stat.S_IFMT(found.st_mode)),
            "size": found.st_size,
            "mtime_ns": found.st_mtime_ns,
            "ctime_ns": found.st_ctime_ns,
            "atime_ns": found.st_atime_ns,
            "uid": found.st_uid,
            "gid": found.st_gid,
            "mode": stat.S_IMODE(found.st_mode),
            "nlink": found.st_nlink,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class Files:
    """Opens the files of jobs below one mount point.

    Args:
        mount: the mount point, or the directory that is watched.
        fid_of_fd: the FID of what a descriptor (O_PATH) refers to, None where it cannot be told (then only
            a path by the file system itself is believed); raises OSError.
        path_of_fid: the path below `mount` of a FID by the file system itself, None where it has none; or
            None where the file system cannot tell, and only the hint is left.
    """

    def __init__(
        self,
        mount: bytes,
        fid_of_fd: Callable[[int], FID | None],
        path_of_fid: Callable[[FID], bytes | None] | None = None,
    ) -> None:
        self._mount = os.path.abspath(mount)  # noqa: PTH100 - bytes
        self._fid_of_fd = fid_of_fd
        self._path_of_fid = path_of_fid

    def open(self, item: JobItem) -> OpenFile | None:
        """Return the item's file, or None where it is gone.

        Raises:
            OSError: it is there, but this worker may not reach it, or the file system does not answer.
        """
        path = item.path if self._path_of_fid is None else self._path_of_fid(item.fid)
        if path is None:
            return None
        try:
            fd = _open_below(self._mount, path)
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise
        try:
            found = ROOT_FID if not path.strip(b"/") else self._fid_of_fd(fd)
        except OSError as exc:
            os.close(fd)
            if exc.errno in _GONE:
                return None
            raise
        if found is None and self._path_of_fid is not None:
            found = item.fid
        if found != item.fid:
            os.close(fd)
            return None
        return OpenFile(item, fd, self._mount.rstrip(b"/") + b"/" + path.strip(b"/"))


def fid_of_lustre_fd(fd: int) -> FID | None:
    """Return the FID of a Lustre file or directory behind an O_PATH descriptor; None for other kinds.

    A file is opened, which does not read it; a fifo or a device is not, for that could have effects.

    Raises:
        OSError: it cannot be opened for reading, or is not on Lustre.
    """
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind not in {stat.S_IFREG, stat.S_IFDIR}:
        return None
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        packed = fcntl.ioctl(again, _LL_IOC_PATH2FID, bytes(_HOST_FID.size))
    finally:
        os.close(again)
    return FID(*_HOST_FID.unpack(packed))


def _open_below(mount: bytes, path: bytes) -> int:
    """Open `path` below `mount` with O_PATH, following no symbolic link below it. Raises OSError."""
    fd = os.open(mount, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in path.split(b"/"):
        if name in {b"", b"."}:
            continue
        above = fd
        try:
            if name == b"..":
                raise FileNotFoundError(errno.ENOENT, "a path of a job leads upwards", os.fsdecode(path))
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        finally:
            os.close(above)
    return fd
