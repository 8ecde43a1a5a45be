"""What a viewer may know of the past: what he might have seen of a file or its directory then.

The history knows no rights, only when they may have changed. So a past name is seen where the directory that
it stood in can be listed now, all above it can be searched now, and the rights of none of them have changed since.
What the viewer did himself he knows. A directory that is gone cannot be listed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain.namespace import Place
from lustre_events.history.archive import Happening
from lustre_events.history.whereabouts import Whereabouts


class Access(Protocol):
    """index.visibility.DirectoryAccess: which directories a viewer can search and list now."""

    def searchable(self, directory: FID) -> bool: ...  # noqa: D102
    def listed(self, directory: FID) -> bool: ...  # noqa: D102


class Sight:
    """What one viewer may know; `access` None: everything. `uid` is his own."""

    def __init__(self, access: Access | None, uid: int | None, whereabouts: Whereabouts) -> None:
        self._access = access
        self._uid = uid
        self._whereabouts = whereabouts

    @property
    def in_part(self) -> bool:
        """Whether there may be something that the viewer may not know; not whether there is."""
        return self._access is not None

    def searches(self, directory: FID) -> bool:
        """Whether the viewer can tell now whether a directory has a name."""
        return self._access is None or self._access.searchable(directory)

    def lists(self, directory: FID) -> bool:
        """Whether the viewer can list a directory now."""
        return self._access is None or self._access.listed(directory)

    def did(self, happening: Happening) -> bool:
        """Whether the viewer did that himself."""
        return happening.record.uid is not None and happening.record.uid == self._uid

    def name(self, place: Place, time_ns: int) -> bool:
        """Whether a name in a directory could be seen at a given time."""
        access, (directory, _) = self._access, place
        if access is None:
            return True
        above = self._whereabouts.above(directory, time_ns)
        if above is None or not access.listed(directory):
            return False
        on_the_way = {ROOT_FID, directory, *(parent for parent, _ in above)}
        return all(access.searchable(each) and self._whereabouts.rights_ns(each) <= time_ns for each in on_the_way)

    def record(self, happening: Happening, places: list[Place]) -> Callable[[Place], bool] | None:
        """Return which of the names of a record are seen; None: the viewer may know nothing of it."""
        if self._access is None or self.did(happening):
            return lambda _place: True
        seen = {place for place in places if self.name(place, happening.time_ns)}
        return seen.__contains__ if seen else None
