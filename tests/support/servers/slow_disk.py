"""A disk for Redis that is slow and says what it has: a library to preload, and how to read its log."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.need import need

SHIM = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>
/* A slow disk that writes down what it has: for each fdatasync of a growing file its size before the sync. */
int fdatasync(int fd) {
    struct stat before;
    char line[64];
    int log, bytes, result;
    if (fstat(fd, &before) != 0) return -1;
    usleep(atoi(getenv("SLOW_DISK_US")));
    result = fsync(fd);
    bytes = snprintf(line, sizeof line, "%lu %lld\\n", (unsigned long)before.st_ino, (long long)before.st_size);
    log = open(getenv("SLOW_DISK_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (log < 0 || write(log, line, bytes) != bytes) abort();
    close(log);
    return result;
}
"""


@pytest.fixture(scope="session")
def slow_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes fdatasync slow and keeps a log of it."""
    folder = tmp_path_factory.mktemp("slow_disk")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(
        [need("gcc"), "-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c"], cwd=folder, check=True, timeout=60
    )
    return folder / "shim.so"


def synced_bytes(log: Path, file: Path) -> int:
    """Return the size of `file` that the last completed fsync covered."""
    inode = str(file.stat().st_ino)
    rows = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return max((int(size) for number, size in rows if number == inode), default=0)
