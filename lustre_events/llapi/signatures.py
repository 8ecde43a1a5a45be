"""The functions of liblustreapi that this binding knows, and their constants: declarations, nothing else.

Source: Lustre's lustreapi.h and lustre_user.h, and the manual pages llapi_changelog_start(3), _recv(3),
_clear(3), llapi_fid2path(3). tests/abi compares the constants and the struct with a C program.
"""

from __future__ import annotations

import ctypes
import enum
from dataclasses import dataclass


class Flag(enum.IntFlag):
    """enum changelog_send_flag, for `Changelog.open`."""

    FOLLOW = 0x01
    """At the end wait for new records instead of ending."""
    BLOCK = 0x02
    """No effect since Lustre 2.10."""
    JOBID = 0x04
    EXTRA_FLAGS = 0x08
    NID_BE = 0x10
    """NIDs in the big-endian form, as `lfs changelog` reads them."""


class ExtraFlag(enum.IntFlag):
    """enum changelog_send_extra_flag, for `Changelog.set_xflags`."""

    UIDGID = 0x01
    NID = 0x02
    OMODE = 0x04
    XATTR = 0x08


ALL_EXTRA = ExtraFlag.UIDGID | ExtraFlag.NID | ExtraFlag.OMODE | ExtraFlag.XATTR


class LuFid(ctypes.Structure):
    """struct lu_fid."""

    _fields_ = (("f_seq", ctypes.c_uint64), ("f_oid", ctypes.c_uint32), ("f_ver", ctypes.c_uint32))


class ChangelogRec(ctypes.Structure):
    """The head of struct changelog_rec: packed in C, which changes nothing as every field is aligned anyway."""

    _fields_ = (
        ("cr_namelen", ctypes.c_uint16),
        ("cr_flags", ctypes.c_uint16),
        ("cr_type", ctypes.c_uint32),
        ("cr_index", ctypes.c_uint64),
        ("cr_prev", ctypes.c_uint64),
        ("cr_time", ctypes.c_uint64),
        ("cr_tfid", LuFid),
        ("cr_pfid", LuFid),
    )


@dataclass(frozen=True, slots=True)
class Signature:
    """One C function; all return an int (QUIET's means nothing). `since`: the Lustre release that brought it."""

    arguments: tuple[type, ...]
    since: str = "2.0"
    optional: bool = False
    """Whether a library without it can be used."""


QUIET = "llapi_msg_set_level"
MSG_OFF = 0
"""enum llapi_message_level, LLAPI_MSG_OFF: the library prints nothing."""

_HANDLE = ctypes.c_void_p
_HANDLE_OUT = ctypes.POINTER(ctypes.c_void_p)
_RECORD_OUT = ctypes.POINTER(ctypes.POINTER(ChangelogRec))
_TEXT = ctypes.c_char_p
_INDEX = ctypes.c_longlong

SIGNATURES: dict[str, Signature] = {
    # priv, flags, device, startrec
    "llapi_changelog_start": Signature((_HANDLE_OUT, ctypes.c_int, _TEXT, _INDEX)),
    # priv, flags, device, username, mask, startrec
    "llapi_changelog_start_user": Signature(
        (_HANDLE_OUT, ctypes.c_int, _TEXT, _TEXT, ctypes.c_uint64, _INDEX), since="2.17.50", optional=True
    ),
    "llapi_changelog_set_xflags": Signature((_HANDLE, ctypes.c_int), since="2.11"),
    "llapi_changelog_recv": Signature((_HANDLE, _RECORD_OUT)),
    "llapi_changelog_free": Signature((_RECORD_OUT,)),
    "llapi_changelog_in_buf": Signature((_HANDLE,), since="2.13", optional=True),
    "llapi_changelog_get_fd": Signature((_HANDLE,), since="2.4"),
    "llapi_changelog_fini": Signature((_HANDLE_OUT,)),
    # mdtname, idstr, endrec
    "llapi_changelog_clear": Signature((_TEXT, _TEXT, _INDEX)),
    # level
    QUIET: Signature((ctypes.c_int,), optional=True),
    # path or device, fidstr, path, pathlen, recno, linkno
    "llapi_fid2path": Signature(
        (_TEXT, _TEXT, _TEXT, ctypes.c_int, ctypes.POINTER(_INDEX), ctypes.POINTER(ctypes.c_int))
    ),
}
