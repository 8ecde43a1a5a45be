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

    The private pages of its processes, their part of shared ones, and what lies in its /dev/shm, which no limit
    of a process bounds. A container that is still being made sees the node's /dev/shm, where others keep their own.
    """
    init = container_init(pid)
    if not init:
        return 0
    held = sum(map(_pages, _with_descendants(init)))
    with contextlib.suppress(OSError):
        place = f"/proc/{init}/root/dev/shm"
        if os.stat(place).st_dev != os.stat("/dev/shm").st_dev:  # noqa: PTH116, S108 - /proc's links, not paths
            shared = os.statvfs(place)
            held += (shared.f_blocks - shared.f_bfree) * shared.f_frsize
    return held


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
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):  # of each thread
        with contextlib.suppress(OSError):
            for child in children.read_bytes().split():
                yield from _with_descendants(int(child))


def _pages(pid: int) -> int:
    """Return the bytes of a process's anonymous pages, a shared one by its part; 0 where it is gone or hidden."""
    try:
        lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    except OSError:
        return 0
    # man 5 proc_pid_smaps_rollup: kB
    return sum(int(line.split()[1]) for line in lines if line.startswith((b"Pss_Anon:", b"SwapPss:"))) * 1024
