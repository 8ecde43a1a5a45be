"""One run that copies many files: all below a directory, or what a container has made.

They go in portions, each with one call of the program, which gets descriptors. What is at the endpoint already is
left alone, so an attempt goes on where the one before it ended. A portion of which the program says that some file
is wrong is halved, until it is known which; what did not arrive is told by name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

from lustre_events.actions.run_transitions import AGAIN, GONE, OK, REFUSED, Attempt
from lustre_events.actions.slurm_commands import Caller
from lustre_events.actions.transfer_commands import Copied, Copy
from lustre_events.domain.rules import transfers
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from workers.contract import readable
from workers.copy_views import view_of
from workers.privileges import Account
from workers.rights import OwnerRefused

PORTION = 500
"""Files of one call: each has a descriptor."""
PORTION_BYTES = 32 << 30
"""Of one call; a larger file goes alone. What a call copies counts when it has ended, within the attempt's time."""
MOST_HALVED = 60
"""Portions that one attempt halves."""
MOST_TOLD = 3
QUOTE = "\u201b".encode()
"""What rclone writes instead of bytes that it cannot; a name with it comes to nothing."""
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.EXDEV}


class Unfit(Exception):
    """Why a file cannot be copied as things are; `later`: it may be another time."""

    def __init__(self, why: str, *, later: bool = False) -> None:
        super().__init__(why)
        self.later = later


@dataclass(frozen=True, slots=True)
class CopyItem:
    """A file to be copied: the path that it gets, what opens it (O_PATH), and its size as far as it is known.

    `opened` raises Unfit, or OSError, which also says that it is not there any more.
    """

    name: bytes
    opened: Callable[[], int]
    size: int = 0


@dataclass(slots=True)
class _Tally:
    """How it went: what has arrived, what has not and why, what is gone, and what ended it."""

    arrived: int = 0
    gone: list[bytes] = field(default_factory=list)
    finally_not: list[tuple[bytes, str]] = field(default_factory=list)
    not_yet: list[tuple[bytes, str]] = field(default_factory=list)
    stop: Copied | None = None

    def fails(self, name: bytes, why: str, *, later: bool, more: int = 0) -> None:
        """Take note of what did not arrive: a file, and `more` that were copied with it."""
        found = self.not_yet if later else self.finally_not
        found += [(name, why)] * (1 + more)


