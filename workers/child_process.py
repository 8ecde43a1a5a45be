"""One child process with everything that it starts, held by a deadline and by bounds on what it may say.

The child leads a session of its own, and so everything that it starts can be found and ended: processes
inside a container cannot outlive the container's PID 1, the runtime's helpers stay in the session.
A *keeper* (a fork that only waits) ends the session when this process dies first, so that kill -9 of a
worker leaves nothing running.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from workers import cgroups
from workers.cgroups import RunGroup
from workers.privileges import Account
from workers.session_processes import END_SECONDS, LOOK_SECONDS, container_memory, end_session

STDERR_BYTES = 4_000
"""How much of the end of stderr is kept."""
STDERR_TOTAL_BYTES = 64 << 20
"""How much may be said on stderr at all: reading it costs this process time."""
POLL_SECONDS = 0.2
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a child may take: wall time, the bytes of one line and of all of stdout, memory inside a container."""

    seconds: float
    line_bytes: int
    total_bytes: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. `killed` says in words why it was killed, and is empty where it ended by itself."""

    exit_code: int
    killed: str
    stderr: str


NO_SESSION = 0
Tell = Callable[[int], None]
"""Tells the keeper which session to end should this process die; NO_SESSION: none."""

OnLine = Callable[[bytes, bool], None]
"""Called with each line of stdout without its end, and whether it is whole: of a long one only the head is."""

Stdin = Callable[[int], bytes | None]
"""Asked every few milliseconds, with the child's session, until it returns the bytes for stdin; None: not yet."""


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    account: Account | None,
    bounds: Bounds,
    on_line: OnLine,
    stdin: Stdin,
    tell: Tell,
    pass_fds: Sequence[int] = (),
    group: RunGroup | None = None,
    before: Callable[[], None] | None = None,
) -> Ended:
    """Run `argv` to its end and return how it ended; nothing of it is left when this returns or raises.

    Args:
        argv: the program, found on the PATH of `environment`, and its arguments.
        environment: all that the child sees of it.
        account: whose rights it runs with; None: this process's own.
        bounds: what it may take.
        on_line: what to do with its output.
        stdin: what to tell it; stdin is closed behind that.
        tell: the `keeper`'s ear.
        pass_fds: descriptors that the child keeps under their numbers.
        group: the cgroup that it is put into, which bounds its memory; None: its container's is counted.
        before: called in the child right before the program, in place of becoming `account`, which it has to do.

    Raises:
        OSError: the program cannot be started.
        subprocess.SubprocessError: `before` has raised something; the program was not started.
    """
    become = account if before is None else None
    with group.inside() if group else contextlib.nullcontext():
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            user=become.uid if become else None,
            group=become.gid if become else None,
            extra_groups=become.groups if become else None,
            preexec_fn=before,  # noqa: PLW1509 - a process of a job has no other threads
        )
    try:
        tell(process.pid)
        return _Conversation(process, bounds, on_line, group).hold(stdin)
    finally:
        end_session(process.pid)
        tell(NO_SESSION)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait(END_SECONDS)


