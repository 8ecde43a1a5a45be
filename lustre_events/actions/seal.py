"""The seal on deliveries: an HMAC by a key that dispatcher and executor read from a file, and nobody else.

Redis carries deliveries, and other roles have logins there. What has no seal of this key is refused, so a login
alone sends nothing anywhere, and runs nothing. Courier and file workers have a key each, and what is sealed for one
is refused by the other even if a site gives both the same. What file workers answer is sealed, too.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from lustre_events.errors import ConfigError

COURIER = b"lustre-events delivery 1\0"
WORKER = b"lustre-events action 1\0"
ANSWER = b"lustre-events action answer 1\0"
"""What a seal is for. File workers seal answers, too: one that a run is done may start the next rule of a chain."""
_MAC_BYTES = 32
LEAST_KEY_BYTES = 32
_WHERE = {
    COURIER: "who may write to le:courier:jobs in Redis, and whether dispatcher and courier have the same "
    "[actions] key",
    ANSWER: "who may write to le:action:answers in Redis, and whether dispatcher and worker have the same "
    "[actions] worker_key",
    WORKER: "who may write to the queue `actions` in Redis, and whether dispatcher and worker have the same "
    "[actions] worker_key",
}


class Seal:
    """Seals and opens deliveries."""

    def __init__(self, key: bytes, purpose: bytes = COURIER) -> None:
        self._key = key
        self._purpose = purpose

    def of(self, purpose: bytes) -> Seal:
        """Return the seal of the same key for something else, which neither takes for its own."""
        return Seal(self._key, purpose)

    def sealed(self, data: bytes) -> bytes:
        """Return data with its seal in front."""
        return self._mac(data) + data

    def opened(self, data: bytes) -> bytes:
        """Return the data behind its seal. Raises ConfigError: somebody else made it."""
        mac, inner = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(inner)):
            what = (
                "an answer without the seal of this site's workers"
                if self._purpose == ANSWER
                else ("a delivery without the seal of this site's dispatcher")
            )
            raise ConfigError(f"{what}; look {_WHERE[self._purpose]}")
        return inner

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, self._purpose + data, hashlib.sha256)


def make_key(path: Path) -> None:
    """Make the file of the key where it is not there: as a whole, or not at all. Raises ConfigError."""
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(8)}")
    try:
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(LEAST_KEY_BYTES) + "\n")
                file.flush()
                os.fsync(handle)
            with contextlib.suppress(FileExistsError, FileNotFoundError):  # another process was faster
                os.link(fresh, path)
        finally:
            if path.exists():
                for left in path.parent.glob(f".{glob.escape(path.name)}.new-*"):  # of those that were killed, too
                    left.unlink(missing_ok=True)
            fresh.unlink(missing_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"{path}: the key of deliveries cannot be made ({exc.strerror}); set [actions] key"
        ) from exc


def read_seal(path: Path, purpose: bytes = COURIER) -> Seal:
    """Return the seal of a key's file. Raises ConfigError: it is not there, is too short, or others may read it."""
    try:
        mode = path.stat().st_mode
        key = path.read_bytes().strip()
    except OSError as exc:
        raise ConfigError(
            f"{path}: the key of deliveries cannot be read ({exc.strerror}); the dispatcher makes it, and the "
            f"{'courier' if purpose == COURIER else 'worker'} needs the same one: copy it, or set [actions] "
            f"{'key' if purpose == COURIER else 'worker_key'}"
        ) from exc
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigError(f"{path}: others may read or change the key of deliveries; chmod 0640 {path}")
    if len(key) < LEAST_KEY_BYTES:
        raise ConfigError(f"{path}: the key of deliveries is too short; remove the file, and start the dispatcher")
    return Seal(key, purpose)
