"""The accounts that extractors run under, and what those may read: never root's."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lustre_events.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Account:
    """A user that a root worker becomes before it starts an extractor. `groups`: all that it is a member of."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def may_read(self, path: Path) -> bool:
        """Return whether it may read `path` and pass through every folder above it, by their modes."""
        needed = [(path, 0o5 if path.is_dir() else 0o4), *((above, 0o1) for above in path.parents)]
        for place, bits in needed:
            facts = place.stat()
            shift = 6 if facts.st_uid == self.uid else 3 if facts.st_gid in {self.gid, *self.groups} else 0
            if (facts.st_mode >> shift) & bits != bits:
                return False
        return True


def account_for(run_as: str) -> Account | None:
    """Return the account that extractors run under; None: this process is no root and keeps its own.

    Raises:
        ConfigError: `run_as` is no user of this machine, or is root.
    """
    if os.geteuid() != 0:
        return None
    try:
        account = account_named(run_as)
    except KeyError as exc:
        raise ConfigError(
            f"[worker] run_as names {run_as!r}, which is not a user on this node; name one of /etc/passwd"
        ) from exc
    if account.uid == 0 or account.gid == 0:
        raise ConfigError(f"[worker] run_as is {run_as!r}, which has root's rights; name an ordinary user")
    return account


def account_named(name: str) -> Account:
    """Return the account of a user of this machine. Raises KeyError: there is none."""
    return _account(pwd.getpwnam(name))


def account_of(uid: int) -> Account:
    """Return the account of a user of this machine. Raises KeyError: there is none."""
    return _account(pwd.getpwuid(uid))


def _account(entry: pwd.struct_passwd) -> Account:
    # Root's group is nobody's: an extractor does not get it, whoever is a member.
    groups = tuple(gid for gid in os.getgrouplist(entry.pw_name, entry.pw_gid) if gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups)


def readable_by(account: Account | None, paths: Sequence[bytes]) -> list[bool]:
    """Return of each path whether `account` (None: this process's own) may read what is there.

    Asks the system, which knows of access lists and squashed roots what modes do not say; for an account in a
    fork that has become it.

    Raises:
        OSError: the fork did not answer.
    """
    if account is None:
        return [os.access(path, os.R_OK, effective_ids=True) for path in paths]
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _answer_as(account, paths, write_end)
    os.close(write_end)
    with open(read_end, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read()
    os.waitpid(child, 0)
    if len(said) != len(paths):
        raise OSError(f"nobody could tell what {account.name} may read")
    return [answer == _YES for answer in said]


_YES = ord("y")


def _answer_as(account: Account, paths: Sequence[bytes], write_end: int) -> NoReturn:
    """Be the fork: nothing of this process is touched, and it leaves by _exit."""
    try:
        os.setgroups(account.groups)
        os.setgid(account.gid)
        os.setuid(account.uid)
        answers = bytes(_YES if os.access(path, os.R_OK) else ord("n") for path in paths)
        while answers:
            answers = answers[os.write(write_end, answers) :]
    finally:
        os._exit(0)
