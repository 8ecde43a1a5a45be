"""The values of the objects that match, as a SELECT that a database counts. See `backend.Reading.tally`."""

from __future__ import annotations

from lustre_events.index.fields import FIELDS, NUMBERS
from lustre_events.index.planner.clause import FALSE, Clause, SqlCondition, all_hold
from lustre_events.index.planner.planner import Planner

_NUMBERS = {field.source for field in FIELDS.values() if field.countable and field.type in NUMBERS}


def values(planner: Planner, condition: SqlCondition, by: str) -> Clause:
    """Return a SELECT of the columns of `Dialect.value` and `size`, with a row for each value of an object."""
    where = all_hold(planner.driven(condition), planner.live)
    value = planner.dialect.value
    if by.startswith("."):
        return _of_key(planner, by[1:], where)
    if by == "extractor":
        documents = all_hold(Clause("d.object = o.id AND d.body IS NOT NULL"), planner.readable)
        return Clause.of(
            "SELECT {}, o.size AS size FROM object o LEFT JOIN document d ON {} WHERE {}",
            value("d.extractor", number=False), documents, where,
        )  # fmt: skip
    if by == "ext":
        first = Clause.of(
            "(SELECT {} FROM link WHERE {} ORDER BY link.parent, link.name LIMIT 1)",
            planner.dialect.ending, planner.name_of_object(),
        )  # fmt: skip
        columns = Clause(value(first.sql, number=False), first.parameters)
    else:
        columns = Clause(value(f"o.{by}", number=by in _NUMBERS))
    return Clause.of("SELECT {}, o.size AS size FROM object o WHERE {}", columns, where)


def _of_key(planner: Planner, key: str, where: Clause) -> Clause:
    ids = ",".join(map(str, planner.key_ids(key)))
    test = all_hold(Clause(f"t.key IN ({ids})") if ids else FALSE, planner.readable, where)
    parts = [
        Clause.of(
            f"SELECT {{}}, o.size AS size, o.id FROM {table} t {planner.dialect.key_join} object o"  # noqa: S608
            " ON o.id = t.object WHERE {}",
            planner.dialect.value("t.value", number=table == "number"), test,
        )
        for table in ("number", "word")
    ]  # fmt: skip
    # UNION: an object that has a value twice counts once.
    return Clause.of("{} UNION {}", *parts)
