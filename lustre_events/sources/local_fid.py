"""FIDs of objects that lie on a local file system.

FID(seq = inode number, oid = time of birth and file type folded to 32 bits, ver = device, never 0). Inode
numbers are used again, so the inode alone would take a new file for an old one. The inode generation
(FS_IOC_GETVERSION) would tell them apart, but needs an open file, which symbolic links, fifos and files that
one may not read do not give; the time of birth is there for every type, through any kind of descriptor
(seen on ext4, tmpfs and overlay). The type is folded in because the clock of births ticks every few
milliseconds: a directory never gets the FID of a file that it follows within one tick. Two files that do so
share a FID; then the second looks like a rename of the first with new content, which is harmless.

A file system without births gives FIDs that are used again with their inode. `ver` is never 0, so no local FID
is equal to one of Lustre's special ones (ROOT_FID, NO_FID).
"""

from __future__ import annotations

import stat
import struct
import zlib

from lustre_events.changelog.fid import FID
from lustre_events.llapi.statx import Statx, statx

_BIRTH = struct.Struct("<QI")
_MINOR_BITS = 20
_U32 = 0xFFFF_FFFF
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def fid_of(facts: Statx) -> FID:
    """Return the FID of the object that `facts` describe."""
    birth = zlib.crc32(_BIRTH.pack(facts.btime_ns & _U64, stat.S_IFMT(facts.mode)))
    device = (facts.dev_major << _MINOR_BITS | facts.dev_minor) & _U32
    return FID(facts.ino, birth, device or 1)


def fid_of_fd(fd: int) -> FID:
    """Return the FID of an open object; `fd` may have been opened with O_PATH. Raises OSError."""
    return fid_of(statx(dir_fd=fd))


def fid_of_path(path: bytes, dir_fd: int | None = None) -> FID:
    """Return the FID of `path` (relative to `dir_fd`) without following a symbolic link. Raises OSError."""
    return fid_of(statx(path) if dir_fd is None else statx(path, dir_fd))
