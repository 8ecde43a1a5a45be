"""What a run of an extractor must not leave: looked for below this process and in its own folder, nowhere else."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

TRACES = (b"squashfuse", b"Apptainer runtime", b"appinit", b"starter")
_PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Be the parent of all orphans below this process, so that a helper which lost its own is found."""
    _prctl(1)
    try:
        yield
    finally:
        _prctl(0)


def left_behind(staging: Path) -> list[str]:
    """Return staging folders in `staging`, and the runtime's processes below this one."""
    staged = [
        path.name
        for path in staging.glob("lustre-events-*")
        if re.fullmatch(r"lustre-events-[0-9a-f]{32}", path.name)
    ]
    running = []
    for pid in _below(os.getpid()):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if any(trace in line for trace in TRACES):
                running.append(f"{pid} {line!r}")
    return staged + running


def _below(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _below(child)


def _prctl(adopt: int) -> None:
    assert ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, adopt, 0, 0, 0) == 0
