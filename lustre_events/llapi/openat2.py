"""The kernel's openat2: a path is opened below a directory, and nothing on the way may be a symbolic link.

Not a part of liblustreapi, but a call through ctypes, and those live here only. Numbers: Linux's
include/uapi/linux/openat2.h; the call has the same number on all machines.
"""

from __future__ import annotations

import ctypes
import os
import struct

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_HOW = struct.Struct("=QQQ")
"""flags, mode, resolve"""

_libc = ctypes.CDLL(None, use_errno=True)


def open_beneath(dir_fd: int, path: bytes, flags: int) -> int:
    """Return a descriptor of `path` below the directory `dir_fd`; no part of it is a symbolic link.

    Raises:
        OSError: ELOOP where one is, EXDEV where it leads out, ENOSYS before Linux 5.6, or as `open` does.
    """
    resolve = _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
    how = ctypes.create_string_buffer(_HOW.pack(flags | os.O_CLOEXEC, 0, resolve))
    found = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(dir_fd), ctypes.c_char_p(path), how, ctypes.c_size_t(_HOW.size)
    )
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), os.fsdecode(path))
    return int(found)
