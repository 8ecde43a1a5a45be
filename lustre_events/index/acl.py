"""Access lists as the kernel gives them: the value of system.posix_acl_access.

linux/posix_acl_xattr.h: a little-endian u32 version (2), then entries of u16 tag, u16 permissions, u32 id. The
entries of the owner, the owning group and others repeat the mode, whose group bits are the mask.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

READ, WRITE, SEARCH = 4, 2, 1
"""Bits of a permission; SEARCH is the x of a directory."""

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def allows(acl: bytes, uid: int, gids: Collection[int], gid: int, wanted: int) -> bool:
    """Return whether an access list gives `wanted` to a user who is not the owner; one that is damaged does not.

    `gid` is the owning group. A user who is named is judged by that entry alone, a member of groups by any
    entry of these that grants it; both within the mask. Only who is in neither is one of the others.
    """
    if len(acl) < _VERSION.size or _VERSION.unpack_from(acl)[0] != 2 or (len(acl) - _VERSION.size) % _ENTRY.size:
        return False
    entries = list(_ENTRY.iter_unpack(acl[_VERSION.size :]))
    mask = next((bits for tag, bits, _ in entries if tag == _MASK), 7)
    for tag, bits, id_ in entries:
        if tag == _USER and id_ == uid:
            return _within(bits & mask, wanted)
    of_groups = [
        bits for tag, bits, id_ in entries if (tag == _GROUP_OBJ and gid in gids) or (tag == _GROUP and id_ in gids)
    ]
    if of_groups:
        return any(_within(bits & mask, wanted) for bits in of_groups)
    return any(_within(bits, wanted) for tag, bits, _ in entries if tag == _OTHER)


def _within(bits: int, wanted: int) -> bool:
    return wanted & ~bits == 0
