"""How many of the objects that match have which value, in SQLite. See `reading.Reading.tally`."""

from __future__ import annotations

import sqlite3

from lustre_events.index.query.tree import Node
from lustre_events.index.reading import Tally
from lustre_events.index.sqlite.clause import Clause
from lustre_events.index.sqlite.filter import Compiler


def tally(
    connection: sqlite3.Connection, compiler: Compiler, node: Node, by: str, limit: int | None
) -> list[Tally]:  # fmt: skip
    """Return the values of the objects that match, the most frequent first."""
    driven = compiler.compile(node).driven()
    where = Clause(f"{driven.sql} AND {compiler.live}", driven.parameters)
    if by.startswith("."):
        values = _of_key(compiler, by[1:], where)
    elif by == "extractor":
        readable = " AND le_readable(o.uid, o.gid, o.mode, o.acl)" if compiler.limited else ""
        values = Clause(
            "SELECT d.extractor AS value, o.size AS size FROM object o LEFT JOIN document d"  # noqa: S608
            f" ON d.object = o.id AND d.body IS NOT NULL{readable} WHERE {where.sql}",
            where.parameters,
        )
    else:
        values = Clause(
            f"SELECT {_value(connection, compiler, by)} AS value, o.size AS size FROM object o WHERE {where.sql}",  # noqa: S608
            where.parameters,
        )
    rows = connection.execute(
        # In halves, because a sum of 64 bits may need more.
        "SELECT value, count(*), coalesce(sum(size >> 32), 0), coalesce(sum(size & 4294967295), 0)"  # noqa: S608
        f" FROM ({values.sql}) GROUP BY value"
        " ORDER BY 2 DESC, 1 LIMIT ?",
        (*values.parameters, -1 if limit is None else limit),
    )
    return [Tally(value, files, (high << 32) + low) for value, files, high, low in rows]


def _value(connection: sqlite3.Connection, compiler: Compiler, by: str) -> str:
    if by != "ext":
        return f"o.{by}"
    connection.create_function("le_ext", 1, extension_of, deterministic=True)
    return (
        "le_ext((SELECT link.name FROM link WHERE link.fid = o.fid"  # noqa: S608 - constants
        f"{compiler.seen} ORDER BY link.parent, link.name LIMIT 1))"
    )


def extension_of(name: bytes | None) -> str | None:
    """Return what is behind a name's last dot, ASCII letters in lower case; None where there is none."""
    stem, dot, extension = (name or b"").rpartition(b".")
    return extension.lower().decode("utf-8", "replace") if dot and stem and extension else None


def _of_key(compiler: Compiler, key: str, where: Clause) -> Clause:
    ids = ",".join(map(str, compiler.key_ids(key)))
    readable = " AND le_readable(o.uid, o.gid, o.mode, o.acl)" if compiler.limited else ""
    # UNION: an object that has a value twice counts once.
    found = [
        f"SELECT t.value AS value, o.size AS size, o.id FROM {table} t CROSS JOIN object o ON o.id = t.object"  # noqa: S608
        f" WHERE t.key IN ({ids}){readable} AND {where.sql}"
        for table in ("number", "word")
    ]
    return Clause(" UNION ".join(found), where.parameters * 2)
