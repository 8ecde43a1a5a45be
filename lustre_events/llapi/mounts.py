"""The kernel's calls for mounts that only a process and its children see.

Not a part of liblustreapi, but calls through ctypes, and those live here only. Numbers: Linux's
include/uapi/linux/mount.h, sched.h and fcntl.h; the calls have the same numbers on all machines.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_NOSUID = 0x2
_MS_NODEV = 0x4
_MS_REC = 0x4000
_MS_SLAVE = 0x80000
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 0x1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_READ_ONLY = struct.pack("=QQQQ", 0x1 | 0x2 | 0x4, 0, 0, 0)
"""struct mount_attr: set MOUNT_ATTR_RDONLY, _NOSUID and _NODEV; clear nothing; same propagation; no namespace."""

_libc = ctypes.CDLL(None, use_errno=True)


def leave_mounts() -> None:
    """Give this process mounts of its own: what is mounted from now on, only it and its children see.

    Without root's rights it gets a user namespace, too, in which its user and group are the only ones. It has the
    rights of that namespace until it starts a program. Mounts of the node still come and go here.

    Raises:
        OSError: the kernel does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    _asked("unshare", ctypes.c_int(_CLONE_NEWNS if uid == 0 else _CLONE_NEWNS | _CLONE_NEWUSER))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None)


def mount_memory(place: bytes, options: str) -> None:
    """Mount an empty file system in memory (tmpfs) over the directory `place`. Raises OSError."""
    _mount(b"tmpfs", place, b"tmpfs", _MS_NOSUID | _MS_NODEV, options.encode())


def mount_read_only(path: bytes, fd: int, place: bytes) -> None:
    """Mount the file at `path`, which `fd` has to refer to as well, over the file `place`: read-only.

    All else is as on the mount that it comes from. It is only mounted if it is the same file; a last component that
    is a symbolic link is none.

    Raises:
        FileNotFoundError: it is another file.
        OSError: it cannot be reached or mounted; ENOSYS before Linux 5.12.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_SYMLINK_NOFOLLOW
    tree = _syscall(_SYS_OPEN_TREE, ctypes.c_int(_AT_FDCWD), ctypes.c_char_p(path), ctypes.c_uint(flags))
    try:
        if not os.path.samestat(os.fstat(tree), os.fstat(fd)):
            raise FileNotFoundError("another file lies there now")
        _restrict(tree, b"", _AT_EMPTY_PATH)
        _syscall(
            _SYS_MOVE_MOUNT, ctypes.c_int(tree), ctypes.c_char_p(b""),
            ctypes.c_int(_AT_FDCWD), ctypes.c_char_p(place), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
        )  # fmt: skip
    finally:
        os.close(tree)


def make_read_only(place: bytes) -> None:
    """Make what is mounted at `place` itself read-only, for this process and its children. Raises OSError."""
    _restrict(_AT_FDCWD, place, 0)


def reach_files_as(uid: int) -> None:
    """Have a process of root look at files with the rights of `uid` alone, and keep all its other rights.

    Raises:
        PermissionError: this process may not do that.
    """
    _libc.setfsuid(ctypes.c_uint(uid))
    if _libc.setfsuid(ctypes.c_uint(uid)) != uid:  # it returns what it was, and no error
        raise PermissionError(f"files cannot be looked at as uid {uid}")


def _restrict(at: int, path: bytes, flags: int) -> None:
    _syscall(
        _SYS_MOUNT_SETATTR, ctypes.c_int(at), ctypes.c_char_p(path), ctypes.c_uint(flags),
        ctypes.c_char_p(_READ_ONLY), ctypes.c_size_t(len(_READ_ONLY)),
    )  # fmt: skip


def _mount(source: bytes, place: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    words = [ctypes.c_char_p(each) for each in (source, place, kind)]
    _asked("mount", *words, ctypes.c_ulong(flags), ctypes.c_char_p(options))


def _syscall(number: int, *arguments: object) -> int:
    return _asked("syscall", ctypes.c_long(number), *arguments)


def _asked(name: str, *arguments: object) -> int:
    found = getattr(_libc, name)(*arguments)
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(found)