class _Conversation:
    """The three pipes of one child until it ends or is killed."""

    def __init__(
        self, process: subprocess.Popen[bytes], bounds: Bounds, on_line: OnLine, group: RunGroup | None
    ) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("the child was started without pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = (
            pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr)
        )
        self._bounds = bounds
        self._group = group
        self._on_line = on_line
        self._line = bytearray()
        self._whole = True
        self._total = 0
        self._stderr_total = 0
        self._weighed = time.monotonic()
        self._last_words = bytearray()
        self._to_write: memoryview | None = None

    def hold(self, stdin: Stdin) -> Ended:
        """Feed and read the child until it has ended and all is read, or until it passes a bound."""
        ends = time.monotonic() + self._bounds.seconds
        killed = self._talk(stdin, ends)
        if not killed:
            try:
                self._process.wait(max(0.0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                killed = self._passed(ends)
        if killed:
            end_session(self._process.pid)
        elif self._line:
            self._on_line(bytes(self._line), self._whole)
        if not killed and self._group is not None and self._group.ran_out():
            killed = self._too_much_memory()
        text = self._last_words.decode(errors="replace").strip()
        return Ended(self._process.wait(END_SECONDS), killed, text)

    def _talk(self, stdin: Stdin, ends: float) -> str:
        """Feed and read until the pipes are closed; return why it must be killed, if it must."""
        killed = ""
        with selectors.DefaultSelector() as selector:
            for pipe in (self._stdin, self._stdout, self._stderr):
                os.set_blocking(pipe, False)
            selector.register(self._stdout, selectors.EVENT_READ)
            selector.register(self._stderr, selectors.EVENT_READ)
            while selector.get_map() and not killed:
                if self._to_write is None and (data := stdin(self._process.pid)) is not None:
                    self._to_write = memoryview(data)
                    selector.register(self._stdin, selectors.EVENT_WRITE)
                for key, _ in selector.select(LOOK_SECONDS if self._to_write is None else POLL_SECONDS):
                    if not self._serve(key.fd):
                        selector.unregister(key.fd)
                if self._process.poll() is not None:
                    end_session(self._process.pid)  # what it left behind may still hold the pipes
                killed = self._passed(ends)
        return killed

    def _passed(self, ends: float) -> str:
        if self._total > self._bounds.total_bytes:
            return f"killed after {self._bounds.total_bytes} bytes of output"
        if self._stderr_total > STDERR_TOTAL_BYTES:
            return f"killed after {STDERR_TOTAL_BYTES} bytes on stderr"
        if self._group is None and time.monotonic() >= self._weighed + POLL_SECONDS:
            self._weighed = time.monotonic()
            if container_memory(self._process.pid) > self._bounds.memory_bytes:
                return self._too_much_memory()
        if time.monotonic() >= ends:
            return f"killed at its deadline of {self._bounds.seconds:g} s"
        return ""

    def _too_much_memory(self) -> str:
        return f"killed because it held more than {self._bounds.memory_bytes} bytes of memory"

    def _serve(self, pipe: int) -> bool:
        """Move what can be moved through one pipe; False: it is at its end."""
        try:
            if pipe == self._stdin:
                return self._write()
            chunk = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        if pipe == self._stderr:
            self._stderr_total += len(chunk)
            self._last_words += chunk
            del self._last_words[:-STDERR_BYTES]
        else:
            self._total += len(chunk)
            self._split(chunk)
        return bool(chunk)

    def _write(self) -> bool:
        if self._to_write:
            self._to_write = self._to_write[os.write(self._stdin, self._to_write[:_CHUNK]) :]
        if self._to_write:
            return True
        if self._process.stdin is not None:
            self._process.stdin.close()
        return False

    def _split(self, chunk: bytes) -> None:
        """Cut what was read into lines; of a line that is too long only the head is kept."""
        *lines, rest = chunk.split(b"\n")
        for piece in lines:
            self._grow(piece)
            self._on_line(bytes(self._line), self._whole)
            self._line.clear()
            self._whole = True
        self._grow(rest)

    def _grow(self, piece: bytes) -> None:
        room = self._bounds.line_bytes - len(self._line)
        self._line += piece[:room]
        self._whole = self._whole and len(piece) <= room


@contextlib.contextmanager
def keeper(folder: Path) -> Iterator[Tell]:
    """Fork a process that, if this one dies, ends the session it was told of last, and removes `folder`.

    A run's cgroup is called as its folder is, and goes too.

    `folder` need not be there yet: whoever makes it does so in here, so that no moment is left out.
    """
    read_end, write_end = os.pipe()
    keeper_pid = os.fork()
    if keeper_pid == 0:
        _keep(read_end, folder)
    os.close(read_end)
    try:
        yield lambda session: _tell(write_end, b"%d\n" % session)
    finally:
        _tell(write_end, _DONE)
        os.close(write_end)
        os.waitpid(keeper_pid, 0)


_DONE = b"done\n"


def _tell(write_end: int, words: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # somebody killed the keeper: there is nobody to tell
        os.write(write_end, words)


def _keep(read_end: int, folder: Path) -> NoReturn:
    """Be the keeper. This is a fork: it shares nothing that it could spoil, and leaves by _exit."""
    code = 1
    try:
        os.setsid()  # RQ kills the process group of a job's process
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        os.dup2(read_end, 0)
        os.closerange(1, min(1 << 16, os.sysconf("SC_OPEN_MAX")))
        said = b""
        while chunk := os.read(0, 64):
            said += chunk
        if not said.endswith(_DONE):
            session = int((said.split() or [b"0"])[-1])
            if session != NO_SESSION:
                end_session(session)
            cgroups.end(folder.name)
            shutil.rmtree(folder, ignore_errors=True)
        code = 0
    finally:
        os._exit(code)
