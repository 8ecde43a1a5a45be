"""The MIME type of a file by its first bytes, for `stat`: what it is, whatever it is called.

A worker may be root and files are anybody's, so nothing here parses what it is given: fixed signatures are
compared, in Python, on 4 KB at most, and of a zip archive on as much of its end. That is why libmagic (C, about
200 us a file) does not do it. A name decides only between types of text that look alike.
"""

from __future__ import annotations

import codecs
import os
import re
import stat

from workers import mime_binary, mime_text

HEAD_BYTES = 4096
EMPTY = "inode/x-empty"
UNKNOWN = "application/octet-stream"
PLAIN = mime_text.PLAIN
# a text has none of these; bell, backspace (manual pages) and escape (colours) are left out
CONTROL = re.compile("[\0-\x06\x0e-\x1a\x1c-\x1f\x7f]")
ODD = re.compile("[\x80-\x9f]")  # control characters of Latin-1, though letters of other encodings
SHORT = 32  # below, few letters make a text in an unknown encoding
BOMS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def mime_of_fd(fd: int, *, name: bytes = b"", released: bool = False) -> str | None:
    """Return the MIME type of the file behind a descriptor, which may be of O_PATH.

    Args:
        fd: it is opened anew for reading, through /proc, without touching its access time where that is allowed
            (O_NOATIME: to the owner and to root).
        name: its name, or its path; the extension decides between texts that look alike.
        released: HSM has its content; reading would recall it.

    Returns:
        None: it is not a regular file, is released, or cannot be read.
    """
    try:
        found = os.fstat(fd)
        if released or not stat.S_ISREG(found.st_mode):
            return None
        if not found.st_size:
            return EMPTY
        again = _reopened(fd)
        try:
            head = os.pread(again, HEAD_BYTES, 0)
            tail = b""
            if head.startswith(b"PK\3\4") and found.st_size > HEAD_BYTES:
                tail = os.pread(again, HEAD_BYTES, max(HEAD_BYTES, found.st_size - HEAD_BYTES))
            mime = mime_of(head, name, tail)
            if mime == UNKNOWN and _has_far_hdf5(again, found.st_size):
                mime = "application/x-hdf5"
        finally:
            os.close(again)
    except OSError:
        return None
    return mime


def _reopened(fd: int) -> int:
    path, flags = f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def _has_far_hdf5(fd: int, size: int) -> bool:
    """Whether HDF5 begins behind a large user block."""
    places = (place for place in mime_binary.HDF5_FAR if place < size)
    return any(os.pread(fd, len(mime_binary.HDF5), place) == mime_binary.HDF5 for place in places)


def mime_of(head: bytes, name: bytes = b"", tail: bytes = b"") -> str:
    """Return the MIME type of what begins with `head` (4,096 bytes of it, or all where there is less).

    `name` is the file's, `tail` the end of a zip archive.
    """
    if not head:
        return EMPTY
    head = head[:HEAD_BYTES]
    text = _utf8(head)
    if text is None:
        if found := mime_binary.binary(head, tail):
            return found
        text = _other_text(head)
    elif found := mime_binary.signed(head, text=True):
        return found
    if text is None:
        return mime_binary.guessed(head) or UNKNOWN
    return mime_text.type_of(text, _extension(name), whole=len(head) < HEAD_BYTES)


def _extension(name: bytes) -> str:
    return os.path.splitext(name)[1][1:].decode("ascii", "replace").lower()  # noqa: PTH122 - a name is bytes


def _utf8(head: bytes) -> str | None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(head.removeprefix(codecs.BOM_UTF8), final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text


def _other_text(head: bytes) -> str | None:
    """Return the text in UTF-16, or in an encoding of bytes that all stand for letters; None where it is none."""
    for bom, encoding in BOMS:
        if head.startswith(bom):
            return head[: len(head) // 2 * 2].decode(encoding, "replace")
    even, odd = head[::2], head[1::2]
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if len(zeros) > 1 and zeros.count(0) > 0.7 * len(zeros) and not CONTROL.search(others.decode("latin-1")):
            return head[: len(head) // 2 * 2].decode(encoding, "replace")
    text = head.decode("latin-1")
    if CONTROL.search(text) or (len(text) < SHORT and len(ODD.findall(text)) * 10 > len(text)):
        return None
    return text
