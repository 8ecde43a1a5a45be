"""The loop of a batch extractor, for programs in the shared images: `extractor_batch.run(extract)`.

Reads one JSON line per file from stdin, calls `extract(path)`, and writes its document, or what went wrong, as one
JSON line to stdout; then the end marker. An exception in one file is that file's error and harms no other.

With `isolated=True` a child does the work: where a library written in C crashes or hangs on a broken file, only
that file fails, and a new child goes on with the next. That costs one fork per batch.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

Asked = dict[str, str]
Extract = Callable[[str], dict[str, Any]]


class OutOfTime(Exception):
    """What a file may take is over: its document is what was found so far."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after `seconds`, and again each second if a library swallows it."""

    def stop(*_: object) -> None:
        raise OutOfTime

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(extract: Extract, *, isolated: bool = False, seconds_per_file: float = 30) -> None:
    """Answer every line of stdin. `extract` gets a path and returns a dict, or raises what the file's error is.

    `seconds_per_file` holds with `isolated` only.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library that prints would spoil an answer
    count = 0
    if isolated:
        asked = [json.loads(line) for line in sys.stdin]
        while count < len(asked):
            count += _in_child(asked[count:], extract, out, seconds_per_file)
    else:
        for line in sys.stdin:
            _write(out, _answer(json.loads(line), extract)[0])
            count += 1
    _write(out, json.dumps({"end": count}))
    out.close()


def _write(out: TextIO, line: str) -> None:
    out.write(line + "\n")
    out.flush()


def _answer(asked: Asked, extract: Extract) -> tuple[str, bool]:
    """Return a file's line, and whether the process is fit for the next file."""
    fit = True
    try:
        return json.dumps({"id": asked["id"], "document": extract(asked["path"])}, allow_nan=False), fit
    except MemoryError:
        error, fit = "it needs more memory than the extractor may use", False
    except Exception as exc:  # noqa: BLE001 - whatever a library makes of a broken file is that file's error
        words = f"{exc}".replace(asked["path"], "the file")
        error = f"{type(exc).__name__}: {words}"
    return json.dumps({"id": asked["id"], "error": error[:500]}), fit


def _in_child(asked: list[Asked], extract: Extract, out: TextIO, seconds: float) -> int:
    """Answer files, in their order, until a child ends; return how many have an answer, at least one."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _serve(asked, extract, writing)
    os.close(writing)
    count, late, rest = 0, False, b""
    while count < len(asked):
        data = _read(reading, seconds)
        late = data is None
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _write(out, line.decode())
        count += len(lines)
    os.close(reading)
    if late:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if count < len(asked) and (late or status or not count):
        why = f"it took longer than {seconds:g} s" if late else f"the program crashed on it ({_ended(status)})"
        _write(out, json.dumps({"id": asked[count]["id"], "error": why}))
        count += 1
    return count


def _serve(asked: list[Asked], extract: Extract, writing: int) -> None:
    """Be the child: answer file by file, and never return."""
    code = 1
    try:
        with os.fdopen(writing, "w", encoding="utf-8") as out:
            for one in asked:
                line, fit = _answer(one, extract)
                _write(out, line)
                if not fit:
                    break  # a fresh process has its memory back
        code = 0
    finally:
        os._exit(code)


def _read(reading: int, seconds: float) -> bytes | None:
    """Return what the child wrote; b"" at its end, None where it wrote nothing for so long."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            return os.read(reading, 1 << 16)
    return None


def _ended(status: int) -> str:
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"
