"""What a worker does as the owner of a file: in a fork that has become this owner, if the worker is root."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from workers.privileges import Account


class ActingFailed(OSError):
    """The fork ended without an answer."""


def as_owner(account: Account | None, work: Callable[[], Any], refusal: type[Exception]) -> Any:
    """Return what `work` returns (JSON); None as account: this process is the owner.

    Raises:
        refusal: as `work` has raised it.
        OSError: as `work` has raised it, or the fork was killed.
    """
    if account is None:
        return work()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _be(account, work, refusal, write_end)
    os.close(write_end)
    with open(read_end, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read()
    os.waitpid(child, 0)
    try:
        answer = json.loads(said)
    except ValueError as exc:
        raise ActingFailed("what was done as the owner of the file ended without an answer") from exc
    if "refused" in answer:
        raise refusal(answer["refused"])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["error"])
    return answer["found"]


def _be(account: Account, work: Callable[[], Any], refusal: type[Exception], write_end: int) -> NoReturn:
    """Be the fork: it leaves by _exit, whatever happens."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setgroups(account.groups)
        os.setgid(account.gid)
        os.setuid(account.uid)
        answer: dict[str, Any]
        try:
            answer = {"found": work()}
        except refusal as exc:
            answer = {"refused": str(exc)}
        except OSError as exc:
            answer = {"errno": exc.errno or 0, "error": exc.strerror or str(exc)}
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(write_end, data) :]
    finally:
        os._exit(0)
