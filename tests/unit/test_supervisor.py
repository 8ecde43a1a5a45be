"""The supervisor keeps children running and leaves none behind."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from lustre_events.node.supervisor import Child, Supervisor
from tests.support.waiting import came_true, wait_for


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    """A process that dies comes back."""
    log = tmp_path / "starts"
    program = f"open({str(log)!r}, 'a').write('x')"
    supervisor = Supervisor([Child("dies", [sys.executable, "-P", "-c", program], {})])
    thread = threading.Thread(target=supervisor.run)
    thread.start()

    came_back = came_true(lambda: log.exists() and len(log.read_text()) >= 2)
    supervisor.stop()
    thread.join(20)

    assert came_back


def test_stop_ends_children_that_ignore_sigterm(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is gone all the same after the deadline."""
    pid_file = tmp_path / "pid"
    program = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    supervisor = Supervisor([Child("deaf", [sys.executable, "-P", "-c", program], {})], stop_seconds=0.5)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_for(lambda: pid_file.exists() and pid_file.read_text() != "")
    pid = int(pid_file.read_text())

    supervisor.stop()
    thread.join(20)

    assert not thread.is_alive()
    wait_for(lambda: not _alive(pid))


def test_children_get_their_environment(tmp_path: Path) -> None:
    """A child sees the supervisor's environment and its own additions."""
    out = tmp_path / "env"
    program = f"import os; open({str(out)!r}, 'w').write(os.environ['EXTRA'] + os.environ['PATH'])"
    supervisor = Supervisor([Child("env", [sys.executable, "-P", "-c", program], {"EXTRA": "yes:"})])
    thread = threading.Thread(target=supervisor.run)
    thread.start()

    written = came_true(lambda: out.exists() and out.read_text() != "")
    supervisor.stop()
    thread.join(20)

    assert written
    assert out.read_text() == "yes:" + os.environ["PATH"]


def test_children_that_are_discovered_later_run_too(tmp_path: Path) -> None:
    """What `discover` returns while the supervisor runs is started, once per name, beside what runs already."""
    wanted: list[Child] = []

    def child(name: str) -> Child:
        program = f"import time; open({str(tmp_path / name)!r}, 'a').write('x'); time.sleep(600)"
        return Child(name, [sys.executable, "-P", "-c", program], {})

    supervisor = Supervisor([child("first")], discover=lambda: wanted, discover_seconds=0.05)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    before = came_true((tmp_path / "first").exists)
    wanted += [child("first"), child("later")]
    after = came_true((tmp_path / "later").exists)
    time.sleep(0.5)  # long enough for a second start, if there were one
    supervisor.stop()
    thread.join(20)

    assert before
    assert after
    assert [(tmp_path / name).read_text() for name in ("first", "later")] == ["x", "x"]
