"""Images whose signature holds, copied to where nobody else can change them: it counts for the bytes that run.

    <folder>/<sha256>.sif         a verified copy of a site's image; its time of change is that of the last use
    <folder>/<sha256>.<uid>.sif   of a user's own

An image may be replaced, or written to, between the look at its signature and the start of a container. So what was
opened is copied, the copy is verified, and containers start from the copy. A copy can be read by those who can read
the image: by its mode for a site's image, by its owner alone for a user's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, BinaryIO

from lustre_events.errors import ExtractorRefused, ImageMissing
from workers.unpacked import KEEP_SECONDS, unsafe

Verify = Callable[[Path], str]
"""Returns why the signature of a SIF does not hold, or nothing."""

MOST_BYTES = 64 << 30
_CHUNK = 1 << 20
_READABLE_BY_ONE = ((0x01, 6, 0xFFFFFFFF), (0x02, 4, None), (0x04, 0, 0xFFFFFFFF), (0x10, 4, 0xFFFFFFFF),
                    (0x20, 0, 0xFFFFFFFF))  # fmt: skip
"""An access list: tag, permissions, id (man 5 acl): owner, one named user, group, mask, others."""

_Key = tuple[int, ...]


class SignedImages:
    """The verified copies in one folder.

    Args:
        folder: where they lie; made if need be. One that others could change is not used.
        verify: how signatures are checked.
    """

    def __init__(self, folder: Path, verify: Verify) -> None:
        self._folder = folder
        self._verify = verify
        self._digests: dict[_Key, str] = {}
        self._refused: dict[_Key, str] = {}

    @property
    def known(self) -> set[_Key]:
        """What the bytes of an image that was verified or refused are known by (without whose it is)."""
        return {key[:-1] for key in (*self._digests, *self._refused)}

    def find(self, image: Path, uid: int | None) -> tuple[str, Path]:
        """Return the digest of an image and its verified copy; `uid`: it must be that user's own, and no link.

        Raises:
            ImageMissing: it cannot be opened or copied.
            ExtractorRefused: it has no signature that holds, or is no file.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if uid is None else os.O_NOFOLLOW)
        try:
            with open(image, "rb", opener=lambda path, _: os.open(path, flags)) as file:
                digest = self._of(image, file, uid)
        except IsADirectoryError as exc:
            raise _refusal(image, "an unpacked directory cannot be signed") from exc
        except OSError as exc:
            raise ImageMissing(f"{image}: cannot be read, verified and copied to {self._folder}: {exc}") from exc
        return digest, self._place(digest, uid)

    def prune(self, used: Collection[str], now: float) -> None:
        """Remove copies that no worker of this node has used for KEEP_SECONDS."""
        for copy in self._folder.glob("*.sif"):
            with contextlib.suppress(OSError):
                if copy.name.split(".")[0] in used:
                    os.utime(copy)
                elif now - copy.stat().st_mtime > KEEP_SECONDS:
                    copy.unlink()

    def _of(self, image: Path, file: BinaryIO, uid: int | None) -> str:
        facts = os.fstat(file.fileno())
        if reason := _unfit(facts, uid):
            raise _refusal(image, reason)
        whose = -1 if uid is None else uid
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, whose)
        if key in self._refused:
            raise _refusal(image, self._refused[key])
        known = self._digests.get(key, "")
        if known and self._place(known, uid).exists():
            return known
        # First where it lies, so that what is not signed is never copied; it is the copy that counts.
        reason, digest = self._verify(Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")), ""
        if not reason:
            digest, reason = self._copy(file, facts, uid)
        if reason:
            self._refused[key] = reason
            raise _refusal(image, reason)
        self._digests[key] = digest
        return digest

    def _copy(self, file: BinaryIO, facts: os.stat_result, uid: int | None) -> tuple[str, str]:
        """Return the digest of the new copy, and why its signature does not hold (then there is none)."""
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if reason := unsafe(self._folder):
            raise PermissionError(f"{self._folder}: {reason}")
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as copy:
            private = Path(copy.name)
            try:
                digest = _pour(file, copy)
                if reason := self._verify(private):
                    return "", reason
                _admit(copy.fileno(), facts, uid)
                private.replace(self._place(digest, uid))
            finally:
                private.unlink(missing_ok=True)
        return digest, ""

    def _place(self, digest: str, uid: int | None) -> Path:
        return self._folder / (f"{digest}.sif" if uid is None else f"{digest}.{uid}.sif")


def _unfit(facts: os.stat_result, uid: int | None) -> str:
    if not stat.S_ISREG(facts.st_mode):
        return "it is not a file"
    if uid not in {None, facts.st_uid}:
        return f"it belongs to uid {facts.st_uid}, not to its extractor's owner"
    return f"it is larger than {MOST_BYTES} bytes" if facts.st_size > MOST_BYTES else ""


def _pour(source: BinaryIO, copy: IO[bytes]) -> str:
    """Copy all of `source`, and return SHA-256 over what was copied. Raises OSError: it grows without end."""
    source.seek(0)
    sum_, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        size += len(chunk)
        if size > MOST_BYTES:
            raise OSError(f"it grows beyond {MOST_BYTES} bytes")
        sum_.update(chunk)
        copy.write(chunk)
    copy.flush()
    return sum_.hexdigest()


def _admit(copy: int, facts: os.stat_result, uid: int | None) -> None:
    """Let those read the copy who may read the image, and nobody write to it."""
    if uid is None:
        if os.geteuid() == 0:
            os.fchown(copy, 0, facts.st_gid)
        os.fchmod(copy, facts.st_mode & 0o444 | 0o400)
    elif uid not in {0, os.geteuid()}:
        entries = [struct.pack("<HHI", tag, permissions, uid if who is None else who)
                   for tag, permissions, who in _READABLE_BY_ONE]  # fmt: skip
        os.setxattr(copy, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(entries))


def _refusal(image: Path, reason: str) -> ExtractorRefused:
    return ExtractorRefused(f"{image}: its signature does not hold: {reason}; sign it, or import the signer's key")
