"""The user's personal token: from the environment, or from a file that nobody else can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from lustre_events.errors import ConfigError

VARIABLE = "LUSTRE_EVENTS_TOKEN"
HOW = "make one with: lustre-events token create (or in the console, under Tokens)"
MOST_BYTES = 4_096


def token(path: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the token of the environment, else of a file (a leading `~` is one's home).

    Raises:
        ConfigError: there is none, or others can read it.
    """
    named = environment.get(VARIABLE, "").strip()
    return named or read(Path(path).expanduser())


def read(path: Path) -> str:
    """Return the token of a file. Raises ConfigError: there is none, or others can read it."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            data = file.read(MOST_BYTES)
    except OSError as exc:
        raise ConfigError(f"{path}: no token there ({exc.strerror}), nor in {VARIABLE}; {HOW}") from exc
    if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path}: others can read or change the token; revoke it (lustre-events token revoke), and run: "
            f"chmod 600 {path}"
        )
    try:
        found = data.decode("ascii").strip()
    except UnicodeDecodeError:
        found = ""
    if not found or any(char.isspace() for char in found):
        raise ConfigError(f"{path}: this is not a token; {HOW}")
    return found


def write(path: Path, secret: str) -> None:
    """Keep a token in a file for its owner alone. Raises ConfigError: it cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secret}\n")
        beside.replace(path)
    except OSError as exc:
        raise ConfigError(f"{path}: the token cannot be kept there ({exc.strerror})") from exc
