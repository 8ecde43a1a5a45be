"""The users whose view rules of actions take: a user's own rule as its author, a site's as all of its audience.

Rights are asked for where the run is written, by what the index knows then; so a right that was taken away counts
from the record that says so (visibility.py). Who is in which group is asked of this node between two steps, when no
lock is held, and is a minute old at most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain import acl
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Transaction
from lustre_events.index.visibility import DirectoryAccess, Viewer, may

log = logging.getLogger(__name__)

FRESH_NS = 60 * SECOND_NS
AT_ONCE = 100
"""Most users about which one step asks this node."""

OfUser = Callable[[str], Viewer]


class Viewers:
    """Users with whose view rules look, and their groups; see the module."""

    def __init__(self, of_user: OfUser = Viewer.of_user) -> None:
        self._of_user = of_user
        self._names: Collection[str] = ()
        self._known: dict[str, tuple[int, Viewer | None]] = {}

    def follow(self, names: Collection[str]) -> None:
        """Know these users from the next `refresh` on, and no others."""
        self._names = names
        self._known = {name: known for name, known in self._known.items() if name in names}

    def refresh(self, now_ns: int) -> None:
        """Ask this node about users where nothing is known, or nothing fresh. No lock is held."""
        stale = [name for name in self._names if not 0 <= now_ns - self._known.get(name, (0, None))[0] < FRESH_NS]
        for name in stale[:AT_ONCE]:
            try:
                self._known[name] = (now_ns, self._of_user(name))
            except ConfigError as exc:
                log.warning("rules of actions of %s wait: %s", name, exc, extra={"action": "retry"})
                self._known[name] = (now_ns, None)

    def of(self, names: Iterable[str]) -> list[Viewer] | None:
        """Return users; None: one of them is not known now."""
        found = [self._known.get(name, (0, None))[1] for name in names]
        known = [viewer for viewer in found if viewer is not None]
        return known if len(known) == len(found) else None

    def views(self, look: Transaction, names: Iterable[str]) -> list[UserView] | None:
        """Return what users see in a transaction; None: one of them is not known now."""
        viewers = self.of(names)
        return None if viewers is None else [UserView(look, viewer) for viewer in viewers]


@dataclass(frozen=True, slots=True)
class _Owned:
    """What decides about an object; see `visibility.Owned`."""

    uid: int | None
    gid: int | None
    mode: int | None
    acl: bytes | None
    rights_known: bool


class UserView:
    """What one user sees, in one transaction. `in_doubt`: a right that is not known now was asked for."""

    def __init__(self, look: Transaction, viewer: Viewer) -> None:
        self._look = look
        self._viewer = viewer
        self._access = DirectoryAccess(viewer, self._parents, self._owned)
        self.in_doubt = False

    def paths(self, fid: FID) -> list[bytes]:
        """Return the paths of an object that the user sees."""
        links = [each for each in self._look.links_of([fid]).get(fid, ()) if self._access.listed(each.parent)]
        above = self._look.paths({each.parent for each in links}) if links else {}
        return [path.strip(b"/") + b"/" + link.name for link in links for path in above[link.parent]]

    def reads(self, fid: FID) -> bool:
        """Whether the user may read an object that is seen."""
        owned = self._owned([fid]).get(fid)
        return owned is not None and may(self._viewer, owned, acl.READ)

    def sees(self, path: bytes) -> bool:
        """Whether the user may list the directory of a path, whether or not there is anything at the path now."""
        fid = ROOT_FID
        for name in path.strip(b"/").split(b"/")[:-1]:
            link = self._look.links([(fid, name)]).get((fid, name))
            if link is None or link.fid is None or not self._access.searchable(fid):
                return False
            fid = link.fid
        return self._access.listed(fid)

    def _parents(self, fids: Collection[FID]) -> list[tuple[FID, FID]]:
        links = self._look.links_of(fids)
        return [(fid, link.parent) for fid, found in links.items() for link in found]

    def _owned(self, fids: Collection[FID]) -> Mapping[FID, _Owned]:
        rows, facts = self._look.objects(fids), self._look.facts(fids)
        found = {}
        for fid in fids:
            generation, known = facts.get(fid, (0, None))
            row = rows.get(fid)
            if row is None or known is None or row.rights > generation:
                self.in_doubt = True
            elif known is not None:
                found[fid] = _Owned(known.uid, known.gid, known.mode, known.acl, rights_known=True)
        return found


def seen_by_all(sights: Sequence[UserView], fid: FID, paths: Collection[bytes]) -> list[bytes]:
    """Return those of an object's paths that all of these users see; all where there is nobody to ask."""
    if not sights:
        return list(paths)
    seen = [set(map(_plain, sight.paths(fid))) for sight in sights]
    return [path for path in paths if all(_plain(path) in each for each in seen)]


def _plain(path: bytes) -> bytes:
    return path.strip(b"/")
