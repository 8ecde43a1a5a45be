"""A daemon of rsync for tests: one module to write into with a login, one that is read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.need import need
from tests.support.servers.receivers import free_port
from tests.support.waiting import wait_for

TRIES = 5
USER, PASSWORD = "mover", "hunter2-is-secret"
CONFIGURATION = """
port = {port}
address = 127.0.0.1
use chroot = no
log file = {folder}/log
[incoming]
path = {folder}/incoming
read only = no
uid = {uid}
gid = {gid}
auth users = {user}
secrets file = {folder}/secrets
[shown]
path = {folder}/incoming
"""


@dataclass(frozen=True)
class Daemon:
    """A daemon that runs: where its module lies, at which port, and the file with the login."""

    folder: Path
    port: int
    secret: Path

    def url(self, module: str = "incoming", path: str = "") -> str:
        """Return the URL of a module."""
        return f"rsync://127.0.0.1:{self.port}/{module}{path}"


@contextmanager
def rsync_daemon(folder: Path, uid: int, gid: int) -> Iterator[Daemon]:
    """Run a daemon whose module is written into as a user; give it when it takes connections."""
    program = need("rsync")
    (folder / "incoming").mkdir()
    os.chown(folder / "incoming", uid, gid)
    for name in ("secrets", "secret"):
        (folder / name).write_text(f"{USER}:{PASSWORD}\n")
        (folder / name).chmod(0o600)
    for _ in range(TRIES):
        port = free_port()
        text = CONFIGURATION.format(folder=folder, port=port, user=USER, uid=uid, gid=gid)
        (folder / "rsyncd.conf").write_text(text)
        argv = [program, "--daemon", "--no-detach", f"--config={folder / 'rsyncd.conf'}"]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
            try:
                wait_for(lambda: process.poll() is not None or answers(program, port))  # noqa: B023 - in this round
                if process.poll() is None:
                    yield Daemon(folder / "incoming", port, folder / "secret")
                    return
            finally:
                process.terminate()
    raise AssertionError((folder / "log").read_text())


def answers(program: str, port: int) -> bool:
    """Return whether a daemon answers at a port."""
    asked = [program, "--contimeout=1", f"rsync://127.0.0.1:{port}/"]
    return subprocess.run(asked, capture_output=True, check=False, timeout=20).returncode == 0
