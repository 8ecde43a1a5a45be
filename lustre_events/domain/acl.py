"""Access lists as the kernel gives them: the value of system.posix_acl_access.

linux/posix_acl_xattr.h: a little-endian u32 version (2), then entries of u16 tag, u16 permissions, u32 id. The
entries of the owner, the owning group and others repeat the mode, whose group bits are the mask.

Only what the kernel itself takes for a list (`is_well_formed`) can grant anything. Whoever reads a value judges it
once, and what is judged by an index's facts is judged again: a list may have been stored by somebody else.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable

READ, WRITE, SEARCH = 4, 2, 1
"""Bits of a permission; SEARCH is the x of a directory."""

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFF_FFFF
_AFTER = {
    None: {_USER_OBJ},
    _USER_OBJ: {_USER, _GROUP_OBJ},
    _USER: {_USER, _GROUP_OBJ},
    _GROUP_OBJ: {_GROUP, _MASK, _OTHER},
    _GROUP: {_GROUP, _MASK},
    _MASK: {_OTHER},
    _OTHER: set(),
}
"""Which tags may follow a tag. Named users ask for a mask, too."""

_Entry = tuple[int, int, int]


def is_well_formed(acl: bytes) -> bool:
    """Return whether the kernel would take these bytes for an access list (fs/posix_acl.c, posix_acl_valid).

    The entries stand in the order of their tags; those of owner, owning group, mask and others once, and a mask
    wherever somebody is named. The same user or group may be named twice.
    """
    return bool(_entries(acl))


# Branches: the order of the kernel in one piece: what comes first decides.
def allows(acl: bytes, uid: int, gids: Collection[int], gid: int, wanted: int) -> bool:
    """Return whether an access list gives `wanted` to a user who is not the owner; one that is damaged does not.

    `gid` is the owning group. A user who is named is judged by that entry alone (of two the first), a member of
    groups by any entry of these that grants it; both within the mask. Only who is in neither is one of the others.
    """
    entries = _entries(acl)
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


def _entries(acl: bytes) -> list[_Entry]:
    """Return the entries of a list; none of bytes that are not well-formed."""
    if len(acl) < _VERSION.size or _VERSION.unpack_from(acl)[0] != 2 or (len(acl) - _VERSION.size) % _ENTRY.size:
        return []
    entries = list(_ENTRY.iter_unpack(acl[_VERSION.size :]))
    return entries if _in_order(entries) else []


def _in_order(entries: Iterable[_Entry]) -> bool:
    before, named, masked = None, False, False
    for tag, bits, id_ in entries:
        if tag not in _AFTER[before] or bits & ~7 or (tag in {_USER, _GROUP} and id_ == _NOBODY):
            return False
        before, named, masked = tag, named or tag in {_USER, _GROUP}, masked or tag == _MASK
    return before == _OTHER and (masked or not named)


def _within(bits: int, wanted: int) -> bool:
    return wanted & ~bits == 0
