"""Globs as conditions: over text, over names, and over paths, whose components become steps of one statement."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from unicodedata import normalize

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.index.names import folded_text
from lustre_events.index.paths import components_of, rises
from lustre_events.index.planner.clause import Clause, all_hold, in_a_row, joined
from lustre_events.index.planner.dialect import Dialect
from lustre_events.index.query.wildcards import literal_of, literal_prefix_of, name_bytes
from lustre_events.index.values import clean

_ROOT = ROOT_FID.pack()
_BEHIND_TEXT = "\U0010ffff" * 4
_BEHIND_NAME = b"\xff" * 256
"""Behind every text, or name, that begins like the one before it."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMED = Clause("link.fid IS NOT NULL")
FOLDED = "coalesce(link.folded, link.name)"
"""A link's name without case and accents, as an index has it."""


def stored(glob: str) -> str:
    """Return the glob of what `values.clean` makes of a text, which has a question mark for each lone surrogate."""
    return clean(_SURROGATE.sub("[?]", glob))


def text_test(dialect: Dialect, column: str, glob: str) -> Clause:
    """Return the condition that a column of text matches a glob; a literal beginning is looked up in an index."""
    return _test(dialect, column, glob, dialect.text_like, lambda text: (text, text + _BEHIND_TEXT))


def name_test(dialect: Dialect, column: str, glob: str) -> Clause:
    """Return the condition that a column of names matches a glob; a literal beginning is looked up in an index.

    A name with accents is found however they are encoded: composed, or decomposed as some systems write them.
    """
    forms = list(dict.fromkeys((glob, normalize("NFC", glob), normalize("NFD", glob))))
    if len(forms) == 1:
        return _test(dialect, column, glob, dialect.name_like, _name_bounds)
    if literal_of(glob) is not None:
        names = tuple(name_bytes(literal_of(form) or "") for form in forms)
        return Clause(f"{column} IN ({', '.join([dialect.mark] * len(names))})", names)
    either = Clause.of("({})", in_a_row([dialect.name_like(column, form) for form in forms], " OR "))
    if not literal_prefix_of(glob):
        return either
    # One range that has all of them, so that the index is of use.
    bounds = [_name_bounds(literal_prefix_of(form)) for form in forms]
    low, high = min(bounds)[0], max(bounds)[1]
    return all_hold(Clause(f"{column} >= {dialect.mark} AND {column} < {dialect.mark}", (low, high)), either)


def folded_test(dialect: Dialect, glob: str) -> Clause:
    """Return the condition that a link's name matches a glob without case and accents; an index helps."""
    return _test(dialect, FOLDED, folded_text(glob), dialect.name_like, _name_bounds)


def _found_by_name(dialect: Dialect, glob: str) -> Clause:
    """Return the condition of `name_test` on a link that is looked up by its name: only folded ones are indexed."""
    test = name_test(dialect, "link.name", glob)
    return all_hold(folded_test(dialect, glob), test) if literal_prefix_of(glob) else test


def _name_bounds(text: str) -> tuple[bytes, bytes]:
    return name_bytes(text), name_bytes(text) + _BEHIND_NAME


def _test(
    dialect: Dialect, column: str, glob: str, like: Callable[[str, str], Clause],
    bounds: Callable[[str], tuple[Any, Any]],
) -> Clause:  # fmt: skip
    literal, prefix = literal_of(glob), literal_prefix_of(glob)
    if literal is not None:
        return Clause(f"{column} = {dialect.mark}", bounds(literal)[:1])
    if not prefix:
        return like(column, glob)
    between = Clause(f"{column} >= {dialect.mark} AND {column} < {dialect.mark}", bounds(prefix))
    return all_hold(between, like(column, glob))


