"""The built-in `scan`: what is in a directory, name by name, with the facts that `stat` would find.

A directory is listed in the order of its names' bytes, in portions that each say everything about the names from
one to another (dispatcher/scan.py). It is opened by its FID like every file of a job, no link is followed, and
what is mounted in it is left out. One that is too large for a job, or for memory, is gone on with by another job.
"""

from __future__ import annotations

import heapq
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_from_bytes

from lustre_events.changelog.fid import NO_FID
from lustre_events.jobs.messages import JobItem
from lustre_events.llapi.statx import statx
from workers.contract import readable
from workers.file_tags import tags_of_fd
from workers.files import Files, OpenFile
from workers.mime import mime_of_fd

PORTION_NAMES = 1_000
MOST_NAMES = 1_000_000
"""Names of one directory that are held in memory; the directory is read anew for those behind them."""

Document = dict[str, Any]
_Entry = tuple[str, str | None, dict[str, Any] | None]


def listing(
    item: JobItem, files: Files, until: float, *, mime: bool, tags: bool = False
) -> Iterator[Document | None]:
    """Yield the portions of the item's directory behind `item.after`, as documents; None: it is gone.

    Args:
        item: the directory.
        files: opens it.
        until: when to stop and leave the rest to another job, in seconds of the monotonic clock.
        mime: look at the first bytes of each file, too.
        tags: tell extended attributes, too.
    """
    try:
        opened = files.open(item)
        if opened is None:
            yield None
            return
        with opened:
            names, more = _names(opened.fd, item.after)
            mount = statx(dir_fd=opened.fd).mnt_id

            def look(name: bytes) -> _Entry | None:
                return _entry(opened.fd, mount, name, files, mime=mime, tags=tags)

            yield from _portions(look, item.after, names, until, more=more)
    except (FileNotFoundError, NotADirectoryError):
        yield None
    except OSError as exc:
        yield {"error": readable(exc.strerror or exc)}


def _portions(
    look: Callable[[bytes], _Entry | None], after: bytes, names: list[bytes], until: float, *, more: bool
) -> Iterator[Document]:
    left = iter(names)
    portion = list(itertools.islice(left, PORTION_NAMES))
    while True:
        following = list(itertools.islice(left, PORTION_NAMES))
        document: Document = {
            "entries": [entry for name in portion if (entry := look(name))],
            "after": _quoted(after),
        }
        late = time.monotonic() > until
        if following or more:
            document |= {"last": _quoted(portion[-1]), "more": late or not following}
        yield document
        if late or not following:
            return
        after, portion = portion[-1], following


def _names(directory: int, after: bytes) -> tuple[list[bytes], bool]:
    """Return names of a directory behind one, in order, and whether there are more behind them."""
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(fd) as entries:
            names = (name for entry in entries if (name := os.fsencode(entry.name)) > after)
            found = heapq.nsmallest(MOST_NAMES + 1, names)
    finally:
        os.close(fd)
    return found[:MOST_NAMES], len(found) > MOST_NAMES


def _entry(  # noqa: PLR0911 - each of the ways not to know
    directory: int, mount: int, name: bytes, files: Files, *, mime: bool, tags: bool
) -> _Entry | None:
    """Return a name with FID and facts, as far as they can be told; None: nothing that counts is there."""
    try:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return _quoted(name), None, None
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode) and statx(dir_fd=fd).mnt_id != mount:
            return None
        fid = files.fid_of(fd)
        if fid is None:
            return _quoted(name), None, None
        if fid == files.hidden:
            return None
        file = OpenFile(JobItem(NO_FID, 0, b""), fd, name, files.is_released(fd))
        facts = file.facts() | files.lustre_facts(fd)
        facts |= tags_of_fd(fd) if tags else {}
        if mime:
            facts["mime"] = mime_of_fd(fd, name=name, released=file.released)
    except OSError:
        return _quoted(name), None, None
    finally:
        os.close(fd)
    return _quoted(name), str(fid), facts


def _quoted(name: bytes) -> str:
    return quote_from_bytes(name)
