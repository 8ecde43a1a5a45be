"""Paths in SQLite: the links that they are made of (paths.py), and the patterns of queries as SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.index import paths
from lustre_events.index.paths import components_of, rises
from lustre_events.index.query.wildcards import literal_of, literal_prefix_of, name_bytes

_ROOT = ROOT_FID.pack()
_CHUNK = 500
"""Values of one IN list."""


def paths_of(connection: sqlite3.Connection, fids: Iterable[FID]) -> dict[FID, list[bytes]]:
    """Return for each FID all of its current paths; see paths.py."""
    return paths.paths_of(lambda some: links_of(connection, some), fids)


def links_of(connection: sqlite3.Connection, fids: Collection[FID]) -> list[tuple[FID, FID, bytes]]:
    """Return (FID, parent, name) of every current name of `fids`."""
    packed = {fid.pack(): fid for fid in fids}
    wanted = sorted(packed)
    unpacked: dict[bytes, FID] = {}
    found = []
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        marks = ",".join("?" * len(chunk))
        for fid, parent, name in connection.execute(
            f"SELECT fid, parent, name FROM link WHERE fid IN ({marks})",  # noqa: S608 - only question marks
            chunk,
        ):
            above = unpacked.get(parent) or unpacked.setdefault(parent, FID.unpack(parent))
            found.append((packed[fid], above, name))
    return found


def fids_of_pattern(pattern: str, seen: str = "") -> tuple[str, list[bytes]]:
    """Return a SELECT of the FIDs of all objects with a path that matches, and its parameters.

    `seen` is a further condition on the last link of a path (` AND ...`). Raises as `paths.components_of`, which
    says what patterns mean; each component becomes a step of the statement.
    """
    components = components_of(pattern)
    if rises(components) and literal_prefix_of(components[-1]):
        return _from_below(components, seen)
    steps: list[str] = ["s0 (fid) AS MATERIALIZED (SELECT ?)"]
    parameters = [_ROOT]
    for number, component in enumerate(components, 1):
        before, here = f"s{number - 1}", f"s{number}"
        if component == "**":
            # UNION drops what it has seen: a cycle ends.
            steps.append(
                f"{here} (fid) AS (SELECT fid FROM {before} UNION SELECT link.fid FROM {here}"  # noqa: S608
                f" CROSS JOIN link ON link.parent = {here}.fid WHERE link.fid IS NOT NULL)"
            )
            continue
        condition, values = _name_condition(component)
        condition += seen if number == len(components) else ""
        parameters += values
        # Not the last one, which may end early. Without the word, SQLite would make one join of all steps.
        kept = "MATERIALIZED" if number < len(components) else ""
        found = f"{before} CROSS JOIN link ON link.parent = {before}.fid"
        if number == 2 and components[0] == "**" and literal_of(component) is not None:
            # One scan for a name and a climb from each place costs less than a walk through everything.
            steps.pop()
            found = "link"
            condition += f" AND ? IN ({ABOVE.format('SELECT link.parent')})"
            parameters.append(_ROOT)
        steps.append(
            f"{here} (fid) AS {kept} (SELECT link.fid FROM {found} WHERE link.fid IS NOT NULL AND {condition})"  # noqa: S608
        )
    return f"WITH RECURSIVE {', '.join(steps)} SELECT fid FROM s{len(components)}", parameters  # noqa: S608


def probe_of_pattern(pattern: str, seen: str = "") -> tuple[str, list[bytes]] | None:
    """Return the condition that the object `o` has a path that matches, and its parameters.

    None: that is no quick look, only the whole set of `fids_of_pattern` tells.
    """
    components = components_of(pattern)
    if rises(components):
        sql, parameters = _from_below(components, f" AND link.fid = o.fid{seen}")
        return f"EXISTS ({sql})", parameters
    return None


def _from_below(components: Sequence[str], also: str) -> tuple[str, list[bytes]]:
    """Return the SELECT of FIDs whose names, and those of the directories above them, match from the last one on.

    From the highest of them the root must be reached: what is in a removed directory has no path.
    """
    tables = ["link", *(f"up{number}" for number in range(1, len(components) - 1))]
    joined = "link" + "".join(
        f" CROSS JOIN link AS {upper} ON {upper}.fid = {lower}.parent" for lower, upper in pairwise(tables)
    )
    conditions, parameters = ["link.fid IS NOT NULL"], list[bytes]()
    for table, component in zip(tables, reversed(components[1:]), strict=True):
        condition, values = _name_condition(component, table)
        conditions.append(condition)
        parameters += values
    conditions.append(f"? IN ({ABOVE.format(f'SELECT {tables[-1]}.parent')})")
    return f"SELECT link.fid FROM {joined} WHERE {' AND '.join(conditions)}{also}", [*parameters, _ROOT]  # noqa: S608


ABOVE = (
    "WITH RECURSIVE above (fid) AS ({} UNION SELECT upper.parent FROM above"
    " CROSS JOIN link AS upper ON upper.fid = above.fid) SELECT fid FROM above"
)
"""A SELECT of some directories (a SELECT of their FIDs, to be filled in) and of all directories above them."""


def _name_condition(glob: str, table: str = "link") -> tuple[str, list[bytes]]:
    literal = literal_of(glob)
    if literal is not None:
        return f"{table}.name = ?", [name_bytes(literal)]
    prefix = name_bytes(literal_prefix_of(glob))
    # The range finds names by the primary key where a pattern begins with a literal.
    return (
        f"{table}.name >= ? AND {table}.name < ? AND CAST({table}.name AS TEXT) GLOB CAST(? AS TEXT)",
        [prefix, prefix + b"\xff" * 256, name_bytes(glob)],
    )
