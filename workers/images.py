"""The images that manifests name: where they lie, which digest they have, and whether they may be used.

An image is a SIF or an unpacked directory. Its digest is computed once and again when the file has changed, so a
SIF that is replaced under a running worker is noticed, and what a manifest or an approval expects is compared with
what is there now.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from lustre_events.catalog import shipped
from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import ExtractorRefused, ImageMissing
from workers.privileges import Account
from workers.signed import SignedImages, Verify
from workers.unpacked import ImageCache

MOST_OWN_BYTES = 16 << 30
"""A larger image of a user's own is refused; so is one with holes, which costs its owner no room."""

USER_IMAGES = "images"
"""The folder beside a user's own extractors where that user's own images are looked for first."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: what the manifest named, its digest, and what a container is started from."""

    path: Path
    digest: str
    root: Path


class Images:
    """The images of one node.

    Args:
        folder: where they lie ([worker] images).
        default: what a manifest means that names none.
        cache: where SIFs are unpacked; None: they are not.
        verify: how signatures are checked; None: they need not be signed.
        copies: where verified images are copied to; None: below `folder`.
    """

    def __init__(
        self,
        folder: Path,
        default: str = "base",
        cache: ImageCache | None = None,
        verify: Verify | None = None,
        copies: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._default = default
        self._cache = cache
        self._signed = SignedImages(copies or self.folder / ".signed", verify) if verify else None
        self._digests: dict[tuple[int, ...], str] = {}

    def find(self, manifest: Manifest, account: Account | None = None) -> Image:
        """Return the image of `manifest` for containers of `account` (None: this process's user).

        Raises:
            ImageMissing: it is not there, or that account cannot read it.
            ExtractorRefused: it is not the one that the manifest names, or not signed.
        """
        path = self._path(manifest)
        if account and not account.may_read(path):
            raise ImageMissing(
                f"{path}: the image of {manifest.identity} cannot be read by {account.name}, who runs "
                "containers here; put images where everybody may read ([worker] images)"
            )
        uid, packed = manifest.uid if _is_own(manifest, path) else None, path
        if uid is not None:
            _bounded(path, manifest)
        if self._signed is not None:
            digest, packed = self._signed.find(path, uid)
        else:
            digest = self._digest(path, uid)
        if manifest.image_digest and digest != manifest.image_digest:
            raise ExtractorRefused(
                f"{path}: the manifest of {manifest.identity} wants the image {manifest.image_digest:.12}..., this "
                f"is {digest or 'unknown':.12}...; put the right image there, or change image_digest"
            )
        return Image(path, digest, self._unpacked(manifest, digest, account) or packed)

    def _unpacked(self, manifest: Manifest, digest: str, account: Account | None) -> Path | None:
        """Return the image's unpacked folder where this account may use one."""
        if self._cache is None or not digest or manifest.owner:
            return None
        root = self._cache.find(digest)
        return root if root and (account is None or account.may_read(root)) else None

    def unknown_bytes(self, manifest: Manifest) -> int:
        """Return how much `find` has to read first because a user's own image is not known yet; 0: nothing.

        Raises:
            ImageMissing: it is not there.
        """
        path = self._path(manifest)
        if not _is_own(manifest, path):
            return 0
        try:
            facts = path.lstat()
        except OSError:
            return 0
        known = self._digests if self._signed is None else self._signed.known
        return 0 if _key(facts) in known else facts.st_size

    def packed(self, manifest: Manifest) -> str:
        """Return the digest of the image if it should be unpacked and is not yet; else nothing.

        A user's own extractor runs from the SIF: those bytes are for that user's rights alone.

        Raises:
            ImageMissing, ExtractorRefused: as find.
        """
        if manifest.owner or self._cache is None:
            return ""
        image = self.find(manifest)
        return "" if image.root.is_dir() else image.digest

    def unpack(self, manifest: Manifest) -> str:
        """Unpack what is `packed`; return why it could not be done, or nothing. Raises: as packed."""
        digest = self.packed(manifest)
        return self._cache.make(self.find(manifest).root, digest) if digest and self._cache else ""

    def prune(self, used: set[str], now: float) -> None:
        """Remove unpacked and copied images that nobody has used for long; `used` are digests."""
        if self._signed is not None:
            self._signed.prune(used, now)
        if self._cache is not None:
            self._cache.prune(used, now)

    def _path(self, manifest: Manifest) -> Path:
        name = manifest.image or self._default
        own = [manifest.folder.parent / USER_IMAGES / name] if manifest.owner else []
        for place in (*own, self.folder / name):
            for path in (place, place.with_name(place.name + ".sif")):
                if path.exists():
                    return path
        raise ImageMissing(
            f"{self.folder / name}: the image of {manifest.identity} is not there; build it with "
            f"{shipped.build_script()}"
        )

    def _digest(self, image: Path, uid: int | None) -> str:
        """Return SHA-256 over a SIF, or over an unpacked image's marker; computed anew only if that has changed."""
        marker = image / ".singularity.d" / "labels.json" if image.is_dir() else image
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(marker, flags if uid is None else flags | os.O_NOFOLLOW)
        except OSError:
            return ""
        with os.fdopen(fd, "rb") as file:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode) or uid not in {None, facts.st_uid}:
                return ""
            key = _key(facts)
            if key not in self._digests:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
            return self._digests[key]


def _is_own(manifest: Manifest, path: Path) -> bool:
    """Whether an image is a user's own, and not the site's of that name."""
    return bool(manifest.owner) and path.parent == manifest.folder.parent / USER_IMAGES


def _bounded(path: Path, manifest: Manifest) -> None:
    """Refuse an own image that would take long to read and costs its owner nothing. Raises ExtractorRefused."""
    try:
        facts = path.lstat()
    except OSError:
        return  # whoever opens it says so
    if facts.st_size > MOST_OWN_BYTES:
        raise ExtractorRefused(
            f"{path}: the image of {manifest.identity} is larger than {MOST_OWN_BYTES >> 30} GB; make a smaller "
            "one, or ask the site to install it"
        )
    if stat.S_ISREG(facts.st_mode) and facts.st_blocks * 512 < facts.st_size // 2:
        raise ExtractorRefused(f"{path}: the image of {manifest.identity} is mostly holes; build it again")


def _key(facts: os.stat_result) -> tuple[int, ...]:
    """Return what an image's bytes are known by as long as nobody changes it."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
