"""What a viewer sees, decided by PostgreSQL: the function `permits` of the schema is visibility.permits.

It is called for objects with an access list only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.domain import acl
from lustre_events.index.planner.clause import Clause
from lustre_events.index.postgresql.database import Row
from lustre_events.index.visibility import MODE, Viewer, permits_sql


def _permits(wanted: int) -> str:
    """Return the condition that a viewer has permissions on `o`; its parameters are those of `_who`."""
    with_list = f"permits(%s, %b::bigint[], o.uid, o.gid, {MODE}, o.acl, {wanted})"
    return permits_sql(wanted, with_list, "o.uid = %s", "o.gid = ANY(%b::bigint[])")


def _who(viewer: Viewer) -> tuple[Any, ...]:
    groups = sorted(viewer.gids)
    return viewer.uid, groups, viewer.uid, groups


_SEARCHED, _READ = _permits(acl.SEARCH), _permits(acl.READ)

# The directories alone, with what the viewer may do in each; then from the root down through what can be searched.
_LISTED = f"""
WITH RECURSIVE directory AS MATERIALIZED (
  SELECT o.fid, {_SEARCHED} AS searched, {_READ} AS listed FROM object o WHERE o.type = 'd' OR o.fid = %s
),
inside AS MATERIALIZED (
  SELECT link.parent, directory.* FROM directory JOIN link ON link.fid = directory.fid WHERE directory.searched
),
reached (fid, listed) AS (
  SELECT fid, listed FROM directory WHERE fid = %s AND searched
  UNION
  SELECT inside.fid, inside.listed FROM reached JOIN inside ON inside.parent = reached.fid
)
SELECT fid FROM reached WHERE listed
"""  # noqa: S608 - constants


# From a name's directory up to the root, by directories that can be searched (OFFSET 0: one after the other).
_SEEN = f"""
%s IN (
  WITH RECURSIVE way (fid) AS (
    SELECT o.fid FROM object o WHERE o.fid = link.parent AND {_SEARCHED} AND {_READ}
    UNION
    SELECT upper.fid FROM way CROSS JOIN LATERAL (
      SELECT o.fid FROM link AS step JOIN object o ON o.fid = step.parent
      WHERE step.fid = way.fid AND {_SEARCHED} OFFSET 0
    ) AS upper
  )
  SELECT fid FROM way
)
"""  # noqa: S608 - constants


def seen(viewer: Viewer) -> Clause:
    """Return the condition that a viewer sees the name `link`: a look at each directory above, for each name."""
    who = _who(viewer)
    return Clause(_SEEN, (ROOT_FID.pack(), *who, *who, *who))


def readable(viewer: Viewer, wanted: int) -> Clause:
    """Return the condition that a viewer has permissions on the object `o`."""
    return Clause(_permits(wanted), _who(viewer))


def listed_directories(run: Callable[[Clause], Iterable[Row]], viewer: Viewer) -> list[bytes]:
    """Return the packed FIDs of all directories whose names a viewer sees (visibility.DirectoryAccess.listed).

    That is quicker than `seen` where very many names are to be judged.
    """
    who, root = _who(viewer), ROOT_FID.pack()
    return [row[0] for row in run(Clause(_LISTED, (*who, *who, root, root)))]
