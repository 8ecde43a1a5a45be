"""Path patterns in PostgreSQL: one statement with a step for each component, from the root down."""

from __future__ import annotations

from lustre_events.fid import ROOT_FID
from lustre_events.index.globs import literal_of, literal_prefix_of, name_bytes
from lustre_events.index.paths import components_of
from lustre_events.index.postgresql_clause import Clause, joined
from lustre_events.index.postgresql_glob import name_test

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


ABOVE = (
    "WITH RECURSIVE above (fid) AS ({} UNION SELECT upper.parent FROM above CROSS JOIN LATERAL"
    " (SELECT link.parent FROM link WHERE link.fid = above.fid OFFSET 0) AS upper) SELECT fid FROM above"
)
"""A SELECT of some directories (a SELECT of their FIDs, to be filled in) and of all directories above them."""


def name_condition(glob: str) -> Clause:
    """Return the condition that link.name matches; a literal beginning is looked up in an index."""
    literal = literal_of(glob)
    if literal is not None:
        return Clause("link.name = %s", (name_bytes(literal),))
    test, value = name_test("link.name", glob)
    prefix = name_bytes(literal_prefix_of(glob))
    if not prefix:
        return Clause(test, (value,))
    return Clause(f"link.name >= %s AND link.name < %s AND {test}", (prefix, prefix + b"\xff" * 256, value))
