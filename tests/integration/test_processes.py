"""What a container holds, told by /proc: of real processes in namespaces of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.need import missing, need
from tests.support.waiting import wait_for
from workers.session_processes import container_init, container_memory, held_by

SIZE = 64 << 20
NAMESPACES = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child")
OWN_SHM = f"mount -t tmpfs shm /dev/shm && head -c {SIZE} /dev/zero > /dev/shm/mine && echo && exec sleep 60"

MAPS = f"""
import mmap, time
file = open("/dev/shm/mine", "r+b")
held = [mmap.mmap(file.fileno(), {SIZE}), mmap.mmap(-1, {SIZE})]
for place in range(0, {SIZE}, 4096):
    held[0][place] = held[1][place] = 1
print(flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def container(script: str) -> Iterator[int]:
    """Run a script as PID 1 of new namespaces, as a container's runtime does; give that runtime's pid."""
    argv = [need("unshare"), *NAMESPACES, "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"\n":
                missing("this kernel lets nobody make namespaces")
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A large file of somebody else in this node's /dev/shm."""
    if shutil.disk_usage("/dev/shm").free < 2 * SIZE:
        missing("there is no room in /dev/shm")
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="lustre-events-test-") as file:
        file.truncate(SIZE)
        os.posix_fallocate(file.fileno(), 0, SIZE)
        yield Path(file.name)


def test_what_others_have_in_dev_shm_is_not_the_container_s(shared: Path) -> None:
    """Until a container has its own /dev/shm it sees the node's, where other people's jobs keep what they like."""
    with container("echo && exec sleep 60") as pid:
        assert container_init(pid)
        assert container_memory(pid) < SIZE
    assert shared.exists()


def test_what_a_container_has_in_its_own_dev_shm_counts() -> None:
    """No limit of a process bounds it, so it is memory that the container holds."""
    with container(OWN_SHM) as pid:
        assert SIZE <= container_memory(pid) < 2 * SIZE


def test_what_is_mapped_counts_once() -> None:
    """Shared memory that no file has counts; a file in /dev/shm that a program has mapped does not count twice."""
    with container(f"{OWN_SHM.removesuffix('echo && exec sleep 60')}exec {sys.executable} -P -c '{MAPS}'") as pid:
        assert 2 * SIZE <= container_memory(pid) < 2.8 * SIZE


def test_without_a_container_nothing_is_held() -> None:
    """A runtime that has not begun its container yet has no PID 1."""
    with subprocess.Popen(["sleep", "60"]) as process:
        wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        assert container_memory(process.pid) == 0
        process.kill()


def test_a_container_that_ends_during_a_look_holds_nothing() -> None:
    """What ended after it was found is neither counted nor a fault of the look, which would cost a whole job."""
    with subprocess.Popen([sys.executable, "-P", "-c", ""]) as process:
        process.wait()

    assert held_by(process.pid) == 0
