"""How many of the objects that match have which value, in PostgreSQL. See `backend.Reading.tally`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from lustre_events.index.backend import ValueCount
from lustre_events.index.planner.clause import Clause, SqlCondition
from lustre_events.index.planner.planner import Planner
from lustre_events.index.planner.tally import values
from lustre_events.index.postgresql.numeric import plain

_ESCAPE = re.compile(r"\\(?:\\|([0-7]{3}))")


def tally(planner: Planner, condition: SqlCondition, by: str, limit: int | None) -> list[ValueCount]:
    """Return the values of the objects that match, the most frequent first."""
    found = values(planner, condition, by)
    rows = planner.dialect.run(
        Clause(
            "SELECT number, word, count(*), coalesce(sum(size), 0)"  # noqa: S608 - of clauses
            f" FROM ({found.sql}) AS value GROUP BY number, word"
            ' ORDER BY 3 DESC, (number IS NULL AND word IS NULL) DESC, number NULLS LAST, word COLLATE "C"'
            " LIMIT %s",
            (*found.parameters, None if by == "ext" else limit),
        )
    )
    tallies = [
        ValueCount(word if number is None else plain(number), files, int(size))
        for number, word, files, size in rows
    ]
    return _of_names(tallies)[:limit] if by == "ext" else tallies


def _of_names(tallies: Iterable[ValueCount]) -> list[ValueCount]:
    """Return tallies by text for those by what encode(..., 'escape') made of names."""
    sums: dict[str | None, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for each in tallies:
        value = None if each.value is None else _text(str(each.value))
        files, size = sums[value]
        sums[value] = (files + each.files, size + each.bytes)
    ordered = sorted(sums.items(), key=lambda item: (-item[1][0], item[0] is not None, item[0] or ""))
    return [ValueCount(value, files, size) for value, (files, size) in ordered]


def _text(escaped: str) -> str:
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 8)) if match[1] else "\\", escaped)
    return raw.encode("latin-1").decode("utf-8", "replace")
