"""Segments: the files of the history, one or more per MDT and day, to which frames are appended.

    FOLDER/lustre-MDT0000/2026-11-26.0.seg

segment_writer.py appends, and removes what is too old. Here they are found and read, and a segment of a day that is
over is packed again where its frames are small (on a quiet MDT each one holds what came within seconds), under
another name, and renamed.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lustre_events.domain.namespace import is_mdt
from lustre_events.history.frame import (
    FRAME_BYTES,
    HEADER_BYTES,
    LOSS,
    MAGIC,
    RECORDS,
    Frame,
    Header,
    Packer,
    is_whole,
    read_header,
    records_of,
)

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.(\d{1,6})\.seg\Z")


class Segment(NamedTuple):
    """A file of the history. Segments of an MDT compare in the order in which they were written."""

    day: str
    number: int
    mdt: str
    path: Path


def segments_in(folder: Path) -> list[Segment]:
    """Return all segments of a folder, oldest first; what else lies there is passed over. Raises OSError."""
    found = []
    for mdt in sorted(folder.iterdir()):
        if is_mdt(mdt.name) and mdt.is_dir():
            matches = [(_NAME.match(path.name), path) for path in mdt.iterdir()]
            found += [Segment(match[1], int(match[2]), mdt.name, path) for match, path in matches if match]
    return sorted(found)


def frames_in(buffer: memoryview) -> Iterator[tuple[int, Header | None]]:
    """Yield (offset, header) of each frame of a segment; None: what lies there is damaged, up to the next frame."""
    offset = 0
    while offset < len(buffer):
        header = read_header(buffer, offset)
        yield offset, header
        offset = offset + header.size if header is not None else _next_frame(buffer, offset + 1)


def _next_frame(buffer: memoryview, offset: int) -> int:
    """Return where the next header stands behind damage."""
    data = bytes(buffer[offset:])
    at = data.find(MAGIC)
    while at >= 0 and read_header(buffer, offset + at) is None:
        at = data.find(MAGIC, at + 1)
    return offset + at if at >= 0 else len(buffer)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[memoryview]:
    """Give the bytes of a segment. Raises OSError."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield memoryview(b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                yield view
            finally:
                with contextlib.suppress(BufferError):
                    view.release()


def repack(path: Path) -> bool:
    """Write a closed segment again with frames of the usual size, where they are small; a damaged one stays."""
    with opened(path) as buffer:
        found = list(frames_in(buffer))
        headers = [header for _, header in found if header is not None and header.kind == RECORDS]
        if len(headers) < 2 * (1 + sum(each.plain_bytes for each in headers) // FRAME_BYTES):
            return False
        if not all(header is not None and is_whole(header, buffer, offset) for offset, header in found):
            return False
        new = path.with_suffix(".tmp")
        try:
            with new.open("wb") as file:
                for frame in _repacked(buffer):
                    file.write(frame.data)
                file.flush()
                os.fdatasync(file.fileno())
            new.rename(path)
        except OSError as exc:  # a full disk, say: small frames are as good
            log.warning("%s stays as it is: %s", path, exc, extra={"action": "pack"})
            new.unlink(missing_ok=True)
            return False
    sync(path.parent)
    return True


def _repacked(buffer: memoryview) -> Iterator[Frame]:
    packer, epoch = Packer(), 0
    for offset, header in frames_in(buffer):
        if header is None:
            continue
        if header.epoch != epoch or header.kind == LOSS:
            yield from filter(None, [packer.frame(epoch)])
            epoch = header.epoch
        if header.kind == LOSS:
            yield Frame(header, bytes(buffer[offset : offset + HEADER_BYTES]))
            continue
        _, records = records_of(header, buffer, offset) or ([], b"")
        for _ in packer.add(records, 0):
            yield from filter(None, [packer.frame(epoch)])
    yield from filter(None, [packer.frame(epoch)])


def sync(folder: Path) -> None:
    """Sync the names in a folder to the disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
