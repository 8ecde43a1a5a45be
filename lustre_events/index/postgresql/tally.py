"""How many of the objects that match have which value, in PostgreSQL. See `reading.Reading.tally`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from lustre_events.index.postgresql.clause import FALSE, Clause, Condition, joined
from lustre_events.index.postgresql.filter import EXTENSION, Compiler
from lustre_events.index.reading import Tally

_NUMBERS = frozenset({"uid", "gid", "released"})
_ESCAPE = re.compile(r"\\(?:\\|([0-7]{3}))")


def tally(compiler: Compiler, condition: Condition, by: str, limit: int | None) -> list[Tally]:
    """Return the values of the objects that match, the most frequent first."""
    where = joined([condition.driven(), compiler.live], "AND")
    if by.startswith("."):
        values = _of_key(compiler, by[1:], where)
    elif by == "extractor":
        readable = compiler.readable
        values = Clause(
            "SELECT NULL::bigint AS number, d.extractor AS word, o.size FROM object o LEFT JOIN document d"  # noqa: S608
            f" ON d.object = o.id AND d.body IS NOT NULL AND {readable.sql} WHERE {where.sql}",
            (*readable.parameters, *where.parameters),
        )
    elif by == "ext":
        seen = compiler.seen
        first = (
            f'SELECT lower({EXTENSION} COLLATE "C") FROM link WHERE link.fid = o.fid AND {seen.sql}'  # noqa: S608
            " ORDER BY link.parent, link.name LIMIT 1"
        )
        values = Clause(
            f"SELECT NULL::bigint AS number, ({first}) AS word, o.size FROM object o WHERE {where.sql}",  # noqa: S608
            (*seen.parameters, *where.parameters),
        )
    else:
        number, word = (f"o.{by}", "NULL::text") if by in _NUMBERS else ("NULL::bigint", f"o.{by}")
        values = Clause(
            f"SELECT {number} AS number, {word} AS word, o.size FROM object o WHERE {where.sql}",  # noqa: S608
            where.parameters,
        )
    rows = compiler.run(
        Clause(
            "SELECT number, word, count(*), coalesce(sum(size), 0)"  # noqa: S608 - of clauses
            f" FROM ({values.sql}) AS value GROUP BY number, word"
            ' ORDER BY 3 DESC, (number IS NULL AND word IS NULL) DESC, number NULLS LAST, word COLLATE "C"'
            " LIMIT %s",
            (*values.parameters, None if by == "ext" else limit),
        )
    )
    found = [Tally(word if number is None else number, files, int(size)) for number, word, files, size in rows]
    return _of_names(found)[:limit] if by == "ext" else found


def _of_key(compiler: Compiler, key: str, where: Clause) -> Clause:
    ids = ",".join(map(str, compiler.key_ids(key)))
    test = joined([Clause(f"t.key IN ({ids})") if ids else FALSE, compiler.readable, where], "AND")
    # UNION: an object that has a value twice counts once.
    found = [
        f"SELECT {columns}, o.size, o.id FROM {table} t JOIN object o ON o.id = t.object WHERE {test.sql}"  # noqa: S608
        for table, columns in (
            ("number", "t.value AS number, NULL::text AS word"),
            ("word", "NULL::double precision AS number, t.value AS word"),
        )
    ]
    return Clause(" UNION ".join(found), test.parameters * 2)


def _of_names(tallies: Iterable[Tally]) -> list[Tally]:
    """Return tallies by text for those by what encode(..., 'escape') made of names."""
    sums: dict[str | None, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for each in tallies:
        value = None if each.value is None else _text(str(each.value))
        files, size = sums[value]
        sums[value] = (files + each.files, size + each.bytes)
    ordered = sorted(sums.items(), key=lambda item: (-item[1][0], item[0] is not None, item[0] or ""))
    return [Tally(value, files, size) for value, (files, size) in ordered]


def _text(escaped: str) -> str:
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 8)) if match[1] else "\\", escaped)
    return raw.encode("latin-1").decode("utf-8", "replace")
