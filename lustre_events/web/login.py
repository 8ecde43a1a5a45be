"""Authentication: by a proxy in front of the console, by a file of users, or by PAM.

Whoever comes in must be a user of this machine: what the user may see depends on the user's groups.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from werkzeug.security import check_password_hash, generate_password_hash

from lustre_events.errors import ConfigError

log = logging.getLogger(__name__)

Check = Callable[[str, str], bool]
"""Whether a user's name and password belong together."""

SECRET_HEADER = "X-Lustre-Events-Proxy"  # noqa: S105 - a name
"""In it a proxy tells the secret that it shares with the console."""

_NOBODY = generate_password_hash("nobody has this password")


class Patience:
    """Limits the guessing of passwords: after `FREE` wrong ones in a row a user has one try each `WAIT_SECONDS`.

    It counts by user, not by address: behind a proxy all users have the proxy's. So whoever guesses at a user's
    password also keeps that user waiting, for as long as the guessing goes on.
    """

    FREE = 5
    WAIT_SECONDS = 5.0
    USERS = 10_000
    """Most users that are remembered; beyond that, the one whose last try is oldest is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: dict[bytes, tuple[int, float]] = {}
        """Keyed by a hash of the name, which may be made up and of any length."""
        self._lock = threading.Lock()

    def admits(self, user: str) -> bool:
        """Return whether a password may be tried now; if so it counts as wrong until `right` is called."""
        with self._lock:
            now = self._clock()
            name = _sum(user)
            tries, last = self._tries.pop(name, (0, 0.0))
            admitted = tries < self.FREE or now - last >= self.WAIT_SECONDS
            self._tries[name] = (tries + 1, now) if admitted else (tries, last)
            if len(self._tries) > self.USERS:
                del self._tries[next(iter(self._tries))]
            return admitted

    def right(self, user: str) -> None:
        """Note that the password was right."""
        with self._lock:
            self._tries.pop(_sum(user), None)


@dataclass(frozen=True, slots=True)
class Login:
    """The ways to log in. `check` None: there is no form, the proxy decides.

    `header` is believed from whoever could connect to a Unix socket (`by_socket`), else only from `proxies` and
    with their `secret`: an address alone would let in every user of that machine.
    """

    check: Check | None
    header: str = ""
    proxies: tuple[str, ...] = ()
    secret: bytes = field(repr=False, default=b"")
    by_socket: bool = False
    patience: Patience = field(default_factory=Patience)

    def by_proxy(self, remote: str, headers: Mapping[str, str]) -> str:
        """Return the user that a trusted proxy names; empty: none."""
        told = headers.get(SECRET_HEADER, "").encode("utf-8", "surrogatepass")
        known = bool(self.secret) and hmac.compare_digest(told, self.secret) and self.trusts(remote)
        return headers.get(self.header, "") if self.header and (self.by_socket or known) else ""

    def trusts(self, remote: str) -> bool:
        """Return whether an address is one of the proxies."""
        try:
            address = ipaddress.ip_address(remote)
            return any(address in ipaddress.ip_network(proxy, strict=False) for proxy in self.proxies)
        except ValueError:
            return False


def by_file(path: Path) -> Check:
    """Return a check against a file of lines `user:hash`, made by `lustre-events web-password USER`.

    The file is read at every login, so a change counts at once.

    Raises:
        ConfigError: (at the check, too) the file cannot be read.
    """
    users_of(path)

    def check(user: str, password: str) -> bool:
        known = users_of(path)
        # An unknown user costs as much time as a known one.
        matches = check_password_hash(known.get(user, _NOBODY), password)
        return matches and user in known

    return check


def users_of(path: Path) -> dict[str, str]:
    """Return user → hash of a users file. Raises ConfigError."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            lines = file.read().splitlines()
    except OSError as exc:
        raise ConfigError(
            f"{path}: the users cannot be read ({exc.strerror}); "
            f"make it with: lustre-events web-password USER >>{path}"
        ) from exc
    if mode & stat.S_IWOTH:
        raise ConfigError(f"{path}: every user can change this file, so it lets nobody in; run: chmod 640 {path}")
    if mode & stat.S_IROTH:
        log.warning("%s: everybody can read the hashes; run: chmod 640 %s", path, path, extra={"action": "login"})
    found = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            user, colon, hashed = line.partition(":")
            if not colon or not user:
                raise ConfigError(f"{path}, line {number}: write it as user:hash")
            found[user] = hashed.strip()
    return found


def _sum(user: str) -> bytes:
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).digest()


def same(first: str, second: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(first.encode(), second.encode())
