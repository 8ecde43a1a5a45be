"""Child processes: started, given a deadline, and ended together with everything that they have started.

A child leads a session of its own: what it starts is ended with it, and a Ctrl-C is for its parent, which ends it.
Only a child that needs the terminal (ssh asks for passwords there) stays in the session of its parent.

What extractors run is held by more than this: `workers/child_process.py` bounds its output and memory, and ends
containers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Argv = Sequence[str | Path]
Child = subprocess.Popen[bytes]
KILLED_SECONDS = 10.0
"""Longest wait for a child that was killed."""
_LOOK_SECONDS = 0.01


def start(
    argv: Argv,
    *,
    environment: Mapping[str, str] | None = None,
    own_session: bool = True,
    ends_with_parent: bool = False,
    **streams: Any,
) -> Child:
    """Start a program and return it; stdin is empty unless `streams` (those of Popen) say otherwise.

    Args:
        argv: the program and its arguments.
        environment: all of its environment; None: this process's.
        own_session: whether it leads a session of its own.
        ends_with_parent: the kernel sends it SIGTERM when the thread that started it ends, where setpriv
            (util-linux) is installed.
        streams: stdin, stdout, stderr, and what else Popen takes.

    Raises:
        OSError: it cannot be started.
    """
    setpriv = shutil.which("setpriv") if ends_with_parent else None
    words = [setpriv, "--pdeathsig", "TERM", "--", *argv] if setpriv else list(argv)
    return subprocess.Popen(
        words, env=environment, start_new_session=own_session, **{"stdin": subprocess.DEVNULL, **streams}
    )


def run(argv: Argv, seconds: float, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return its exit code and what it said; `more` is for `start`.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it did not end in time; nothing of it is left.
    """
    child = start(argv, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})
    try:
        said, complained = child.communicate(timeout=seconds)
    except BaseException:
        kill(child)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        raise
    return subprocess.CompletedProcess(list(argv), child.returncode, said, complained)


def end(children: Child | Iterable[Child], seconds: float) -> None:
    """Ask children to end (SIGTERM); kill those that have not within `seconds`, and what any of them leaves."""
    ending = [children] if isinstance(children, subprocess.Popen) else list(children)
    for child in ending:
        if child.returncode is None:
            os.kill(child.pid, signal.SIGTERM)  # Popen.terminate would reap one that has ended
    finish(ending, seconds)


def finish(children: Child | Iterable[Child], seconds: float) -> None:
    """Let children end by themselves; kill those that have not within `seconds`, and what any of them leaves."""
    ends = time.monotonic() + seconds
    for child in [children] if isinstance(children, subprocess.Popen) else list(children):
        while not _has_ended(child) and time.monotonic() < ends:
            time.sleep(_LOOK_SECONDS)
        kill(child)


def kill(child: Child) -> None:
    """Kill a child at once, with everything in its session's first group. Twice is fine."""
    if child.returncode is not None:
        return  # its id may be another's by now
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(child.pid) == child.pid:
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.wait(KILLED_SECONDS)


def _has_ended(child: Child) -> bool:
    """Whether it has ended, without taking its id away: its group is found by that."""
    if child.returncode is not None:
        return True
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    return True
