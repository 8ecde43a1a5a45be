"""Reading without a trace: a worker that is root sees the file system without access times.

A mount of its own namespace has the flag `noatime`, so neither this worker nor a container that it starts changes
when a file was read last, and the rest of the node keeps its mount as it is. An ordinary user has no right to that:
what its containers read counts as read by that user, as the mount's options say (with `relatime`, once
a day at most). To put it back afterwards would change ctime, and so look like a change of the file: not done.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

_SCRIPT = """
mount -o remount,bind,noatime "$0" 2>/dev/null ||
{ mount --bind "$0" "$0" && mount -o remount,bind,noatime "$0"; } ||
echo "lustre-events: $0 cannot be seen without access times here; reading changes them" >&2
exec "$@"
"""
"""Where the path is no mount point it is made one, for the flag belongs to a mount."""


def quietly(mount: str, argv: Sequence[str]) -> list[str] | None:
    """Return the command that runs `argv` where reading below `mount` changes no access time; None: not needed."""
    if os.geteuid() != 0 or not os.path.isdir(mount) or os.statvfs(mount).f_flag & os.ST_NOATIME:  # noqa: PTH112
        return None
    if not (shutil.which("unshare") and shutil.which("mount")):
        return None
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _SCRIPT, mount, *argv]
