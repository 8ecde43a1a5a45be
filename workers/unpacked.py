"""Unpacked images on this node: a container starts from a folder two to three times cheaper than from a SIF.

    <cache>/<sha256 of the SIF>/         the image's root file system, read-only for everybody
    <cache>/<sha256 of the SIF>.lock     held by whoever unpacks; its time of change is that of the last use

An image is unpacked once, beside its place, made harmless, and moved there in one step: there never is half an
image. Harmless: no set-user-ID program of an image becomes one of this node, no device does, and nobody can add a
file to it. What a document says of the image stays the digest of the SIF.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from lustre_events import subprocesses
from workers.privileges import Account

log = logging.getLogger(__name__)

BUILD_SECONDS = 600.0
KEEP_SECONDS = 7 * 86_400
"""How long an image that nobody uses any more stays unpacked."""


class ImageCache:
    """The unpacked images in one folder; a folder that others could change is not used.

    Args:
        folder: where; made if need be.
        program: apptainer, or singularity.
        account: who unpacks where this process is root, which then takes what was unpacked over.
    """

    def __init__(self, folder: Path, program: str, account: Account | None = None) -> None:
        self._folder = folder
        self._program = program
        self._account = account

    def find(self, digest: str) -> Path | None:
        """Return the root folder of the SIF with this digest, if it is unpacked."""
        place = self._folder / digest
        return place if place.is_dir() and not unsafe(self._folder) else None

    def make(self, image: Path, digest: str) -> str:
        """Unpack a SIF unless it is there; return why it could not be done, or nothing."""
        try:
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            if reason := unsafe(self._folder):
                return f"{self._folder}: {reason}, so images are not unpacked; name another [worker] image_cache"
            with self._locked(digest):
                if self.find(digest) is None:
                    self._unpack(image, self._folder / digest)
        except (OSError, subprocess.SubprocessError) as exc:
            return f"{image} cannot be unpacked, and so starts more slowly: {_reason(exc)}"
        return ""

    def prune(self, used: Collection[str], now: float) -> list[str]:
        """Remove what no worker of this node has used for KEEP_SECONDS; return the digests."""
        removed = []
        for lock in self._folder.glob("*.lock"):
            digest = lock.stem
            with contextlib.suppress(OSError):
                if digest in used:
                    os.utime(lock)
                elif now - lock.stat().st_mtime > KEEP_SECONDS:
                    with self._locked(digest, wait=False):
                        _remove(self._folder / digest)
                        lock.unlink()
                    removed.append(digest)
        return removed

    @contextlib.contextmanager
    def _locked(self, digest: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the digest's lock. Raises OSError: another one has it (for BUILD_SECONDS, if `wait`)."""
        ends = time.monotonic() + (BUILD_SECONDS if wait else 0)
        with (self._folder / f"{digest}.lock").open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= ends:
                        raise
                time.sleep(0.2)
            yield

    def _unpack(self, image: Path, place: Path) -> None:
        begun = time.monotonic()
        private = place.with_name(f".{place.name}.new")
        _remove(private)  # of a process that was killed; the lock is ours
        private.mkdir(mode=0o700)
        try:
            account = self._account
            if account is not None:
                os.chown(private, account.uid, account.gid)
            subprocesses.run(
                [self._program, "--quiet", "build", "--sandbox", "--fix-perms", private / "root", image],
                BUILD_SECONDS, cwd="/", own_session=False,  # the worker ends the session that this process leads
                environment={"PATH": os.environ.get("PATH", ""), "HOME": str(private), "TMPDIR": str(private)},
                user=account.uid if account else None, group=account.gid if account else None,
                extra_groups=account.groups if account else None,
            ).check_returncode()  # fmt: skip
            if account is not None:
                os.chown(private, 0, 0)
            _make_harmless(private / "root", take=account is not None)
            (private / "root").rename(place)
        finally:
            _remove(private)
        log.info(
            "unpacked %s in %.1f s",
            image,
            time.monotonic() - begun,
            extra={"action": "unpack", "digest": place.name},
        )


def unsafe(folder: Path) -> str:
    """Return why others could put their own files into `folder`, or nothing."""
    facts = folder.lstat()
    if facts.st_uid not in {0, os.geteuid()} or not stat.S_ISDIR(facts.st_mode):
        return f"it belongs to uid {facts.st_uid}"
    return "others may write to it" if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _make_harmless(root: Path, *, take: bool) -> None:
    """Take away set-ID bits, the right of others to write, and everything but files, links and directories.

    `take`: it all becomes root's.
    """
    for above, folders, files in os.walk(root, topdown=False):
        for name in (*folders, *files):
            path = Path(above, name)
            if take:
                os.lchown(path, 0, 0)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH))
            elif not stat.S_ISLNK(mode):
                path.unlink()
    if take:
        os.chown(root, 0, 0)
    root.chmod(0o755)


def _remove(place: Path) -> None:
    """Remove a tree, also one with folders that its owner may not change."""
    for above, folders, _ in os.walk(place):
        for name in folders:
            with contextlib.suppress(OSError):
                if not Path(above, name).is_symlink():
                    Path(above, name).chmod(0o700)
    shutil.rmtree(place, ignore_errors=True)


def _reason(exc: OSError | subprocess.SubprocessError) -> str:
    if isinstance(exc, subprocess.CalledProcessError):
        lines = exc.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {exc.returncode}"
    return str(exc)