@dataclass(frozen=True, slots=True)
class _Open:
    name: bytes
    fd: int
    state: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ManyCopies:
    """Copies many files to one endpoint, as one user."""

    endpoint: Endpoint
    copy: Copy
    clock: Callable[[], int] = time.time_ns
    portion: int = PORTION

    def attempt(
        self, files: Sequence[CopyItem], account: Account | None, ends_ns: int, *,
        closed: Sequence[tuple[bytes, str]] = (), others: Mapping[str, int] | None = None,
    ) -> Attempt:  # fmt: skip
        """Copy files until `ends_ns`, and return how that ended.

        `closed` are further ones that cannot be read, with the reason; `others` counts what is no file.
        """
        tally = _Tally(finally_not=list(closed))
        user = None if account is None else Caller(account.uid, account.gid, account.groups)
        waiting = list(portions(files, self.portion))[::-1]
        halved = 0
        while waiting and tally.stop is None:
            part = waiting.pop()
            failed = self._portion(part, account, user, ends_ns, tally)
            if failed is None:
                continue
            if len(part) > 1 and halved < MOST_HALVED:
                halved += 1
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
            else:
                later = failed.outcome != REFUSED
                tally.fails(part[0].name, failed.error, later=later, more=len(part) - 1)
        return _ended(tally, len(files) + len(closed), others or {})

    def _portion(
        self, part: Sequence[CopyItem], account: Account | None, user: Caller | None, ends_ns: int, tally: _Tally
    ) -> Copied | None:
        """Copy one portion; return how it failed where that is about one of its files."""
        left = (ends_ns - self.clock()) / SECOND_NS
        if left <= 0:
            tally.stop = Copied(AGAIN, f"the time of {self.endpoint.name!r} for one attempt has run out")
            return None
        trial = _Tally()
        with contextlib.ExitStack() as stack:
            files = list(self._open(part, stack, trial))
            copied = self._copied(files, account, user, left) if files else Copied(OK)
            if copied.outcome != OK and copied.of_file:
                return copied
            tally.gone += trial.gone
            tally.finally_not += trial.finally_not
            tally.not_yet += trial.not_yet
            if copied.outcome != OK:
                tally.stop = copied
                return None
            for each in files:
                if _state(each.fd) == each.state:
                    tally.arrived += 1
                else:
                    tally.fails(each.name, "it changed while it was copied", later=True)
        return None

    def _open(self, part: Sequence[CopyItem], stack: contextlib.ExitStack, tally: _Tally) -> Iterator[_Open]:
        """Yield the files of a portion that can be copied, open until the stack ends."""
        for each in part:
            if transfers.scheme_of(self.endpoint.url) == "rclone" and QUOTE in each.name:
                tally.fails(each.name, "its name has a U+201B, which rclone takes for its own sign", later=False)
                continue
            try:
                fd = each.opened()
            except Unfit as exc:
                tally.fails(each.name, str(exc), later=exc.later)
            except OSError as exc:
                if exc.errno in NOT_THERE:
                    tally.gone.append(each.name)
                else:
                    long = exc.errno == errno.ENAMETOOLONG
                    tally.fails(each.name, exc.strerror or str(exc), later=not long)
            else:
                stack.callback(os.close, fd)
                yield _Open(each.name, fd, _state(fd))

    def _copied(self, files: Sequence[_Open], account: Account | None, user: Caller | None, left: float) -> Copied:
        try:
            with view_of([(each.name, each.fd) for each in files], account) as view:
                return self.copy(self.endpoint, view, user, left)
        except OwnerRefused as exc:
            return Copied(REFUSED, str(exc))
        except OSError as exc:
            outcome = REFUSED if exc.errno == errno.ENAMETOOLONG else AGAIN
            return Copied(outcome, f"no list of files can be made: {exc.strerror or exc}", of_file=True)


def portions(files: Sequence[CopyItem], most: int, most_bytes: int = PORTION_BYTES) -> Iterator[list[CopyItem]]:
    """Yield files as they are copied together: up to `most`, and to `most_bytes` bytes but for one file alone."""
    part: list[CopyItem] = []
    size = 0
    for each in files:
        if part and (len(part) >= most or size + each.size > most_bytes):
            yield part
            part, size = [], 0
        part.append(each)
        size += each.size
    if part:
        yield part


def shown(name: bytes) -> str:
    """Return a name as text; one that cannot be printed is percent-encoded."""
    text = name.decode(errors="replace")
    return text if text.isprintable() and text.encode() == name else quote_from_bytes(name)


def _state(fd: int) -> tuple[int, int]:
    facts = os.fstat(fd)
    return facts.st_size, facts.st_mtime_ns


def _ended(tally: _Tally, total: int, others: Mapping[str, int]) -> Attempt:
    """Return how an attempt ended, with a sentence that tells what did not arrive."""
    there = f"{tally.arrived} of {total} files are there"
    failures = [*tally.not_yet, *tally.finally_not]
    if tally.stop is not None:
        return Attempt(tally.stop.outcome, error=readable(f"{there}; {tally.stop.error}"), arrived=tally.arrived)
    if failures:
        outcome = AGAIN if tally.not_yet else REFUSED
        told = "; ".join(f"{shown(name)}: {why}" for name, why in failures[:MOST_TOLD])
        more = f"; and {len(failures) - MOST_TOLD} more" if len(failures) > MOST_TOLD else ""
        return Attempt(outcome, error=readable(f"{there}; not {told}{more}"), arrived=tally.arrived)
    left_out = [f"{count} {kind}" for kind, count in sorted(others.items())]
    said = f"{there}; {', '.join(left_out)} are not copied" if left_out else ""
    if tally.gone:
        said = f"{there}; {len(tally.gone)} are not there any more, as {shown(tally.gone[0])}"
        return Attempt(GONE, error=readable(said))
    return Attempt(OK, error=readable(said))
