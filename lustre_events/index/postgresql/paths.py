"""Path patterns in PostgreSQL: one statement with a step for each component, from the root down."""

from __future__ import annotations

from collections.abc import Sequence

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.index.paths import components_of, rises
from lustre_events.index.postgresql.clause import Clause, joined
from lustre_events.index.postgresql.wildcards import name_test
from lustre_events.index.query.wildcards import literal_of, literal_prefix_of, name_bytes

ROOT = ROOT_FID.pack()

# OFFSET 0: a look into the index for each directory, whatever the planner believes of the directories' number.
_IN_DIRECTORY = (
    "{} CROSS JOIN LATERAL (SELECT link.fid FROM link WHERE link.parent = {}.fid AND {} OFFSET 0) AS found"
)


def fids_of_pattern(pattern: str, seen: Clause) -> Clause:
    """Return a SELECT of the FIDs of all objects with a path that matches; `seen` is a condition on its last link.

    Raises:
        QueryError: the pattern has too many components.
    """
    components = components_of(pattern)
    if rises(components) and literal_prefix_of(components[-1]):
        return _from_below(components, seen)
    steps = ["s0 (fid) AS (SELECT %s::bytea)"]
    parameters: list[object] = [ROOT]
    for number, component in enumerate(components, 1):
        before, here = f"s{number - 1}", f"s{number}"
        if component == "**":
            # UNION drops what it has seen: a cycle ends.
            below = _IN_DIRECTORY.format(here, here, "link.fid IS NOT NULL")
            steps.append(f"{here} (fid) AS (SELECT fid FROM {before} UNION SELECT found.fid FROM {below})")  # noqa: S608
            continue
        test = name_condition(component)
        if number == len(components):
            test = joined([test, seen], "AND")
        condition = f"link.fid IS NOT NULL AND {test.sql}"
        if number == 2 and components[0] == "**" and literal_of(component) is not None:
            # All places of a name, and a climb from each, costs less than a walk through everything.
            steps.pop()
            climb = f"%s IN ({ABOVE.format('SELECT link.parent')})"
            steps.append(f"{here} (fid) AS (SELECT link.fid FROM link WHERE {condition} AND {climb})")  # noqa: S608
            parameters += [*test.parameters, ROOT]
            continue
        steps.append(f"{here} (fid) AS (SELECT found.fid FROM {_IN_DIRECTORY.format(before, before, condition)})")  # noqa: S608
        parameters += test.parameters
    return Clause(f"WITH RECURSIVE {', '.join(steps)} SELECT fid FROM s{len(components)}", tuple(parameters))  # noqa: S608


def probe_of_pattern(pattern: str, seen: Clause) -> Clause | None:
    """Return the condition that the object `o` has a path that matches.

    None: that is no quick look, only the whole set of `fids_of_pattern` tells.
    """
    components = components_of(pattern)
    if not rises(components):
        return None
    found = _from_below(components, joined([Clause("link.fid = o.fid"), seen], "AND"))
    return Clause(f"coalesce(({found.sql} LIMIT 1) IS NOT NULL, false)", found.parameters)


def _from_below(components: Sequence[str], also: Clause) -> Clause:
    """Return the SELECT of FIDs whose names, and those of the directories above them, match from the last one on.

    From the highest of them the root must be reached: what is in a removed directory has no path.
    """
    names = components[:0:-1]
    last = joined([Clause("link.fid IS NOT NULL"), name_condition(names[0]), also], "AND")
    steps, below = "", "link"
    parameters: list[object] = []
    for number, name in enumerate(names[1:]):
        here, test = f"above{number}", name_condition(name, f"step{number}")
        steps += (
            f" CROSS JOIN LATERAL (SELECT step{number}.parent FROM link AS step{number}"  # noqa: S608 - constants
            f" WHERE step{number}.fid = {below}.parent AND {test.sql} OFFSET 0) AS {here}"
        )
        parameters += test.parameters
        below = here
    reached = f"%s IN ({ABOVE.format(f'SELECT {below}.parent')})"
    return Clause(
        f"SELECT link.fid FROM link{steps} WHERE {last.sql} AND {reached}",  # noqa: S608
        (*parameters, *last.parameters, ROOT),
    )


ABOVE = (
    "WITH RECURSIVE above (fid) AS ({} UNION SELECT upper.parent FROM above CROSS JOIN LATERAL"
    " (SELECT link.parent FROM link WHERE link.fid = above.fid OFFSET 0) AS upper) SELECT fid FROM above"
)
"""A SELECT of some directories (a SELECT of their FIDs, to be filled in) and of all directories above them."""


def name_condition(glob: str, table: str = "link") -> Clause:
    """Return the condition that a link's name matches; a literal beginning is looked up in an index."""
    column = f"{table}.name"
    literal = literal_of(glob)
    if literal is not None:
        return Clause(f"{column} = %s", (name_bytes(literal),))
    test, value = name_test(column, glob)
    prefix = name_bytes(literal_prefix_of(glob))
    if not prefix:
        return Clause(test, (value,))
    return Clause(f"{column} >= %s AND {column} < %s AND {test}", (prefix, prefix + b"\xff" * 256, value))
