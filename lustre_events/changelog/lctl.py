"""Changelog users and masks, through `lctl`: on the MDS, or over a command that reaches it (ssh).

`lctl` works on the node of the MDT only. Where that is not here, the error is one sentence with the exact
command to run there. Formats: lctl-changelog_register(8), and the outputs seen on Lustre 2.17.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence

import msgspec

from lustre_events import subprocesses
from lustre_events.changelog.record import RecordType
from lustre_events.config.nearest import nearest
from lustre_events.errors import ChangelogRefused, ChangelogUnavailable, ChangelogUserUnknown, ConfigError

TIMEOUT_SECONDS = 30.0
SYMBOLS = (*RecordType.__members__, "ALL")
"""What a mask can hold; each may have a + or - before it."""

_CURRENT = re.compile(r"(?:current_index|current index):\s*(\d+)")
_USER = re.compile(r"(?P<id>cl\d+\S*)\s+(?P<index>\d+)(?:\s+\((?P<idle>\d+)\))?(?:\s+mask=(?P<mask>\S*))?\s*\Z")
_PARAMETER = re.compile(r"^mdd\.(\S+-MDT[0-9a-f]{4})\.changelog_users$", re.MULTILINE)
_ID = re.compile(r"\bcl\d+[A-Za-z0-9_.-]*")
_OLD_LCTL = re.compile(r"invalid option|unrecognized option|usage:", re.IGNORECASE)
USER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}\Z")
_NOT_HERE = re.compile(
    r"No such device|No device found|No such file or directory|param_path|not found", re.IGNORECASE
)


class ChangelogUser(msgspec.Struct, frozen=True, gc=False):
    """One registered consumer. `index`: cleared up to there; `mask` empty: the server's own mask holds."""

    id: str
    index: int
    idle_seconds: int | None
    mask: tuple[str, ...]


class Users(msgspec.Struct, frozen=True, gc=False):
    """The consumers of one MDT's changelog, and the index of its newest record."""

    mdt: str
    current_index: int
    users: tuple[ChangelogUser, ...]


def parse_users(mdt: str, text: str) -> Users:
    """Return what `lctl get_param mdd.<mdt>.changelog_users` printed.

    Raises:
        ChangelogRefused: that is not what lctl prints.
    """
    current = _CURRENT.search(text)
    if current is None:
        raise ChangelogRefused(f"{mdt}: lctl printed no current_index but {text.strip()[:200]!r}; see its version")
    users = []
    for line in text.splitlines():
        match = _USER.match(line.strip())
        if match is not None:
            idle = None if match["idle"] is None else int(match["idle"])
            mask = tuple((match["mask"] or "").replace(",", " ").split())
            users.append(ChangelogUser(match["id"], int(match["index"]), idle, mask))
    return Users(mdt, int(current[1]), tuple(users))


