"""The files of an extractor's folder that make it what it is: how they are found, read, and told apart by a digest.

A user's extractor lies where that user can change it at any moment, also while a worker that is root reads it. So
its files are opened without following a link, count only where they are regular ones of that user, and are
bounded all together: nothing of somebody else can be read in this way, and nobody waits for a fifo.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lustre_events.errors import ManifestError

MOST_BYTES = 64 << 20
MOST_FILES = 1_000
NOT_THE_PROGRAM = {"samples", "golden", "schema.json", "make_samples.py", "hostile.py", "__pycache__"}
"""What an extractor's folder has besides its program: a change of these makes no new version of it."""


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """One file as it was read. `name` is its path below the extractor's folder."""

    name: str
    content: bytes
    executable: bool


def read_program(folder: Path, uid: int | None = None) -> list[ProgramFile]:
    """Return the files that make the extractor: not what describes or tests it, or what Python caches.

    Args:
        folder: where they lie.
        uid: whose extractor it is, if it is a user's own; None: the site's, whose links are followed.

    Raises:
        ManifestError: a file cannot be read or is not that user's, or it is all too much.
    """
    files: list[ProgramFile] = []
    room = MOST_BYTES
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        left_out = path.suffix in {".md", ".pyc", ".def"} or inside.parts[0] in NOT_THE_PROGRAM
        if left_out or (path.is_dir() and not path.is_symlink()) or (uid is None and not path.is_file()):
            continue
        content, mode = read_file(path, uid, room)
        room -= len(content)
        files.append(ProgramFile(inside.as_posix(), content, bool(mode & stat.S_IXUSR)))
        if len(files) > MOST_FILES:
            raise ManifestError(f"{folder}: more than {MOST_FILES} files; put what they hold into the image")
    return files


def read_file(path: Path, uid: int | None, limit_bytes: int = MOST_BYTES) -> tuple[bytes, int]:
    """Return a file's content and mode; see read_program for `uid` and the errors."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, flags if uid is None else flags | os.O_NOFOLLOW)
        with os.fdopen(fd, "rb") as file:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode) or uid not in {None, facts.st_uid}:
                raise ManifestError(f"{path}: not a regular file of its user (uid {uid}); remove it")
            content = file.read(limit_bytes + 1)
    except OSError as exc:
        raise ManifestError(f"{path}: cannot be read ({exc.strerror}); extractors/README.md shows one") from exc
    if len(content) > limit_bytes:
        raise ManifestError(f"{path}: with it the program has more than {MOST_BYTES >> 20} MiB; use the image")
    return content, facts.st_mode


def digest(files: Iterable[ProgramFile]) -> str:
    """Return SHA-256 over names and contents."""
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.name}\0{len(file.content)}\0".encode(errors="surrogateescape"))
        found.update(file.content)
    return found.hexdigest()
