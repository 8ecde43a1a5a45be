"""What a site approves to run as the owner of each file, by digest: a file with a line `kind:name sha256` for each.

Names are `extractor:NAME` and `action:NAME` (workers/approvals.py), and `transfer:ENDPOINT` for what copies files.

A line of an earlier version names no kind: it counts for both, and its digest fits one of them only, since the
manifest says which it is.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lustre_events.errors import ConfigError

KINDS = ("extractor", "action")
"""Of what a manifest describes."""
TRANSFER = "transfer"


def read(path: Path) -> dict[str, str]:
    """Return the approved digest of each program, by kind and name; none where there is no such file.

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
    named = {name: found for name, found in lines.items() if name.partition(":")[0] in {*KINDS, TRANSFER}}
    rest = lines.items() - named.items()
    return {f"{kind}:{name}": found for name, found in rest for kind in KINDS} | named


def put(path: Path, identity: str, digest: str) -> None:
    """Approve one state of something, in place of what was approved of it before.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    approved = read(path) | {identity: digest}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.writelines(f"{each} {found}\n" for each, found in sorted(approved.items()))
        made = Path(file.name)
        made.chmod(0o644)
        made.replace(path)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written ({exc.strerror}); approve as root") from exc
