"""`python -P -m workers look`: what is in directories, for `lustre-events scan` and `verify` on this node.

Reads one JSON line per question from stdin, answers on stdout; paths are percent-encoded, relative to the mount.

    {"fid": path}   → {"fid": FID or null}, or {"error": sentence}
    {"list": path}  → portions as `scan` makes them, the last one without `last`; or {"gone": true}, {"error": ...}
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID
from lustre_events.jobs.messages import JobItem
from workers import scan
from workers.contract import readable
from workers.files import Files

NEVER = float("inf")


def serve(lines: Iterable[str], say: Callable[[str], None], files: Files) -> int:
    """Answer every question; return the exit code."""
    for line in lines:
        (what, path), *_ = json.loads(line).items()
        for answer in _ANSWERS[what](unquote_to_bytes(path), files):
            say(json.dumps(answer))
    return 0


def _fid(path: bytes, files: Files) -> Iterator[dict[str, Any]]:
    try:
        found = _fid_of(path, files)
    except OSError as exc:
        yield {"error": readable(exc.strerror or exc)}
    else:
        yield {"fid": None if found is None else str(found)}


def _list(path: bytes, files: Files) -> Iterator[dict[str, Any]]:
    try:
        fid = _fid_of(path, files)
    except FileNotFoundError:
        yield {"gone": True}
        return
    except OSError as exc:
        yield {"error": readable(exc.strerror or exc)}
        return
    for document in scan.listing(JobItem(fid or NO_FID, 0, path), files, NEVER, mime=False):
        yield {"gone": True} if document is None else document


def _fid_of(path: bytes, files: Files) -> FID | None:
    fd = files.open_path(path)
    try:
        return files.fid_of(fd) if path.strip(b"/") else ROOT_FID
    finally:
        os.close(fd)


_ANSWERS = {"fid": _fid, "list": _list}
