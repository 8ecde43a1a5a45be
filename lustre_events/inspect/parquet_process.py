"""A Parquet file that a process of its own writes, which makes columns while the next hits are looked up.

The two talk through pipes: hits go there as MessagePack, each portion behind its length, and length 0 is the end.
What is to be said of the columns comes back as JSON, or why the file could not be written.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import msgspec

from lustre_events import subprocesses
from lustre_events.errors import ConfigError
from lustre_events.index.search.portions import HitColumns, HitPortion
from lustre_events.inspect.export import PORTIONS_BETWEEN

COMMAND = (sys.executable, "-P", "-m", "lustre_events.inspect.parquet_process")
_SPARING = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Arrow's own pool, and malloc with an arena for each thread, keep tens of MB that nobody uses any more."""
SECONDS = 600.0
"""How long the process may take for what it is given."""
_PIPE_BYTES = 1 << 20
_LENGTH = struct.Struct(">Q")


def write(
    portions: Iterable[HitPortion],
    file: BinaryIO,
    wanted: Sequence[str] = (),
    folder: Path | None = None,
    command: Sequence[str] = COMMAND,
) -> list[str]:
    """Do what `parquet.write` does, by a process with a command.

    Raises:
        ConfigError: the process took too long, or ended without a word.
        OSError: a file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="lustre-events-", dir=folder) as beside:
        whole = Path(beside) / "whole"
        argv = (*command, str(whole), json.dumps([*wanted]))
        environment = {**os.environ, **_SPARING}
        pipe = subprocess.PIPE
        with subprocesses.start(argv, environment=environment, stdin=pipe, stdout=pipe) as process:
            try:
                notes = _answer(process, portions)
            finally:
                subprocesses.kill(process)
        with whole.open("rb") as part:
            shutil.copyfileobj(part, file, 1 << 20)
    return notes


def _answer(process: subprocesses.Child, portions: Iterable[HitPortion]) -> list[str]:
    """Give a process all hits, and return what it says of the columns."""
    with contextlib.suppress(BrokenPipeError):  # it says why itself
        pipe = _pipe_to(process)
        for portion in portions:
            _send(pipe, msgspec.msgpack.encode((tuple(portion.facts), portion.documents)))
        _send(pipe, b"")
    try:
        said = process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired as exc:
        raise _too_long() from exc
    answer: dict[str, Any] = json.loads(said) if said else {}
    if "errno" in answer:
        raise OSError(answer["errno"], answer["error"], answer["file"])
    if "notes" not in answer:
        raise ConfigError(f"the process that writes Parquet ended with exit code {process.returncode}; try again")
    return [str(note) for note in answer["notes"]]


def _pipe_to(process: subprocesses.Child) -> int:
    if process.stdin is None:
        raise ConfigError("the process that writes Parquet has no input")
    pipe = process.stdin.fileno()
    os.set_blocking(pipe, False)
    with contextlib.suppress(OSError):  # a site may allow less
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return pipe


def _send(pipe: int, message: bytes) -> None:
    """Write a message behind its length. Raises ConfigError where nobody takes it in time, BrokenPipeError."""
    for part in (_LENGTH.pack(len(message)), message):
        left = memoryview(part)
        while left:
            if not select.select((), (pipe,), (), SECONDS)[1]:
                raise _too_long()
            left = left[os.write(pipe, left) :]


def _too_long() -> ConfigError:
    return ConfigError(
        f"the process that writes Parquet took more than {SECONDS:g} s; look at the disk, and try again"
    )


def _received(pipe: IO[bytes]) -> Iterator[HitPortion]:
    """Yield what `_send` sends. Raises EOFError: the other process has ended."""
    number = 0
    while length := _LENGTH.unpack(_exactly(pipe, _LENGTH.size))[0]:
        facts, documents = msgspec.msgpack.decode(_exactly(pipe, length))
        yield HitPortion(HitColumns._make(facts), documents)
        number += 1
        if not number % PORTIONS_BETWEEN:
            gc.collect(1)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    read = pipe.read(length)
    if len(read) < length:
        raise EOFError
    return read


def main() -> None:
    """Write the hits of the standard input into the file that the command names."""
    from lustre_events.inspect import parquet  # noqa: PLC0415 - only this process loads pyarrow

    gc.freeze()
    gc.disable()
    path, wanted = sys.argv[1], json.loads(sys.argv[2])
    answer: dict[str, Any]
    try:
        with Path(path).open("wb") as file:
            answer = {"notes": parquet.write(_received(sys.stdin.buffer), file, wanted, Path(path).parent)}
    except OSError as exc:
        answer = {"errno": exc.errno, "error": exc.strerror, "file": exc.filename}
    except (EOFError, KeyboardInterrupt):  # who asked has ended
        sys.exit(1)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
