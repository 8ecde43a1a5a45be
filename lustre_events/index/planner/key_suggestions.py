"""Suggestions: names that an index has, for a name that it does not have. See `backend.Reading`."""

from __future__ import annotations

from lustre_events.index.planner.clause import Clause
from lustre_events.index.planner.dialect import Dialect

_AWAY = 3
"""By how many characters a suggested key may be longer or shorter than what was written."""


def keys(dialect: Dialect, near: str, limit: int) -> list[tuple[str, str]]:
    """Return keys that are like one that somebody wrote; see `Reading.keys`."""
    mark = dialect.mark
    last = near.rpartition(".")[2]
    pattern = _literal(last)
    steps = f"lower(name) LIKE {mark} ESCAPE '!' OR lower(name) LIKE {mark} ESCAPE '!'"
    away = [f"abs(length(name) - {length})" for length in (len(near), len(last))]
    found = Clause(
        f"SELECT extractor, name FROM key WHERE {steps} OR {' OR '.join(f'{each} <= {_AWAY}' for each in away)}"  # noqa: S608
        f" ORDER BY CASE WHEN {steps} THEN 0 ELSE 1 END, {away[0]}, id LIMIT {mark}",
        (*(f"%.{pattern}", f"{pattern}.%") * 2, limit),
    )  # fmt: skip
    return [(str(extractor), str(name)) for extractor, name in dialect.run(found)]


def keys_from(dialect: Dialect, prefix: str, limit: int) -> list[tuple[str, str]]:
    """Return keys of which a step begins so; see `Reading.keys_from`."""
    mark = dialect.mark
    begins, inside = (f"lower(name) LIKE {mark} ESCAPE '!'" for _ in range(2))
    of = f"(lower(extractor) = {mark} AND lower(name) LIKE {mark} ESCAPE '!')"
    extractor, dot, rest = prefix.lower().partition(".")
    pattern, own = _literal(prefix), _literal(rest)
    first = (f"{pattern}%", extractor if dot else "", f"{own}%")
    found = Clause(
        f"SELECT extractor, name FROM key WHERE {begins} OR {of} OR {inside}"  # noqa: S608 - constants
        f" ORDER BY CASE WHEN {begins} OR {of} THEN 0 ELSE 1 END, length(name), name, extractor LIMIT {mark}",
        (*first, f"%.{pattern}%", *first, limit),
    )
    return [(str(extractor), str(name)) for extractor, name in dialect.run(found)]


def _literal(text: str) -> str:
    """Return what LIKE takes for a text, in small letters."""
    return text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")


def extractors(dialect: Dialect, limit: int) -> list[str]:
    """Return the names of extractors; see `Reading.extractors`. Each costs one look into an index."""
    found: set[str] = set()
    for column in ("body", "failure"):
        table = dialect.documents_by_extractor(column)
        test = f"{column} IS NOT NULL AND extractor > {dialect.mark}"
        after = ""
        for _ in range(limit):
            least = f"SELECT min(extractor) FROM {table} WHERE {test}"  # noqa: S608 - constants
            after = dialect.run(Clause(least, (after,)))[0][0]
            if after is None:
                break
            found.add(after)
    return sorted(found)[:limit]
