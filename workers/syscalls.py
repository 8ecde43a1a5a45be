"""System calls that no extractor needs and that a hostile one would use to get around its limits.

An ordinary user may make a user namespace of his own, also inside of a container, and is root there: he mounts file
systems that lie in memory and reaches parts of the kernel that only root should. Memory that belongs to no process
(memfd, System V) would escape the bound on memory; keyrings are shared by all containers of an account.

A filter cannot look at the flags of clone3, so it is answered as by a kernel that has no such call (ENOSYS): then
the C library uses clone. Apptainer gives that answer only to calls for a tracer where there is none, so nobody may
trace here. Sockets are local ones: all others reach nothing but the kernel, and those of virtual machines (vsock)
the node. Their buffers stay as they are, for these bound what they hold.
"""

from __future__ import annotations

import json
from pathlib import Path

FILE_NAME = "seccomp.json"
REFUSED = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsmount", "fspick",
    "mount_setattr", "memfd_create", "memfd_secret", "shmget", "add_key", "request_key", "keyctl", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load",
    "open_by_handle_at", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp",
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

_AF_UNIX = 1
_SOL_SOCKET = 1
_BUFFERS = (7, 8, 32, 33)
"""SO_SNDBUF, SO_RCVBUF, and both with FORCE (asm-generic/socket.h)."""


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
    sockets = [
        {"names": ["socket", "socketpair"], "args": [_is(0, "SCMP_CMP_NE", _AF_UNIX)], **refused},
        *(
            {"names": ["setsockopt"], "args": [_is(1, "SCMP_CMP_EQ", _SOL_SOCKET), _is(2, "SCMP_CMP_EQ", option)],
             **refused}
            for option in _BUFFERS
        ),
    ]  # fmt: skip
    absent = {"names": ["clone3"], "action": "SCMP_ACT_TRACE"}
    calls = [{"names": list(REFUSED), **refused}, *clones, *sockets, absent]
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls})


def _is(place: int, how: str, value: int) -> dict[str, object]:
    return {"index": place, "value": value, "op": how}


def write(folder: Path) -> Path:
    """Write the profile into `folder`, and return its path."""
    path = folder / FILE_NAME
    path.write_text(profile())
    path.chmod(0o644)
    return path