class Lctl:
    """`lctl` for the MDTs of one file system.

    Args:
        command: how to run it; `{mdt}` in it becomes the MDT's name, e.g. ["ssh", "mds-of-{mdt}", "lctl"].

    Every method raises ChangelogUnavailable (lctl cannot be run, or this is not the MDT's node: the sentence has
    the command to run there) and ChangelogRefused (lctl says no).
    """

    def __init__(self, command: Sequence[str], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._command = tuple(command) or ("lctl",)
        self._timeout_seconds = timeout_seconds

    def mdts(self) -> list[str]:
        """Return the MDTs of the MDS that the command reaches."""
        said = self._run("*", ["get_param", "-N", "mdd.*.changelog_users"])
        return sorted(_PARAMETER.findall(said))

    def users(self, mdt: str) -> Users:
        """Return the registered users."""
        return parse_users(mdt, self._run(mdt, ["get_param", "-n", f"mdd.{mdt}.changelog_users"]))

    def register(self, mdt: str, name: str = "", mask: str = "") -> str:
        """Register a user and return its id, e.g. `cl2-lustre-events`; a server that knows no names gives `cl2`.

        Raises:
            ConfigError: a wrong name or mask.
        """
        if name and not USER_NAME.match(name):
            raise ConfigError(
                f"{name!r} is not a name for a changelog user; use up to 15 letters, digits, _ . and -"
            )
        mask = ",".join(mask_symbols(mask))
        command = ["--device", mdt, "changelog_register"]
        own = [*(["-u", name] if name else []), *(["-m", mask] if mask else [])]
        try:
            said = self._run(mdt, [*command, *own])
        except ChangelogRefused as exc:
            if mask or not name or not _OLD_LCTL.search(str(exc)):
                raise  # without its mask the user would be another one than was asked for
            said = self._run(mdt, command)
        found = _ID.search(said)
        if found is None:
            raise ChangelogRefused(
                f"{mdt}: lctl printed no user id but {said.strip()[:200]!r}; see: lustre-events changelog users"
            )
        return found[0]

    def deregister(self, mdt: str, user: str) -> None:
        """Deregister a user. Raises ChangelogUserUnknown, ConfigError."""
        if not _ID.fullmatch(user):
            raise ConfigError(f"{user!r} is not a changelog user's id; it is like cl1 or cl2-name")
        known = {each.id for each in self.users(mdt).users}
        if user not in known:
            raise ChangelogUserUnknown(
                f"{mdt}: no changelog user {user}; registered are: {', '.join(sorted(known)) or 'none'}"
            )
        self._run(mdt, ["--device", mdt, "changelog_deregister", user])

    def mask(self, mdt: str) -> tuple[str, ...]:
        """Return the types that the server records, by its own mask and those of its users.

        Older servers have no such parameter, and one mask for all: that is returned then.
        """
        try:
            said = self._run(mdt, ["get_param", "-n", f"mdd.{mdt}.changelog_current_mask"])
        except ChangelogUnavailable:
            said = self._run(mdt, ["get_param", "-n", f"mdd.{mdt}.changelog_mask"])
        return tuple(said.replace(",", " ").split())

    def set_mask(self, mdt: str, mask: str) -> None:
        """Set that mask, until the MDT restarts: `+OPEN`, `-ATIME` or a whole list. Raises ConfigError."""
        first, *rest = mask_symbols(mask) or [""]
        # Older servers know no commas, and blanks would be lost on the way through ssh: + separates everywhere.
        value = first + "".join(each if each[0] in "+-" else f"+{each}" for each in rest)
        self._run(mdt, ["set_param", f"mdd.{mdt}.changelog_mask={value}"])

    def _run(self, mdt: str, arguments: Sequence[str]) -> str:
        argv = [part.replace("{mdt}", mdt) for part in self._command] + list(arguments)
        by_hand = f"on the MDS run: {shlex.join(['lctl', *arguments])}"
        try:
            done = subprocesses.run(argv, self._timeout_seconds, own_session=False)  # ssh may ask at the terminal
        except OSError as exc:
            raise ChangelogUnavailable(
                f"{mdt}: {argv[0]} cannot be run here ({exc.strerror}); {by_hand}", exc.errno or 0
            ) from exc
        except subprocess.TimeoutExpired as exc:
            raise ChangelogUnavailable(
                f"{mdt}: {argv[0]} gave no answer within {self._timeout_seconds:.0f} s; {by_hand}"
            ) from exc
        if done.returncode == 0:
            return done.stdout.decode(errors="replace")
        said = " ".join((done.stderr + done.stdout).decode(errors="replace").split())[-300:]
        if _NOT_HERE.search(said) or done.returncode in {127, 255}:  # 255: ssh itself failed
            raise ChangelogUnavailable(f"{mdt}: lctl does not reach this MDT here ({said}); {by_hand}")
        raise ChangelogRefused(f"{mdt}: lctl refused ({said or f'exit code {done.returncode}'}); {by_hand}")


def mask_symbols(mask: str) -> list[str]:
    """Return the symbols of a mask, each with its + or -. Raises ConfigError: one is unknown."""
    symbols = mask.upper().replace(",", " ").split()
    for symbol in symbols:
        if symbol.lstrip("+-") not in SYMBOLS:
            raise ConfigError(f"{symbol} is not a record type{nearest(symbol.lstrip('+-'), SYMBOLS)}")
    return symbols
