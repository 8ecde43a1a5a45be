"""Tags of a file: its extended attributes of the space `user.`, as far as they may be read, and bounded."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Any

_SPACE = "user."
MOST_TAGS = 64
MOST_NAME = 255
MOST_VALUE = 4_096
MOST_BYTES = 16_384
"""Of all names and values of a file together."""
PARTIAL = "partial"
_NONE = frozenset({errno.EOPNOTSUPP, errno.ENODATA})


def tags_of_fd(
    fd: int,
    listxattr: Callable[[str], list[str]] = os.listxattr,
    getxattr: Callable[[str, str], bytes] = os.getxattr,
) -> dict[str, Any]:
    """Return what `stat` tells of tags of a file or directory behind an O_PATH descriptor; nothing of other kinds.

    The member `xattr` has them by name without `user.`. What is too much, no UTF-8 text, or may not be read, is
    left out, and `partial` among them says so.

    Args:
        fd: the descriptor.
        listxattr: gives the names of a path's attributes; raises OSError.
        getxattr: gives an attribute of a path; raises OSError.
    """
    if stat.S_IFMT(os.fstat(fd).st_mode) not in {stat.S_IFREG, stat.S_IFDIR}:
        return {}
    path = f"/proc/self/fd/{fd}"
    try:
        names = sorted(name for name in listxattr(path) if name.startswith(_SPACE))
    except OSError as exc:
        return {"xattr": {}} if exc.errno in _NONE else {}
    found: dict[str, str] = {}
    left = MOST_BYTES
    for name in names:
        value = _value(path, name, getxattr) if len(found) < MOST_TAGS else None
        size = 0 if value is None else len(name) + len(value.encode())
        if value is not None and size <= left:
            found[name.removeprefix(_SPACE)] = value
            left -= size
    if len(found) < len(names):
        found[PARTIAL] = f"{len(found)} of {len(names)} extended attributes"
    return {"xattr": found}


def _value(path: str, name: str, getxattr: Callable[[str, str], bytes]) -> str | None:
    """Return a value that can be a tag, or None."""
    try:
        name.encode()
        value = getxattr(path, name)
        return None if len(value) > MOST_VALUE else value.decode().rstrip("\0")
    except (OSError, UnicodeError):
        return None
