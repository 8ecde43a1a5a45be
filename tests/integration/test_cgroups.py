"""The cgroup of a run, on a real cgroup v2: where this machine has one with memory; `make cgroups` boots one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lustre_events.sources.local_fid import fid_of_fd
from tests.support.service.hostile import FIRST_THEN, HELD, MAPPED, PRELUDE
from tests.support.service.images import REPOSITORY, write_extractor, write_file
from tests.support.waiting import wait_for
from workers import cgroups, child_process
from workers.child_process import NO_SESSION, Bounds, keeper
from workers.container import ContainerRuntime
from workers.files import Files
from workers.privileges import account_for

LIMIT = 64 << 20
BOUNDS = Bounds(60, 1_000, 100_000, LIMIT)
SHARED = """
import mmap
held = mmap.mmap(-1, 600 << 20)
for at in range(0, len(held), 4096):
    held[at] = 1
"""
FORKS = """
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    print(made, flush=True)
"""
AWAY = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.closerange(0, 3)
        time.sleep(60)
    os._exit(0)
os.wait()
"""


@pytest.fixture
def unit() -> Iterator[Path]:
    """A cgroup as systemd makes it for a unit with Delegate=."""
    controllers = cgroups.MOUNT / "cgroup.controllers"
    if os.geteuid() != 0 or not controllers.exists() or "memory" not in controllers.read_text().split():
        pytest.skip("there is no cgroup v2 with memory here; make cgroups boots a machine that has one")
    (cgroups.MOUNT / "cgroup.subtree_control").write_text("+memory +pids")
    path = cgroups.MOUNT / f"le-test-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    os.setxattr(path, "trusted.delegate", b"1")
    yield path
    (path / "cgroup.kill").write_text("1")
    for each in [*path.glob("*/"), path]:
        wait_for(partial(removed, each))


def removed(path: Path) -> bool:
    """Remove a cgroup; return whether that worked: killed processes need a moment."""
    with contextlib.suppress(OSError):
        path.rmdir()
    return not path.exists()


def as_worker(unit: Path, work: Callable[[], Any]) -> Any:
    """Return what `work` returns in a process in the unit."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = None
        with contextlib.suppress(BaseException):
            (unit / "cgroup.procs").write_text("0")
            said = work()
        os.write(write_end, json.dumps(said).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(said or b"null")


def own() -> str:
    """Return the cgroup of this process."""
    return Path("/proc/self/cgroup").read_text().strip().rpartition("0::")[2]


def run(program: str, processes: int = 10) -> list[Any]:
    """Settle, run a program in a cgroup, and return how it ended, what it said, and where this is then."""
    lines: list[str] = []
    assert cgroups.settle()
    with cgroups.of_run("run", LIMIT, processes) as group:
        assert group is not None
        ended = child_process.run(
            [sys.executable, "-P", "-c", program], environment={}, account=None, bounds=BOUNDS,
            on_line=lambda data, _: lines.append(data.decode()), stdin=lambda _: b"", tell=lambda _: None,
            group=group,
        )  # fmt: skip
    return [ended.killed, ended.exit_code, lines, own().rpartition("/")[2]]


def test_shared_memory_of_a_run_is_bounded_by_the_kernel(unit: Path) -> None:
    """A program that takes more than its limit in no time is killed, and the sentence says for what."""
    killed, code, _, here = as_worker(unit, lambda: run(SHARED))

    assert killed == f"killed because it held more than {LIMIT} bytes of memory"
    assert (code, here) == (-signal.SIGKILL, "worker")
    assert [each.name for each in unit.glob("*/")] == ["worker"]


def test_processes_of_a_run_are_bounded(unit: Path) -> None:
    """A program that forks without end is refused more, and what it started ends with it."""
    killed, code, lines, _ = as_worker(unit, lambda: run(FORKS))

    assert (killed, code) == ("", 0)
    assert 0 < int(lines[0]) < 10 + cgroups.SPARE_PROCESSES
    assert [each.name for each in unit.glob("*/")] == ["worker"]


def test_who_leaves_the_session_ends_all_the_same(unit: Path) -> None:
    """A process that has cut all ties to its run is killed with the run's cgroup."""
    _, code, lines, _ = as_worker(unit, lambda: run(AWAY))

    assert code == 0
    assert not Path(f"/proc/{int(lines[0])}").exists()


def test_a_missing_file_of_a_cgroup_is_missing(tmp_path: Path) -> None:
    """What an older kernel does not have is not made, which it denies with another error, but missing."""
    with pytest.raises(FileNotFoundError):
        cgroups.write(tmp_path / "cgroup.kill", "1")
    assert list(tmp_path.iterdir()) == []


def test_a_cgroup_goes_with_a_job_that_is_killed(unit: Path, tmp_path: Path) -> None:
    """After kill -9 of a job's process nothing runs in its run's cgroup, and the cgroup is gone."""

    def job() -> None:
        cgroups.settle()
        with keeper(tmp_path / "run") as tell, cgroups.of_run("run", LIMIT, 10) as group:
            assert group is not None
            with group.inside():
                sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
            tell(sleeper.pid)
            os.kill(os.getpid(), signal.SIGKILL)
            tell(NO_SESSION)

    as_worker(unit, job)

    wait_for(lambda: not (unit / "run").exists(), 30)
    assert (unit / "worker").exists()


