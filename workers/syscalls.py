"""System calls that no extractor needs and that a hostile one would use to get around its limits.

An ordinary user may make a user namespace of his own, also inside of a container, and is root there: he mounts file
systems that lie in memory and reaches parts of the kernel that only root should. Memory that belongs to no process
(memfd, System V) would escape the bound on memory; keyrings are shared by all containers of an account.

clone3 stays: a filter cannot look at its flags, and Apptainer refuses calls only with EPERM, after which the C
library makes no threads. So a namespace can still be made by it; in it nothing can be mounted.
"""

from __future__ import annotations

import json
from pathlib import Path

FILE_NAME = "seccomp.json"
REFUSED = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsmount", "fspick",
    "mount_setattr", "memfd_create", "memfd_secret", "shmget", "add_key", "request_key", "keyctl", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load",
    "open_by_handle_at",
)  # fmt: skip
# linux/sched.h; CLONE_NEWTIME shares its bit with the exit signal of clone, so it is none of clone's
_NEW_NAMESPACES = {
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}


def profile() -> str:
    """Return the profile in the form of the OCI runtime specification, which Apptainer reads."""
    refused = {"action": "SCMP_ACT_ERRNO"}
    clones = [
        {
            "names": ["clone"],
            "args": [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}],
            **refused,
        }
        for flag in _NEW_NAMESPACES.values()
    ]
    return json.dumps(
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": list(REFUSED), **refused}, *clones]}
    )


def write(folder: Path) -> Path:
    """Write the profile into `folder`, and return its path."""
    path = folder / FILE_NAME
    path.write_text(profile())
    path.chmod(0o644)
    return path
