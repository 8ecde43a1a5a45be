"""A private PostgreSQL server, for benchmarks and tests: on a unix socket only, and gone when it is stopped.

PostgreSQL refuses to run as root; then it runs as the user `postgres` or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from lustre_events.errors import IndexUnavailable

_USERS = ("postgres", "nobody")
_ROLE = "lustre_events"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOG_BYTES = 2_000
_STANDARD_FOLDERS = "usr/lib/postgresql/*/bin/initdb"
"""Where Debian has the programs, which it does not put on PATH."""


def find_programs() -> Path:
    """Return the folder of `initdb` and `postgres`: from PATH, else the newest of Debian's.

    Raises:
        IndexUnavailable: there is none.
    """
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = sorted(Path("/").glob(_STANDARD_FOLDERS), key=lambda path: int(path.parts[-3]))
    if not found:
        raise IndexUnavailable("PostgreSQL's initdb is not on PATH; run: apt-get install postgresql")
    return found[-1].parent


class PostgreSQLServer:
    """One server with an empty cluster in a folder of its own under the folder for temporary files.

    `options` are settings of the server, e.g. ("fsync=off",). A context manager; `start` after `stop` or
    `kill` goes on with the same data, `remove` removes it.
    """

    def __init__(self, *options: str, folder: Path | None = None, follow: PostgreSQLServer | None = None) -> None:
        """Make a cluster: an empty one, or a copy of another server's, which it follows as a streaming standby.

        `folder`: where its own folder is made, if not in the one for temporary files.
        """
        self._options = options
        self._programs = find_programs()
        self._user: pwd.struct_passwd | None = _ordinary_user() if os.geteuid() == 0 else None
        # Not below a folder that only this process's user may enter.
        self.directory = Path(tempfile.mkdtemp(prefix="lustre-events-pg-", dir=folder))
        if self._user is not None:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        if follow is not None:
            source = f"host={follow.directory} user={_ROLE}"
            self._call("pg_basebackup", "-D", str(self._data), "-R", "-X", "stream", "-c", "fast", "-d", source)
            return
        self._call("initdb", "-D", str(self._data), "-U", _ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    @property
    def pid(self) -> int | None:
        """The process of the server, whose children serve sessions; None: it does not run."""
        return None if self._process is None else self._process.pid

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://{_ROLE}@/{database}?host={quote(str(self.directory), safe='')}"

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises IndexUnavailable with its last words."""
        setpriv = shutil.which("setpriv")
        command = [
            *([setpriv, "--pdeathsig", "QUIT", "--"] if setpriv else []),
            *(str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self.directory), "-h", ""),
            *(part for option in self._options for part in ("-c", option)),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as_user()
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise IndexUnavailable(f"a private PostgreSQL does not start: {self._last_words()}")
            time.sleep(_POLL_SECONDS)
        return self

    def stop(self) -> None:
        """End the server cleanly, its data on the disk. Twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # man postgres: "fast shutdown", which ends all sessions
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._end(process)

    def kill(self) -> None:
        """End the server at once; what is not on its disk is lost."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def remove(self) -> None:
        """Stop and remove all data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGQUIT)  # man postgres: "immediate shutdown"; the next start recovers
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)

    def _is_ready(self) -> bool:
        asked = subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", str(self.directory)],
            check=False,
            timeout=_START_SECONDS,
        )
        return asked.returncode == 0

    def _call(self, program: str, *arguments: Sequence[str] | str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *map(str, arguments)], capture_output=True, text=True, check=False,
            timeout=_START_SECONDS, **self._as_user(),
        )  # fmt: skip
        if done.returncode:
            self.remove()
            raise IndexUnavailable(f"{program} failed: {done.stderr[-_LOG_BYTES:].strip()}")

    def _as_user(self) -> dict[str, Any]:
        """Return how a child is run; in a folder that it can enter and without this process's locale."""
        how: dict[str, Any] = {"cwd": self.directory, "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}}
        if self._user is not None:
            how |= {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return how

    def _last_words(self) -> str:
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        return " | ".join(log[-_LOG_BYTES:].splitlines()[-5:]) or "it said nothing"


def _ordinary_user() -> pwd.struct_passwd:
    known = {user.pw_name: user for user in pwd.getpwall()}
    for name in _USERS:
        if name in known:
            return known[name]
    raise IndexUnavailable("PostgreSQL does not run as root, and this machine has no user postgres or nobody")