def test_what_nobody_handed_on_is_left_alone(unit: Path) -> None:
    """In a cgroup that was not delegated nothing is changed, and runs get none."""
    os.removexattr(unit, "trusted.delegate")

    def work() -> list[Any]:
        settled = cgroups.settle()
        with cgroups.of_run("run", LIMIT, 10) as group:
            return [settled, group is None]

    assert as_worker(unit, work) == [False, True]
    assert [*unit.glob("*/")] == []


@pytest.mark.apptainer
def test_a_container_that_the_kernel_ends_has_held_too_much(
    unit: Path, base_image: Path, open_folder: Path
) -> None:
    """Where a container's cgroup runs out, its file fails for its memory, and what was answered before counts."""
    limits = "seconds = 600\nmemory_bytes = 200_000_000"
    made = write_extractor(open_folder / "extractors", "hoards", PRELUDE + FIRST_THEN + MAPPED, limits=limits)
    items = [write_file(open_folder / "files", b"%d.csv" % number, b"x") for number in range(2)]

    def work() -> list[Any]:
        assert cgroups.settle()
        files = Files(os.fsencode(open_folder / "files"), fid_of_fd)
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(one) for item in items if (one := files.open(item))]
            found = ContainerRuntime(base_image, account_for("nobody")).run(made, opened, 600)
        return [[each.status, each.document, each.error] for each in found]

    first, second = as_worker(unit, work)

    assert first == ["ok", {"good": 1}, ""]
    assert second == ["failed", {}, f"no answer: the extractor was {HELD}"]
    assert [each.name for each in unit.glob("*/")] == ["worker"]


WORKER = """
import os, subprocess, sys, time
from pathlib import Path
from lustre_events.node.systemd import Notifier
from workers import cgroups
from workers.child_process import keeper
assert cgroups.settle()
folder = Path(sys.argv[1]) / f"run-{os.getpid()}"
with keeper(folder) as tell, cgroups.of_run(folder.name, 64 << 20, 10) as group:
    folder.mkdir()
    with group.inside():
        run = subprocess.Popen(["sleep", "600"], start_new_session=True)
    tell(run.pid)
    Notifier().beat("a run is inside")
    time.sleep(600)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The shipped unit of a worker, with a run inside, where systemd is process 1."""
    if not Path("/run/systemd/system").exists() or not (cgroups.MOUNT / "cgroup.controllers").exists():
        pytest.skip("systemd is not process 1 here, with cgroup v2; make cgroups boots a machine where it is")
    (tmp_path / "worker.py").write_text(WORKER)
    shipped = (REPOSITORY / "deploy" / "systemd" / "lustre-events-worker@.service").read_text()
    _, _, section = shipped.partition("[Service]")
    lines = [line for line in section.partition("[Install]")[0].splitlines() if not line.startswith("ExecStart=")]
    command = f"ExecStart={sys.executable} -P {tmp_path}/worker.py {tmp_path}"
    name = "le-restarted.service"
    unit = Path("/run/systemd/system", name)
    unit.write_text("\n".join(["[Unit]", "DefaultDependencies=no", "[Service]", command, *lines, ""]))
    systemctl("daemon-reload")
    systemctl("start", name)
    yield name
    systemctl("stop", name)
    unit.unlink()
    systemctl("daemon-reload")


def systemctl(*words: str) -> str:
    """Tell systemd to do something; return what it says."""
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def inside(name: str) -> dict[str, list[int]]:
    """Return the processes in each cgroup of a unit, by its name; that of the unit has none."""
    group = cgroups.MOUNT / systemctl("show", "--value", "-p", "ControlGroup", name).lstrip("/")
    found = {each.name: (each / "cgroup.procs").read_text().split() for each in group.glob("*/")}
    assert (group / "cgroup.procs").read_text() == ""
    return {each: list(map(int, pids)) for each, pids in found.items()}


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_unit_that_is_restarted_while_a_run_is_inside_begins_anew(service: str, how: str) -> None:
    """Nothing of the old run is left, neither processes nor cgroups, and the new worker makes runs as before."""
    before = inside(service)
    main = int(systemctl("show", "--value", "-p", "MainPID", service))
    assert {*before} == {"worker", f"run-{main}"}

    if how == "restart":
        systemctl("restart", service)
    else:
        os.kill(main, signal.SIGKILL)
        wait_for(lambda: systemctl("show", "--value", "-p", "MainPID", service) not in {"0", str(main)}, 120)
        wait_for(lambda: systemctl("show", "--value", "-p", "ActiveState", service) == "active", 120)

    after = inside(service)
    again = int(systemctl("show", "--value", "-p", "MainPID", service))
    assert {*after} == {"worker", f"run-{again}"}
    assert again != main
    assert [pid for pids in before.values() for pid in pids if Path(f"/proc/{pid}").exists()] == []
