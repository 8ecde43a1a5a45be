"""Finding and ending the processes of a session, in /proc.

An extractor's run leads a session of its own. What is in a container cannot outlive the container's PID 1, and
the runtime's helpers stay in the session, so the two together are everything that a run can leave behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.005
CLEAR_UP_SECONDS = 0.5
"""How long a runtime may clear up behind its dead container."""
MUCH_BYTES = 8 << 20
"""With less shared memory it is not looked at where that is from."""
LAST_MESSAGE_BYTES = 1 << 16
_HELD = {b"Pss_Anon", b"Pss_Shmem", b"SwapPss"}
END_SECONDS = 5.0
"""Longest wait for killed processes to be gone."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a session. `inner` are its ids in the PID namespaces below ours."""

    pid: int
    inner: tuple[int, ...]


def session_processes(session: int) -> list[Process]:
    """Return the live processes of a session."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names, not paths
        if not name.isdigit():
            continue
        try:
            fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
            # man 5 proc_pid_stat: behind the name come state, ppid, pgrp, session
            if int(fields[3]) == session and fields[0] not in {b"Z", b"X"}:
                found.append(Process(int(name), _inner(int(name))))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def container_init(pid: int) -> int:
    """Return the pid of the PID 1 of the container that the process `pid` started; 0 while there is none."""
    try:
        children = [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]
        for child in children:
            if _inner(child)[-1:] == (1,):
                return child
        return next((init for child in children if (init := container_init(child))), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def container_memory(pid: int) -> int:
    """Return the bytes of memory that the container of process `pid` holds; 0 while there is none.

    The pages of its processes, a shared one by its part; what lies in its /dev/shm, which no limit of a process
    bounds; and what its sockets may hold at most, for no process is charged with that. A container that is still
    being made sees the node's /dev/shm and network, where others keep their own.
    """
    init = container_init(pid)
    return held_by(init) if init else 0


def held_by(init: int) -> int:
    """Return the bytes of memory that the container with this PID 1 holds; 0 where it has ended meanwhile."""
    processes = list(_with_descendants(init))
    device, in_files = _shared_files(init)
    return sum(_pages(each, device) for each in processes) + in_files + _sockets(init) * _socket_bytes()


def end_session(session: int) -> None:
    """Kill the container's PID 1 of this session, which takes all of the container along, then the rest.

    The runtime's own processes get a moment to clear up behind a dead container: an ordinary user's
    squashfuse outlives a runtime that was killed.

    Raises:
        OSError: something could not be ended within END_SECONDS.
    """
    begun = time.monotonic()
    patience = 0.0
    while alive := session_processes(session):
        waited = time.monotonic() - begun
        if waited > END_SECONDS:
            raise OSError(f"processes {[process.pid for process in alive]} do not end after SIGKILL")
        if inits := [process for process in alive if process.inner[-1:] == (1,)]:
            patience = waited + CLEAR_UP_SECONDS
        for process in inits or (alive if waited >= patience else ()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)


def _read(path: str) -> bytes:
    """Return what a small file of /proc says; there are hundreds to read, many times a second."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 14)
    finally:
        os.close(fd)


def _inner(pid: int) -> tuple[int, ...]:
    lines = _read(f"/proc/{pid}/status").splitlines()
    ids = next((line.split()[2:] for line in lines if line.startswith(b"NSpid:")), [])
    return tuple(int(word) for word in ids)


def _with_descendants(pid: int) -> Iterator[int]:
    """Yield a process and all below it, as far as they are still there."""
    yield pid
    folder = Path(f"/proc/{pid}/task")
    threads: list[str] = []
    with contextlib.suppress(OSError):
        threads = os.listdir(folder)  # noqa: PTH208 - of /proc, many times a second
    for thread in threads:
        with contextlib.suppress(OSError):
            for child in (folder / thread / "children").read_bytes().split():
                yield from _with_descendants(int(child))


def _pages(pid: int, device: int) -> int:
    """Return the bytes of a process's own pages, a shared one by its part; 0 where it is gone or hidden.

    Not those of files in the container's /dev/shm (on `device`), which are counted there.
    """
    try:
        lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
        # man 5 proc_pid_smaps_rollup: kB
        held = {name: int(line.split()[1]) * 1024 for line in lines if (name := line.split(b":")[0]) in _HELD}
        if held.get(b"Pss_Shmem", 0) >= MUCH_BYTES:
            held[b"Pss_Shmem"] -= _mapped(pid, device)
    except OSError:
        return 0
    return sum(held.values())


def _mapped(pid: int, device: int) -> int:
    """Return a process's part of the files on a device that it has mapped. That takes a look at all of its maps."""
    found, counts = 0, False
    with open(f"/proc/{pid}/smaps", "rb") as maps:  # noqa: PTH123 - /proc
        for line in maps:
            name, *rest = line.split(None, 5)
            if not name.endswith(b":"):
                major, _, minor = rest[2].partition(b":")
                counts = os.makedev(int(major, 16), int(minor, 16)) == device
            elif counts and name == b"Pss:":
                found += int(rest[0]) * 1024
    return found


def _shared_files(init: int) -> tuple[int, int]:
    """Return the device of a container's /dev/shm, and how many bytes lie there; 0 while it is the node's."""
    place = f"/proc/{init}/root/dev/shm"
    with contextlib.suppress(OSError):
        device = os.stat(place).st_dev  # noqa: PTH116 - /proc's link, not a path
        if device != os.stat("/dev/shm").st_dev:  # noqa: PTH116, S108 - the node's own
            shared = os.statvfs(place)
            return device, (shared.f_blocks - shared.f_bfree) * shared.f_frsize
    return 0, 0


def _sockets(init: int) -> int:
    """Return how many sockets there are in the network namespace of a container; 0 while it is the node's."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        if os.stat(f"/proc/{init}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino:  # noqa: PTH116 - links
            return int(_read(f"/proc/{init}/net/sockstat").split(None, 3)[2])
    return 0


def _socket_bytes() -> int:
    """Return what a socket may hold where nobody makes its buffer larger (syscalls.py), and its last message."""
    return int(_read("/proc/sys/net/core/wmem_default")) + LAST_MESSAGE_BYTES
