"""What a user may see: the file system's own rules, applied to the facts that the index has.

- A *name* is seen where every directory above it can be searched (x) and the one that it stands in listed (r).
- A *document*, all that is found by it, and the MIME type, are seen where the file can be read.
- What is not known denies: so do facts older than the last record of a chmod, chown or setfacl, which may have
  taken rights away, until `stat` has been there again. Root sees everything.
- The root of the index is the mount point; directories above the mount are taken as searchable.

An object is found through the names that are seen, and shown with these only.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain import acl
from lustre_events.errors import ConfigError

MODE = "CASE WHEN o.rights > o.facts_generation THEN NULL ELSE o.mode END"
"""SQL: the mode of the object `o` as far as it decides; unknown where rights may have changed since."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who searches: a user id, and all of the user's groups."""

    uid: int
    gids: frozenset[int] = frozenset()

    @classmethod
    def of_user(cls, name: str) -> Viewer:
        """Return a user of this machine, by name or number, with the groups that the user has here.

        Raises:
            ConfigError: this machine knows no such user.
        """
        try:
            number = name.isascii() and name.isdigit()
            return cls._of(pwd.getpwuid(int(name)) if number else pwd.getpwnam(name))
        except (KeyError, OverflowError, ValueError) as exc:
            raise _unknown(name) from exc

    @classmethod
    def of_login(cls, name: str) -> Viewer:
        """Return the user of this machine who has logged in under a name.

        A number is a name, too, and no uid: elsewhere it may be the login of somebody else.

        Raises:
            ConfigError: this machine knows no user of that name.
        """
        try:
            return cls._of(pwd.getpwnam(name))
        except (KeyError, ValueError) as exc:
            raise _unknown(name) from exc

    @classmethod
    def _of(cls, user: pwd.struct_passwd) -> Viewer:
        return cls(user.pw_uid, frozenset(os.getgrouplist(user.pw_name, user.pw_gid)))

    @property
    def sees_all(self) -> bool:
        """Whether nothing is hidden (root)."""
        return self.uid == 0


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"{name!r}: this machine knows no such user, so the user's groups are unknown")


class Owned(Protocol):
    """The facts that decide; None: not known. `acl` as in interface.Facts."""

    @property
    def uid(self) -> int | None: ...  # noqa: D102
    @property
    def gid(self) -> int | None: ...  # noqa: D102
    @property
    def mode(self) -> int | None: ...  # noqa: D102
    @property
    def acl(self) -> bytes | None: ...  # noqa: D102
    @property
    def rights_known(self) -> bool: ...  # noqa: D102


class AccessFacts(NamedTuple):
    """The facts that decide, and no others."""

    uid: int | None
    gid: int | None
    mode: int | None
    acl: bytes | None
    rights_known: bool


def may(viewer: Viewer, owned: Owned, wanted: int) -> bool:
    """Return whether `viewer` has the permissions `wanted` (bits of acl.py), as the kernel's own check would say.

    fs/namei.c, acl_permission_check: the owner is judged by the owner's bits alone; an access list counts only
    where the mode's group bits (its mask) are not empty. One that the kernel would not take denies.
    """
    mode = owned.mode if owned.rights_known else None
    return permits(viewer, owned.uid, owned.gid, mode, owned.acl, wanted)


def permits(  # noqa: PLR0917 - the facts of one object
    viewer: Viewer, uid: int | None, gid: int | None, mode: int | None, access: bytes | None, wanted: int
) -> bool:  # fmt: skip
    """See `may`."""
    if viewer.sees_all:
        return True
    if uid is None or gid is None or mode is None:
        return False
    if viewer.uid == uid:
        return wanted & ~(mode >> 6) & 7 == 0
    if access is not None and (mode & 0o070 or not acl.is_well_formed(access)):
        return acl.allows(access, viewer.uid, viewer.gids, gid, wanted)
    bits = mode >> 3 if gid in viewer.gids else mode
    return wanted & ~bits & 7 == 0


