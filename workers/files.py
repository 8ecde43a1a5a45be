"""How the FID of a job becomes an open file on this node, and what can be told about it without reading it.

A path in a job is a hint: between the index and now the file may have been renamed, replaced or removed, by
somebody who may wish this worker ill. So nothing is opened through a symbolic link, and what was opened must
have the FID of the job; else it is gone (which is normal: the index hears of it by another record).
"""

from __future__ import annotations

import base64
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain import acl
from lustre_events.domain.bounds import within
from lustre_events.jobs.messages import JobItem

# lustre_user.h: #define LL_IOC_PATH2FID _IOR('f', 173, long); struct lu_fid in host byte order
_LL_IOC_PATH2FID = 2 << 30 | 8 << 16 | ord("f") << 8 | 173
_HOST_FID = struct.Struct("=QII")
# lustre_user.h: LL_IOC_HSM_STATE_GET _IOR('f', 211, struct hsm_user_state): states, archive id, state and action
# in progress (u32), offset and length of that (u64); enum hsm_states: HS_RELEASED 4
_HSM_STATE = struct.Struct("=IIIIQQ")
_LL_IOC_HSM_STATE_GET = 2 << 30 | _HSM_STATE.size << 16 | ord("f") << 8 | 211
_HS_RELEASED = 4
_NO_HSM = {errno.ENOTTY, errno.EOPNOTSUPP, errno.ENODATA}
# lustre_user.h: struct lustre_mdt_attrs: two u32, then the object's own FID, little-endian
_LMA = "trusted.lma"
_LMA_FID = struct.Struct("<8xQII")
_ACL = "system.posix_acl_access"
_NO_ACL = {errno.ENODATA, errno.EOPNOTSUPP}
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENODEV}
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
    released: bool = False
    """HSM has its content on tape only: whoever reads it recalls it."""
    elsewhere: bool = False
    """By the file system it has not the name that the job said."""

    @property
    def uid(self) -> int:
        """Whose it is, as the file system says of what was opened."""
        return os.fstat(self.fd).st_uid

    @property
    def bytes_to_read(self) -> int:
        """What reading all of it moves: its size, or less where it is sparse."""
        facts = os.fstat(self.fd)
        return min(facts.st_size, facts.st_blocks * 512)

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
        """Return what `stat` keeps, by the index's column names; sizes in bytes, times in ns, within its range."""
        found = os.fstat(self.fd)
        access = self._acl(found.st_mode)
        more = ({"released": True} if self.released else {}) | ({} if access is None else {"acl": access})
        return {
            "type": _TYPES.get(stat.S_IFMT(found.st_mode)),
            "size": within(found.st_size),
            "mtime_ns": within(found.st_mtime_ns),
            "ctime_ns": within(found.st_ctime_ns),
            "atime_ns": within(found.st_atime_ns),
            "uid": within(found.st_uid),
            "gid": within(found.st_gid),
            "mode": stat.S_IMODE(found.st_mode),
            "nlink": within(found.st_nlink),
            **more,
        }

    def _acl(self, mode: int) -> str | None:
        """Return its access list in base64; None: it has none; empty: it cannot be read, or is not well-formed."""
        if stat.S_ISLNK(mode):
            return None
        try:
            found = os.getxattr(f"/proc/self/fd/{self.fd}", _ACL)
        except OSError as exc:
            return None if exc.errno in _NO_ACL else ""
        return acl_text(found)

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
        paths_of_fid: the paths below `mount` of a FID by the file system itself, [] where it is gone; or None
            where the file system cannot tell, and only the hint is left.
        released: whether HSM has released the content of a regular file behind a descriptor (O_PATH); raises
            OSError.
        hidden: a directory of ours in the tree, which counts as not there.
        lustre_facts: what Lustre itself tells of what is behind a descriptor (O_PATH).
    """

    def __init__(
        self,
        mount: bytes,
        fid_of_fd: Callable[[int], FID | None],
        paths_of_fid: Callable[[FID], list[bytes]] | None = None,
        released: Callable[[int], bool] = lambda _: False,
        hidden: FID | None = None,
        *,
        lustre_facts: Callable[[int], dict[str, Any]] = lambda _: {},
    ) -> None:
        self.hidden = hidden
        self.lustre_facts = lustre_facts
        self._mount = os.path.abspath(mount)  # noqa: PTH100 - bytes
        self._fid_of_fd = fid_of_fd
        self._paths_of_fid = paths_of_fid
        self._released = released

    @property
    def mount(self) -> bytes:
        """The mount point, absolute."""
        return self._mount

    def open(self, item: JobItem) -> OpenFile | None:
        """Return the item's file, or None where it is gone.

        Raises:
            OSError: it is there, but this worker may not reach it, or the file system does not answer.
        """
        names = self.paths_of(item.fid)
        if names is not None and not names:
            return None
        hint = item.path.strip(b"/")
        path = names[0] if names and hint not in names else hint
        try:
            fd, found, released = self._look(path)
        except OSError as exc:
            if exc.errno in _NOT_THERE:
                return None
            raise
        if found is None and names is not None:
            found = item.fid
        if found != item.fid:
            os.close(fd)
            return None
        return OpenFile(item, fd, self._mount.rstrip(b"/") + b"/" + path, released, path != hint)

    def _look(self, path: bytes) -> tuple[int, FID | None, bool]:
        """Open a path; return the descriptor, the FID, and whether the content is on tape. Raises OSError."""
        fd = self.open_path(path)
        try:
            return fd, self.fid_of(fd) if path else ROOT_FID, self.is_released(fd)
        except OSError:
            os.close(fd)
            raise

    def paths_of(self, fid: FID) -> list[bytes] | None:
        """Return all paths of an object by the file system, relative to the mount; None: it cannot tell."""
        if self._paths_of_fid is None:
            return None
        return [path.strip(b"/") for path in self._paths_of_fid(fid)]

    def open_path(self, path: bytes) -> int:
        """Open a path below the mount with O_PATH, following no symbolic link below it. Raises OSError."""
        return _open_below(self._mount, path)

    def fid_of(self, fd: int) -> FID | None:
        """Return the FID of what a descriptor (O_PATH) refers to, None where it cannot be told. Raises OSError."""
        return self._fid_of_fd(fd)

    def is_released(self, fd: int) -> bool:
        """Return whether HSM has the content of what a descriptor (O_PATH) refers to. Raises OSError."""
        facts = os.fstat(fd)
        return stat.S_ISREG(facts.st_mode) and facts.st_size > 0 and self._released(fd)


def acl_text(value: bytes) -> str:
    """Return an access list in base64; nothing of one that the kernel would not take, so that it denies."""
    return base64.b64encode(value).decode() if acl.is_well_formed(value) else ""


def fid_of_lustre_fd(fd: int) -> FID | None:
    """Return the FID of a Lustre object behind an O_PATH descriptor; None: only root can tell that of this kind.

    A file is opened, which does not read it; a fifo or a device is not, for that could have effects, and a link
    cannot be: of those the MDT's own attribute is read, as llapi_path2fid does.

    Raises:
        OSError: it cannot be opened for reading, or is not on Lustre.
    """
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind not in {stat.S_IFREG, stat.S_IFDIR}:
        try:
            attribute = os.getxattr(f"/proc/self/fd/{fd}", _LMA)
        except OSError:
            return None
        return FID(*_LMA_FID.unpack_from(attribute)) if len(attribute) >= _LMA_FID.size else None
    return FID(*_HOST_FID.unpack(_asked(fd, _LL_IOC_PATH2FID, _HOST_FID.size)))


def released_lustre_fd(fd: int) -> bool:
    """Return whether HSM has released the content of a Lustre file behind an O_PATH descriptor.

    To open a released file does not recall it; only to read it does.

    Raises:
        OSError: it cannot be opened for reading, or the MDT does not answer.
    """
    try:
        states, *_ = _HSM_STATE.unpack(_asked(fd, _LL_IOC_HSM_STATE_GET, _HSM_STATE.size))
    except OSError as exc:
        if exc.errno in _NO_HSM:
            return False
        raise
    return bool(states & _HS_RELEASED)


def _asked(fd: int, request: int, size: int) -> bytes:
    """Return the answer of an ioctl about what is behind an O_PATH descriptor, which takes none itself."""
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(again, request, bytes(size))
    finally:
        os.close(again)


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
            if b"\0" in name:
                raise FileNotFoundError(errno.ENOENT, "a path of a job has a zero byte", os.fsdecode(path))
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        finally:
            os.close(above)
    return fd
