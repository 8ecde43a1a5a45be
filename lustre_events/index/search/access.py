"""What a viewer may know of one moment of an index: which directories, and which object is at a path."""

from __future__ import annotations

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.index.backend import Reading
from lustre_events.index.visibility import DirectoryAccess, Viewer


def access_of(reading: Reading, viewer: Viewer | None) -> DirectoryAccess | None:
    """Return which directories a viewer can search and list; None: all."""
    if viewer is None:
        return None
    return reading.access or DirectoryAccess(
        viewer, lambda fids: [(fid, parent) for fid, parent, _ in reading.links(fids)], reading.objects
    )


def resolve(reading: Reading, path: bytes, access: DirectoryAccess | None) -> FID | None:
    """Return the object at a path; None also where the viewer may not pass a directory above, or list its name."""
    fid, parent = ROOT_FID, ROOT_FID
    for name in filter(None, path.split(b"/")):
        if access is not None and not access.searchable(fid):
            return None
        following = reading.child(fid, name)
        if following is None:
            return None
        fid, parent = following, fid
    return fid if access is None or fid == ROOT_FID or access.listed(parent) else None
