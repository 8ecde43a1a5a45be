"""SQLite's files must lie on a local disk: over a network its locks and its shared memory do not hold.

What is mounted where is read from /proc/self/mountinfo (man proc_pid_mountinfo(5)).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lustre_events.errors import IndexUnavailable

NETWORK = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "dvs", "gfs2", "glusterfs", "gpfs", "lustre", "lustre_tgt",
    "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs", "wekafs",
})  # fmt: skip
LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.squashfuse"})
"""Of file systems in user space only these are known to be local; most of the others are a network's."""

_ESCAPE = re.compile(rb"\\([0-7]{3})")


def check(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Raise IndexUnavailable where `path` lies on a network file system; unknown ones are allowed."""
    try:
        table = mounts.read_bytes()
    except OSError:
        return
    kind = type_at(os.path.realpath(os.fsencode(path)), table)
    if kind in NETWORK or (kind.startswith("fuse") and kind not in LOCAL_FUSE):
        raise IndexUnavailable(
            f"{path}: this is on a network file system ({kind}), where SQLite's locks do not hold and the index "
            "would be damaged; put it on a local disk ([index] url), or use PostgreSQL"
        )


def type_at(path: bytes, table: bytes) -> str:
    """Return the type of the file system that a real path lies on, by a mountinfo table; empty: it does not say."""
    found, depth = "", -1
    for line in table.splitlines():
        fields, _, rest = line.partition(b" - ")
        try:
            point = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), fields.split(b" ")[4])
            kind = rest.split(b" ")[0].decode()
        except (IndexError, UnicodeDecodeError):
            continue
        inside = path == point or path.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= depth:  # of two at one place the later one is on top
            found, depth = kind, len(point)
    return found
