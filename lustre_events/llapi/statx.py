"""The kernel's statx: what os.stat does not tell, the time of birth and the mount of a file.

Not a part of liblustreapi, but a call through ctypes, and those live here only. Layout and constants:
struct statx in Linux's include/uapi/linux/stat.h; all fields used here lie in its first 152 bytes.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from collections.abc import Callable

import msgspec

from lustre_events.domain.bounds import within

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_NO_AUTOMOUNT = 0x800
_AT_EMPTY_PATH = 0x1000
_FLAGS = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | _AT_EMPTY_PATH

_BASIC_STATS = 0x7FF
_BTIME = 0x800
_MNT_ID = 0x1000
_WANTED = _BASIC_STATS | _BTIME | _MNT_ID

_BUFFER_BYTES = 256
# mask, blksize, attributes; nlink, uid, gid, mode; ino, size, blocks, attributes_mask; atime, btime, ctime, mtime
# (each seconds, nanoseconds, padding); rdev and dev (major, minor); mnt_id.
_LAYOUT = struct.Struct("=I4x8xIIIH2xQQ16x" + 4 * "qI4x" + "8xIIQ")
_SECOND = 1_000_000_000


class Statx(msgspec.Struct, frozen=True, gc=False):
    """What the kernel knows of one object; times in ns since the epoch, numbers within signed 64 bits (bounds.py).

    The inode number and the time of birth are exact, for they tell objects apart. `btime_ns` is 0 where the file
    system keeps no time of birth, `mnt_id` is 0 before Linux 5.8.
    """

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int
    dev_major: int
    dev_minor: int
    mnt_id: int


def statx(path: bytes = b"", dir_fd: int = _AT_FDCWD) -> Statx:
    """Return the facts of `path` (relative to `dir_fd`), or of `dir_fd` itself where `path` is empty.

    Symbolic links are not followed. `dir_fd` may have been opened with O_PATH.

    Raises:
        OSError: the object is not there (FileNotFoundError), or what else the kernel says.
    """
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    if _function()(dir_fd, path, _FLAGS, _WANTED, buffer) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), path)
    (
        mask, nlink, uid, gid, mode, ino, size,
        _, _, btime, btime_ns, ctime, ctime_ns, mtime, mtime_ns,
        dev_major, dev_minor, mnt_id,
    ) = _LAYOUT.unpack_from(buffer)  # fmt: skip
    return Statx(
        ino=ino,
        mode=mode,
        nlink=nlink,
        uid=uid,
        gid=gid,
        size=within(size),
        mtime_ns=within(mtime * _SECOND + mtime_ns),
        ctime_ns=within(ctime * _SECOND + ctime_ns),
        btime_ns=btime * _SECOND + btime_ns if mask & _BTIME else 0,
        dev_major=dev_major,
        dev_minor=dev_minor,
        mnt_id=mnt_id if mask & _MNT_ID else 0,
    )


@functools.cache
def _function() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).statx
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    function.restype = ctypes.c_int
    return function
