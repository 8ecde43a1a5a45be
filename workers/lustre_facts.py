"""What Lustre itself tells of a file: its MDT, layout, project and HSM state. Nothing is read, nothing recalled."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from typing import Any

from lustre_events.domain.layout import layout_of

_LOV = "lustre.lov"
# lustre_user.h: LL_IOC_GET_MDTIDX _IOR('f', 175, int)
_MDT = struct.Struct("=i")
_LL_IOC_GET_MDTIDX = 2 << 30 | _MDT.size << 16 | ord("f") << 8 | 175
# lustre_user.h: struct hsm_user_state, whose first u32 has the states (enum hsm_states)
_HSM = struct.Struct("=I28x")
_LL_IOC_HSM_STATE_GET = 2 << 30 | _HSM.size << 16 | ord("f") << 8 | 211
HSM_STATES = {
    0x01: "exists", 0x02: "dirty", 0x04: "released", 0x08: "archived", 0x10: "norelease", 0x20: "noarchive",
    0x40: "lost",
}  # fmt: skip
# linux/fs.h: FS_IOC_FSGETXATTR _IOR('X', 31, struct fsxattr): flags, extent size, extents, project
_PROJECT = struct.Struct("=12xI12x")
_FS_IOC_FSGETXATTR = 2 << 30 | _PROJECT.size << 16 | ord("X") << 8 | 31


def lustre_facts_of_fd(
    fd: int,
    getxattr: Callable[[str, str], bytes] = os.getxattr,
    ioctl: Callable[[int, int, bytes], bytes] = fcntl.ioctl,
) -> dict[str, Any]:
    """Return the facts of a file or directory behind an O_PATH descriptor, by the index's column names.

    What cannot be told is left out: another kind of file, a file that may not be opened, an older server.

    Args:
        fd: the descriptor.
        getxattr: gives an attribute of a path; raises OSError.
        ioctl: asks a file system; raises OSError.
    """
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind not in {stat.S_IFREG, stat.S_IFDIR}:
        return {}
    regular = kind == stat.S_IFREG
    facts = _layout(fd, getxattr) if regular else {}
    with contextlib.suppress(OSError):
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            facts |= _asked(ioctl, again, _LL_IOC_GET_MDTIDX, _MDT, "mdt")
            facts |= _asked(ioctl, again, _FS_IOC_FSGETXATTR, _PROJECT, "projid")
            if regular:
                facts |= _hsm(_asked(ioctl, again, _LL_IOC_HSM_STATE_GET, _HSM, "hsm").get("hsm", 0))
        finally:
            os.close(again)
    return facts


def _layout(fd: int, getxattr: Callable[[str, str], bytes]) -> dict[str, Any]:
    try:
        found = layout_of(getxattr(f"/proc/self/fd/{fd}", _LOV))
    except OSError:
        return {}
    if found is None:
        return {}
    facts = {
        "layout": " ".join(found.kinds), "stripe_count": found.stripe_count, "stripe_size": found.stripe_size,
        "mirror_count": found.mirror_count,
    }  # fmt: skip
    return facts | ({"pool": found.pool} if found.pool else {})


def _asked(
    ioctl: Callable[[int, int, bytes], bytes], fd: int, request: int, answer: struct.Struct, name: str
) -> dict[str, int]:
    try:
        (value,) = answer.unpack(ioctl(fd, request, bytes(answer.size)))
    except OSError:
        return {}
    return {name: value}


def _hsm(states: int) -> dict[str, str]:
    words = [word for bit, word in HSM_STATES.items() if states & bit]
    return {"hsm": " ".join(words)} if words else {}
