"""Who somebody is: by a proxy that has asked already, by a file of users, or by PAM.

Whoever comes in must be a user of this machine: what the user may see depends on the user's groups.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from werkzeug.security import check_password_hash, generate_password_hash

from lustre_events.errors import ConfigError

Check = Callable[[str, str], bool]
"""Whether a user's name and password belong together."""

_NOBODY = generate_password_hash("nobody has this password")


@dataclass(frozen=True, slots=True)
class Login:
    """The ways to come in. `check` None: there is no form, the proxy decides.

    `header` is believed only from `proxies`: anybody else could write it too.
    """

    check: Check | None
    header: str = ""
    proxies: tuple[str, ...] = ()

    def by_proxy(self, remote: str, headers: Mapping[str, str]) -> str:
        """Return the user that a trusted proxy names; empty: none."""
        if not self.header or not self.trusts(remote):
            return ""
        return headers.get(self.header, "")

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
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise ConfigError(
            f"{path}: the users cannot be read ({exc.strerror}); make them with: lustre-events web-password USER"
        ) from exc
    found = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            user, colon, hashed = line.partition(":")
            if not colon or not user:
                raise ConfigError(f"{path}, line {number}: write it as user:hash")
            found[user] = hashed.strip()
    return found


def by_pam(service: str) -> Check:
    """Return a check by PAM, with the rules of `service` in /etc/pam.d.

    Raises:
        ConfigError: the Python module for it is missing.
    """
    try:
        import pam  # noqa: PLC0415 - optional
    except ModuleNotFoundError as exc:
        raise ConfigError("login by PAM needs python-pam: pip install 'lustre-events[web-pam]'") from exc

    def check(user: str, password: str) -> bool:
        return bool(pam.pam().authenticate(user, password, service=service))

    return check


def same(first: str, second: str) -> bool:
    """Compare two secrets in a time that tells nothing."""
    return hmac.compare_digest(first.encode(), second.encode())