def fids_of_pattern(dialect: Dialect, pattern: str, seen: Clause | None) -> Clause:
    """Return a SELECT of the FIDs of all objects with a path that matches; `seen` is a condition on its last link.

    Raises:
        QueryError: the pattern has too many components.
    """
    components = components_of(pattern)
    if rises(components) and literal_prefix_of(components[-1]):
        return Clause.of("SELECT link.fid {}", _from_below(dialect, components, seen))
    steps = [Clause(f"s0 (fid) AS {dialect.kept}(SELECT {dialect.root})", (_ROOT,))]
    for number, component in enumerate(components, 1):
        before, here = f"s{number - 1}", f"s{number}"
        if component == "**":
            # UNION drops what it has seen: a cycle ends.
            below = Clause.of(dialect.in_directory, here, _NAMED)
            steps.append(Clause.of("{} (fid) AS (SELECT fid FROM {} UNION {})", here, before, below))
            continue
        last = number == len(components)
        test = all_hold(_NAMED, name_test(dialect, "link.name", component), seen if last else None)
        if number == 2 and components[0] == "**" and literal_of(component) is not None:
            # All places of a name, and a climb from each, costs less than a walk through everything.
            steps.pop()
            test = all_hold(_NAMED, _found_by_name(dialect, component), seen if last else None)
            found = Clause.of("SELECT link.fid FROM link WHERE {}", all_hold(test, _reached(dialect, "link")))
        else:
            found = Clause.of(dialect.in_directory, before, test)
        # The last one is not kept: it may end early.
        steps.append(Clause.of("{} (fid) AS {}({})", here, "" if last else dialect.kept, found))
    table = f"s{len(components)}"
    return Clause.of("WITH RECURSIVE {} SELECT fid FROM {}", in_a_row(steps, ", "), table)


def probe_of_pattern(dialect: Dialect, pattern: str, seen: Clause | None) -> Clause | None:
    """Return the condition that the object `o` has a path that matches.

    None: that is no quick look, only the whole set of `fids_of_pattern` tells.
    """
    components = components_of(pattern)
    if not rises(components):
        return None
    return Clause.of(dialect.exists, _from_below(dialect, components, all_hold(Clause("link.fid = o.fid"), seen)))


def climb_of_subtree(dialect: Dialect, pattern: str, seen: Clause | None) -> Clause | None:
    """Return the condition that the object `o` lies below a directory, by a look at what is above it.

    None: the pattern is not all that is below one directory.
    """
    directory = pattern.removesuffix("/**").rstrip("/")
    if not pattern.startswith("/") or not pattern.endswith("/**") or literal_of(directory) is None:
        return None
    parents = Clause.of("SELECT link.parent FROM link WHERE {}", all_hold(Clause("link.fid = o.fid"), seen))
    top = fids_of_pattern(dialect, directory or "/", None)
    return Clause.of("coalesce(({}) IN ({}), false)", top, Clause.of(dialect.above, parents))


def inside(dialect: Dialect, globs: Sequence[str], fids: Sequence[FID]) -> Clause:
    """Return the condition that the object `o` is one of some objects, or below one: by one climb.

    A name anywhere (`/**/*.tmp`) is looked at on the way up; what other globs match is found once.
    """
    names = [components[1] for components in map(components_of, globs) if _is_name(components)]
    others = [glob for glob in globs if not _is_name(components_of(glob))]
    tests = [
        Clause.of(
            dialect.exists,
            all_hold(Clause("FROM link WHERE link.fid = up.fid"), name_test(dialect, "link.name", name)),
        )
        for name in names
    ]
    if others:
        found = [Clause.of("SELECT fid FROM ({}) AS top", fids_of_pattern(dialect, glob, None)) for glob in others]
        tests.append(Clause.of("up.fid IN ({})", dialect.union(found)))
    if fids:
        marks = ", ".join([dialect.mark] * len(fids))
        tests.append(Clause(f"up.fid IN ({marks})", tuple(fid.pack() for fid in fids)))
    above = Clause(dialect.above.format("SELECT o.fid"))
    return Clause.of(dialect.exists, Clause.of("FROM ({}) AS up WHERE {}", above, joined(tests, "OR")))


def _is_name(components: Sequence[str]) -> bool:
    return len(components) == 2 and components[0] == "**" != components[1]


def _from_below(dialect: Dialect, components: Sequence[str], also: Clause | None) -> Clause:
    """Return FROM ... WHERE for links whose names, and those of the directories above, match from the last one on.

    From the highest of them the root must be reached: what is in a removed directory has no path.
    """
    last, *names = components[:0:-1]
    steps, below = [Clause("FROM link")], "link"
    for number, name in enumerate(names, 1):
        here = f"up{number}"
        steps.append(Clause.of(dialect.upwards, here, below, name_test(dialect, f"{here}.name", name)))
        below = here
    test = all_hold(_NAMED, _found_by_name(dialect, last), also, _reached(dialect, below))
    return Clause.of("{} WHERE {}", in_a_row(steps, " "), test)


def _reached(dialect: Dialect, table: str) -> Clause:
    return Clause(f"{dialect.mark} IN ({dialect.above.format(f'SELECT {table}.parent')})", (_ROOT,))
