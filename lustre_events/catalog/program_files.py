"""The files of an extractor's folder that make it what it is: how they are found, read, and told apart by a digest.

A user's extractor lies where that user can change it at any moment, also while a worker that is root reads it. So
its files are opened without following a link, count only where they are regular ones of that user, and are
bounded all together: nothing of somebody else can be read in this way, and nobody waits for a fifo. Folders are
walked one after the other, within bounds of their depth and of all their entries, whatever these are called.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lustre_events.errors import ManifestError

MOST_BYTES = 64 << 20
MOST_FILES = 1_000
MOST_ENTRIES = 2_000
"""Files and folders of any kind: also those that are not of a program."""
MOST_DEPTH = 16
NOT_THE_PROGRAM = {"samples", "golden", "schema.json", "make_samples.py", "hostile.py", "__pycache__"}
"""What an extractor's folder has besides its program: a change of these makes no new version of it."""


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """One file as it was read. `name` is its path below the extractor's folder."""

    name: str
    content: bytes
    executable: bool


@dataclass(slots=True)
class Room:
    """What the folders of one extractor, or of all that one user has, may still have: it shrinks."""

    entries: int = MOST_ENTRIES
    size: int = MOST_BYTES


def listed(folder: Path, most: int) -> list[os.DirEntry[str]]:
    """Return the entries of a folder by name, or of a larger one just more than `most` of them. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted(itertools.islice(entries, most + 1), key=lambda entry: entry.name)


def walk(folder: Path, room: Room) -> Iterator[tuple[tuple[str, ...], os.DirEntry[str]]]:
    """Yield what is in an extractor's folder besides folders: its place below it, by names, and its entry.

    No link to a folder is followed. What is known not to be the program is left out, at the top.

    Raises:
        ManifestError: a folder cannot be read, or they are too many or too deep.
    """
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        place = waiting.pop()
        try:
            entries = listed(folder.joinpath(*place), room.entries)
        except OSError as exc:
            raise ManifestError(
                f"{folder.joinpath(*place)}: cannot be read ({exc.strerror}); its user must let it be read"
            ) from exc
        if len(entries) > room.entries:
            raise ManifestError(f"{folder}: more than {MOST_ENTRIES} entries; put what they hold into the image")
        room.entries -= len(entries)
        for entry in entries:
            inside = (*place, entry.name)
            if inside[0] in NOT_THE_PROGRAM:
                continue
            if not _is_folder(entry):
                yield inside, entry
            elif len(inside) > MOST_DEPTH:
                raise ManifestError(f"{folder}: more than {MOST_DEPTH} folders deep; put it into the image")
            else:
                waiting.append(inside)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # it went, or its file system cannot say: to open it will tell
        return False


def read_program(folder: Path, uid: int | None = None, room: Room | None = None) -> list[ProgramFile]:
    """Return the files that make the extractor: not what describes or tests it, or what Python caches.

    Args:
        folder: where they lie.
        uid: whose extractor it is, if it is a user's own; None: the site's, whose links are followed.
        room: what they may have, all together; it shrinks by it.

    Raises:
        ManifestError: a file cannot be read or is not that user's, or it is all too much.
    """
    files: list[ProgramFile] = []
    room = room or Room()
    for inside, entry in sorted(walk(folder, room), key=lambda each: each[0]):
        if Path(entry.name).suffix in {".md", ".pyc", ".def"} or (uid is None and not Path(entry.path).is_file()):
            continue
        content, mode = read_file(Path(entry.path), uid, room.size)
        room.size -= len(content)
        files.append(ProgramFile("/".join(inside), content, bool(mode & stat.S_IXUSR)))
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
        raise ManifestError(f"{path}: more than the {_size(limit_bytes)} that are left for it; make it shorter")
    return content, facts.st_mode


def _size(limit_bytes: int) -> str:
    return f"{limit_bytes >> 20} MiB" if limit_bytes >= 1 << 20 else f"{limit_bytes >> 10} KiB"


def digest(files: Iterable[ProgramFile]) -> str:
    """Return SHA-256 over names and contents."""
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.name}\0{len(file.content)}\0".encode(errors="surrogateescape"))
        found.update(file.content)
    return found.hexdigest()
