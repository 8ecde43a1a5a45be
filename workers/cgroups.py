"""A cgroup for each run, where the worker's unit may make some: cgroup v2, root, and `Delegate=` in the unit.

    UNIT          holds no process itself: a cgroup that does hands no controller on
    UNIT/worker   the worker, and the processes of its jobs
    UNIT/NAME     one run: the kernel bounds its memory, of all kinds, and its processes

All files of a cgroup are root's, so what runs as somebody else cannot leave its cgroup or change a limit. Where
there is none, `child_process.py` counts the memory of a run itself, every now and then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.session_processes import END_SECONDS, LOOK_SECONDS

log = logging.getLogger(__name__)

MOUNT = Path("/sys/fs/cgroup")
WORKER = "worker"
CONTROLLERS = ("memory", "pids")
SPARE_BYTES = 128 << 20
"""What the runtime takes beside the program: about 50 MB, and the kernel for it."""
SPARE_PROCESSES = 512
"""Threads of the runtime, of which it makes more on nodes with more cores."""


@dataclass(frozen=True, slots=True)
class RunGroup:
    """The cgroup of one run."""

    path: Path

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Put this process into it meanwhile: what it starts there is born there."""
        _move(self.path)
        try:
            yield
        finally:
            _move(self.path.parent / WORKER)

    def ran_out(self) -> bool:
        """Whether the kernel has killed something in it for want of memory."""
        events = (self.path / "memory.events").read_text("ascii").split()
        return int(dict(zip(events[::2], events[1::2], strict=True))["oom_kill"]) > 0


def settle(mount: Path = MOUNT) -> bool:
    """Make room for the cgroups of runs beside this process; return whether there is some, and log it."""
    reason = "it is not root's"
    if os.geteuid() == 0:
        try:
            reason = _settled(mount)
        except OSError as exc:
            reason = str(exc)
    if reason:
        log.info(
            "runs have no cgroups of their own (%s): their memory is counted", reason, extra={"action": "start"}
        )
    else:
        log.info("each run has a cgroup of its own", extra={"action": "start"})
    return not reason


def _settled(mount: Path) -> str:
    """Settle; return why this is not possible. Raises OSError for other reasons."""
    if _beside(mount) is not None:
        return ""
    unit = _own(mount)
    if unit is None:
        return "there is no cgroup v2"
    missing = {*CONTROLLERS} - {*(unit / "cgroup.controllers").read_text("ascii").split()}
    if missing:
        return f"cgroup v2 has no {' and '.join(sorted(missing))} here"
    try:
        delegated = os.getxattr(unit, "trusted.delegate") == b"1"
    except OSError:
        delegated = False
    if not delegated:
        return "the unit has no Delegate=memory pids"
    (unit / WORKER).mkdir(exist_ok=True)
    _move(unit / WORKER)
    write(unit / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))
    return ""


@contextlib.contextmanager
def of_run(name: str, memory_bytes: int, processes: int, mount: Path = MOUNT) -> Iterator[RunGroup | None]:
    """Make the cgroup of a run; nothing of it is left behind. None: this worker makes none, or cannot."""
    beside = _beside(mount)
    if beside is None:
        yield None
        return
    path = beside / name
    try:
        path.mkdir()
        for file, value in (
            ("memory.max", memory_bytes + SPARE_BYTES),
            ("memory.oom.group", 1),
            ("pids.max", processes + SPARE_PROCESSES),
        ):
            write(path / file, str(value))
        with contextlib.suppress(FileNotFoundError):  # a kernel without swap
            write(path / "memory.swap.max", "0")
        made = RunGroup(path)
    except OSError as exc:
        log.warning("a run gets no cgroup (%s): its memory is counted", exc, extra={"action": "prepare"})
        made = None
    try:
        yield made
    finally:
        end(name, mount)


def end(name: str, mount: Path = MOUNT) -> None:
    """Kill what is left of a run, and remove its cgroup. Raises OSError: it does not end."""
    beside = _beside(mount)
    if beside is None:
        return
    begun = time.monotonic()
    with contextlib.suppress(FileNotFoundError):  # it is gone, or a kernel before 5.14
        write(beside / name / "cgroup.kill", "1")
    while (beside / name).exists():
        try:
            (beside / name).rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() - begun > END_SECONDS:
                raise
            time.sleep(LOOK_SECONDS)


def write(path: Path, value: str) -> None:
    """Write into a file of a cgroup. Raises FileNotFoundError: this kernel has no such file.

    To make files is denied here, so who opens one to make it is told EACCES, not that it is missing.
    """
    opened = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(opened, value.encode("ascii"))
    finally:
        os.close(opened)


def _own(mount: Path) -> Path | None:
    """Return the cgroup of this process where the one tree of version 2 is mounted."""
    lines = Path("/proc/self/cgroup").read_text("utf-8", "surrogateescape").splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    return None if own is None or not (mount / own / "cgroup.controllers").exists() else mount / own


def _beside(mount: Path) -> Path | None:
    """Return where cgroups of runs are made; None: this process is not where `settle` puts a worker."""
    own = _own(mount)
    if os.geteuid() != 0 or own is None or own.name != WORKER:
        return None
    handed_on = (own.parent / "cgroup.subtree_control").read_text("ascii").split()
    return own.parent if {*CONTROLLERS} <= {*handed_on} else None


def _move(path: Path) -> None:
    write(path / "cgroup.procs", "0")