def permits_sql(wanted: int, with_list: str, is_owner: str, in_group: str) -> str:
    """Return `permits` of the object `o` as a condition in SQL, for one viewer who does not see all.

    Without an access list the database decides it by the mode: a call of a function for each of very many objects
    costs more than the rest of the look at them.

    Args:
        wanted: bits of acl.py.
        with_list: SQL that decides where there is an access list.
        is_owner: SQL: the viewer owns `o`.
        in_group: SQL: the viewer is in the group of `o`.
    """
    bits = [f"(o.mode & {wanted << shift}) = {wanted << shift}" for shift in (6, 3, 0)]
    return (
        f"(CASE WHEN o.acl IS NOT NULL THEN {with_list}"
        " WHEN o.uid IS NULL OR o.gid IS NULL OR o.mode IS NULL OR o.rights > o.facts_generation THEN false"
        f" WHEN {is_owner} THEN {bits[0]} WHEN {in_group} THEN {bits[1]} ELSE {bits[2]} END)"
    )


@dataclass(slots=True)
class DirectoryAccess:
    """Which directories a viewer can search and list; asks for each directory once.

    Args:
        viewer: who looks.
        parents: the directories in which these FIDs have names (a FID without a name: none).
        owned: the facts of these FIDs, where known.
    """

    viewer: Viewer
    parents: Callable[[Collection[FID]], Iterable[tuple[FID, FID]]]
    owned: Callable[[Collection[FID]], Mapping[FID, Owned]]
    _reached: dict[FID, bool] = field(default_factory=dict)
    _facts: dict[FID, Owned | None] = field(default_factory=dict)

    def searchable(self, directory: FID) -> bool:
        """Return whether names in a directory can be used: x on it and on all above, on one way from the root."""
        if self.viewer.sees_all:
            return True
        if directory not in self._reached:
            self.decide((directory,))
        return self._reached[directory]

    def listed(self, directory: FID) -> bool:
        """Return whether the names in a directory can be seen."""
        return self.searchable(directory) and (self.viewer.sees_all or self._has(directory, acl.READ))

    def decide(self, directories: Iterable[FID]) -> None:
        """Ask for directories together, and for all above them: twice for each level, however many there are."""
        # Not `directories - self._reached.keys()`: that goes through all keys, each time.
        above = self._undecided_above({fid for fid in directories if fid not in self._reached})
        passable = {fid for fid in above if self._has(fid, acl.SEARCH)}
        ways = [(parent, fid) for fid in passable for parent in above[fid]]
        good = passable & {ROOT_FID} | {fid for parent, fid in ways if self._reached.get(parent)}
        self._reached |= {fid: fid in good for fid in above}
        self._go_down(ways, good)

    def _go_down(self, ways: Iterable[tuple[FID, FID]], good: Iterable[FID]) -> None:
        """Say what is reached from what is; in a circle without a way from the root nothing is."""
        below: dict[FID, list[FID]] = {}
        for parent, fid in ways:
            below.setdefault(parent, []).append(fid)
        new = [*good]
        while new:
            more = [fid for fid in below.get(new.pop(), ()) if not self._reached[fid]]
            self._reached |= dict.fromkeys(more, True)
            new += more

    def _has(self, directory: FID, wanted: int) -> bool:
        owned = self._facts.get(directory)
        return owned is not None and may(self.viewer, owned, wanted)

    def _undecided_above(self, directories: Collection[FID]) -> dict[FID, set[FID]]:
        """Return directories and those above them about which nothing is decided, each with its own parents."""
        above: dict[FID, set[FID]] = {}
        frontier = set(directories)
        while frontier:
            self._learn(frontier)
            above |= {fid: set() for fid in frontier}
            for fid, parent in self.parents(frontier - {ROOT_FID}):
                above[fid].add(parent)
            reached = {parent for fid in frontier for parent in above[fid]}
            frontier = {fid for fid in reached if fid not in above and fid not in self._reached}
        return above

    def _learn(self, directories: Collection[FID]) -> None:
        """Ask for the facts of directories that are not known."""
        new = {fid for fid in directories if fid not in self._facts}
        found = self.owned(new) if new else {}
        self._facts |= {fid: found.get(fid) for fid in new}


def group_name(gid: int) -> str:
    """Return a group's name on this machine, else its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def user_name(uid: int) -> str:
    """Return a user's name on this machine, else its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)
