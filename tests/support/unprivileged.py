"""Runs commands as an account without rights, each in a child of one process that has loaded them all.

`python -P -m tests.support.unprivileged` reads a JSON list of runs from stdin and prints their results. Starting
Python anew for each would take minutes, and the account may not be able to read this Python at all.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module

from tests.support.service.command import REPOSITORY, clean_environment

NOBODY = 65534
LATE = (
    "workers.__main__", "workers.by_hand", "workers.queue_service", "lustre_events.web.app",
    "lustre_events.web.wiring", "waitress", "importlib.readers",
    "encodings.idna", "stringprep",
)  # fmt: skip
"""What commands import late, when the account can no longer read it."""
SECONDS = 30


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the words behind the program's name, its environment, where its output goes, its largest file."""

    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: str = ""
    most_bytes: int | None = None
    program: str = "lustre_events.cli.main"


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of it: the exit code (a signal's number is negative), and what it said."""

    code: int
    stdout: str
    stderr: str


def run_all(runs: Sequence[Run]) -> list[Ran]:
    """Run one after the other, in a process of their own, and return what became of each."""
    program = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from {__name__} import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], input=json.dumps([asdict(each) for each in runs]),
        capture_output=True, text=True, check=False, timeout=SECONDS * len(runs), env=clean_environment(), cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Ran(**each) for each in json.loads(done.stdout)]


def main() -> None:
    """Do what stdin says."""
    from lustre_events.cli.main import COMMANDS

    for name in COMMANDS:
        import_module(f"lustre_events.cli.{name.replace('-', '_')}")
    for name in LATE:
        import_module(name)
    for name in ("ascii", "idna", "latin-1"):
        codecs.lookup(name)
    results = [asdict(_run(Run(**each))) for each in json.load(sys.stdin)]
    json.dump(results, sys.stdout)


def _run(run: Run) -> Ran:
    out, err = os.pipe(), os.pipe()  # not files: they may be forbidden to grow
    child = os.fork()
    if not child:
        _become(run, out[1], err[1])
        os._exit(_result_of(run))
    _, status = os.waitpid(child, 0)
    return Ran(os.waitstatus_to_exitcode(status), _text(out), _text(err))


def _text(pipe: tuple[int, int]) -> str:
    os.close(pipe[1])
    os.set_blocking(pipe[0], False)
    text = b""
    with contextlib.suppress(BlockingIOError):  # a child of it still has the pipe
        while more := os.read(pipe[0], 1 << 20):
            text += more
    os.close(pipe[0])
    return text.decode("utf-8", "replace")


def _become(run: Run, out: int, err: int) -> None:
    os.setsid()
    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if run.stdout:
        out = os.open(run.stdout, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ.clear()
    os.environ.update({"PATH": os.defpath, **run.environment})
    if run.most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (run.most_bytes, run.most_bytes))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _result_of(run: Run) -> int:
    """Run it, and end as Python does: what is uncaught shows a traceback, what is buffered is written."""
    program = import_module(run.program)
    sys.argv = ["lustre-events", *run.words]
    code: object = 0
    try:
        program.main()
    except SystemExit as exc:
        code = exc.code
    except BaseException:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())
        code = 1
    for each in (sys.stdout, sys.stderr):
        try:
            each.flush()
        except ValueError:
            pass  # closed
        except OSError:
            sys.excepthook(*sys.exc_info())
            code = 120
    return code if isinstance(code, int) else int(code is not None)
