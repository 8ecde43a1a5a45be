"""Child processes are held to a deadline, and nothing that they start outlives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lustre_events import subprocesses

PARENT = """
import os, signal, sys, time
if os.fork() == 0:
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(60)
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read():
    time.sleep(0.01)
open(sys.argv[1] + ".ready", "w").close()
time.sleep(0 if "ends" in sys.argv else 60)
"""
"""A program that starts another one, which holds its stdout and stderr."""


def argv(told: Path, *words: str) -> list[str]:
    """Return the command; the grandchild's id comes to stand in `told`."""
    return [sys.executable, "-P", "-c", PARENT, str(told), *words]


def grandchild(told: Path) -> int:
    """Return the grandchild's id once both are there."""
    ends = time.monotonic() + 10
    while not Path(f"{told}.ready").exists():
        assert time.monotonic() < ends
        time.sleep(0.01)
    return int(told.read_text())


def is_gone(pid: int) -> bool:
    """Whether a process ends within a moment (a zombie has ended)."""
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.long
def test_a_run_that_takes_too_long_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """The deadline holds although a grandchild keeps the pipes open, and the grandchild ends too."""
    told = tmp_path / "pid"
    begun = time.monotonic()

    with pytest.raises(subprocess.TimeoutExpired):
        subprocesses.run(argv(told), 2.0)

    assert time.monotonic() - begun < 30
    assert is_gone(grandchild(told))


def test_a_run_says_how_it_ended(tmp_path: Path) -> None:
    """The exit code, stdout and stderr come back; stdin is empty; a program that is not there is an OSError."""
    program = "import sys; print('out' + sys.stdin.read()); print('err', file=sys.stderr); sys.exit(3)"

    done = subprocesses.run([sys.executable, "-P", "-c", program], 20.0)

    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    with pytest.raises(FileNotFoundError):
        subprocesses.run([tmp_path / "none"], 1.0)


@pytest.mark.parametrize(("words", "code"), [((), -signal.SIGTERM), (("deaf",), -signal.SIGKILL), (("ends",), 0)])
def test_the_end_of_a_child_is_the_end_of_what_it_started(
    tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    """Whether it obeys, is deaf or had ended already: nothing of its session is left."""
    told = tmp_path / "pid"
    child = subprocesses.start(argv(told, *words))
    other = grandchild(told)
    if "ends" in words:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    subprocesses.end(child, 0.2 if "deaf" in words else 10.0)

    assert child.returncode == code
    assert is_gone(other)
    subprocesses.kill(child)


def test_a_child_in_our_own_session_is_ended_alone() -> None:
    """The group of a child that leads none is ours: it is never killed as a whole."""
    child = subprocesses.start(["sleep", "60"], own_session=False)

    subprocesses.kill(child)

    assert child.returncode == -signal.SIGKILL


def test_a_child_may_end_by_itself() -> None:
    """`finish` lets it do what it has to do, and asks for nothing."""
    child = subprocesses.start([sys.executable, "-P", "-c", "import time; time.sleep(0.2)"])

    subprocesses.finish([child], 10.0)

    assert child.returncode == 0
