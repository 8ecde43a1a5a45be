"""Which programs a site allows to run as the owner of each file: a file with lines `kind:identity sha256`.

What is approved is one state of an extractor or an action: its manifest, its program and its image. Any change of
these needs a new approval, for a program that runs as a file's owner can read all that this owner can. An extractor
and an action may have the same name, so the kind is a part of what is approved.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from lustre_events.catalog import approved
from lustre_events.catalog.approved import KINDS, read
from lustre_events.catalog.manifest import ACTION, Manifest

__all__ = ["KINDS", "digest", "key_of", "kind_of", "read", "write"]


def kind_of(manifest: Manifest) -> str:
    """Return which kind of program it is."""
    return "action" if manifest.contract == ACTION else "extractor"


def key_of(manifest: Manifest) -> str:
    """Return by what it is found among those that are approved."""
    return f"{kind_of(manifest)}:{manifest.identity}"


def digest(manifest: Manifest, image_digest: str) -> str:
    """Return SHA-256 over what is approved."""
    return hashlib.sha256(f"{manifest.identity}\n{manifest.digest}\n{image_digest}\n".encode()).hexdigest()


def write(path: Path, manifest: Manifest, image_digest: str) -> None:
    """Approve one program as it is now, in place of what was approved of it before.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    approved.put(path, key_of(manifest), digest(manifest, image_digest))
