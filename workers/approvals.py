"""Which programs a site allows to run as the owner of each file: a file with lines `kind:identity sha256`.

What is approved is one state of an extractor or an action: its manifest, its program and its image. Any change of
these needs a new approval, for a program that runs as a file's owner can read all that this owner can. An extractor
and an action may have the same name, so the kind is a part of what is approved.

A line of an earlier version names no kind: it counts for both, and its digest fits one of them only, since the
manifest says which it is.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lustre_events.catalog.manifest import ACTION, Manifest
from lustre_events.errors import ConfigError

KINDS = ("extractor", "action")


def kind_of(manifest: Manifest) -> str:
    """Return which kind of program it is."""
    return "action" if manifest.contract == ACTION else "extractor"


def key_of(manifest: Manifest) -> str:
    """Return by what it is found among those that are approved."""
    return f"{kind_of(manifest)}:{manifest.identity}"


def digest(manifest: Manifest, image_digest: str) -> str:
    """Return SHA-256 over what is approved."""
    return hashlib.sha256(f"{manifest.identity}\n{manifest.digest}\n{image_digest}\n".encode()).hexdigest()


def read(path: Path) -> dict[str, str]:
    """Return the approved digest of each program, by `key_of`; none where there is no such file.

    Raises:
        ConfigError: it cannot be read, or others than root and this user could change it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            facts = os.fstat(file.fileno())
            lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc}); correct [worker] approved") from exc
    if facts.st_uid not in {0, os.geteuid()} or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{path}: others could change it, so it approves nothing; chown root, chmod 644")
    if any(len(words) != 2 for words in lines):
        raise ConfigError(f"{path}: each line must be a program and a digest; approve again what is wrong")
    return _with_kinds(dict(lines))


def _with_kinds(lines: Mapping[str, str]) -> dict[str, str]:
    """Return lines with their kinds; what names none counts for each kind that has no line of its own."""
    named = {name: found for name, found in lines.items() if name.startswith(tuple(f"{kind}:" for kind in KINDS))}
    rest = lines.items() - named.items()
    return {f"{kind}:{name}": found for name, found in rest for kind in KINDS} | named


def write(path: Path, manifest: Manifest, image_digest: str) -> None:
    """Approve one program as it is now, in place of what was approved of it before.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    approved = read(path) | {key_of(manifest): digest(manifest, image_digest)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.writelines(f"{key} {found}\n" for key, found in sorted(approved.items()))
        made = Path(file.name)
        made.chmod(0o644)
        made.replace(path)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written ({exc.strerror}); approve as root") from exc
