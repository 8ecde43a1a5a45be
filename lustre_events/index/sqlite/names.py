"""The words of names in SQLite: the table `naming`, which follows the tables `link` and `object`.

Triggers of the writer's connection note what changes; `follow` writes it before a transaction ends. So whatever
changes names, or gives an object another FID, need not think of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from lustre_events.index.names import kept, text_of

_WATCH = """
CREATE TEMP TABLE IF NOT EXISTS renamed (fid BLOB NOT NULL);
CREATE TEMP TABLE IF NOT EXISTS unnamed (id INTEGER NOT NULL);
CREATE TEMP TRIGGER IF NOT EXISTS link_made AFTER INSERT ON main.link WHEN new.fid IS NOT NULL
  BEGIN INSERT INTO renamed VALUES (new.fid); END;
CREATE TEMP TRIGGER IF NOT EXISTS link_moved AFTER UPDATE OF fid ON main.link WHEN new.fid IS NOT old.fid
  BEGIN INSERT INTO renamed SELECT new.fid WHERE new.fid IS NOT NULL UNION ALL
    SELECT old.fid WHERE old.fid IS NOT NULL; END;
CREATE TEMP TRIGGER IF NOT EXISTS link_gone AFTER DELETE ON main.link WHEN old.fid IS NOT NULL
  BEGIN INSERT INTO renamed VALUES (old.fid); END;
CREATE TEMP TRIGGER IF NOT EXISTS object_made AFTER INSERT ON main.object
  BEGIN INSERT INTO renamed VALUES (new.fid); END;
CREATE TEMP TRIGGER IF NOT EXISTS object_moved AFTER UPDATE OF fid ON main.object WHEN new.fid IS NOT old.fid
  BEGIN INSERT INTO renamed VALUES (new.fid); END;
CREATE TEMP TRIGGER IF NOT EXISTS object_gone AFTER DELETE ON main.object
  BEGIN INSERT INTO unnamed VALUES (old.id); END;
"""
_PORTION = 10_000
_NAMES = (
    "SELECT o.id, link.name FROM (SELECT DISTINCT fid FROM renamed) AS r CROSS JOIN object o ON o.fid = r.fid"
    " LEFT JOIN link ON link.fid = o.fid ORDER BY o.id, link.parent, link.name"
)


def watch(connection: sqlite3.Connection) -> None:
    """Let a connection note from now on whose names change."""
    connection.executescript(_WATCH)


def follow(connection: sqlite3.Connection) -> None:
    """Write the words of the names that have changed; called within the transaction that changed them."""
    found: dict[int, list[bytes]] = {}
    for id_, name in connection.execute(_NAMES):
        found.setdefault(id_, []).append(name)
    gone = [row[0] for row in connection.execute("SELECT DISTINCT id FROM unnamed")]
    if not found and not gone:
        return
    connection.executemany("DELETE FROM naming WHERE rowid = ?", [(id_,) for id_ in sorted({*found, *gone})])
    connection.executemany(
        "INSERT INTO naming (rowid, body) VALUES (?, ?)",
        [(id_, text_of(names)) for id_, names in found.items() if names != [None]],
    )
    connection.execute("DELETE FROM renamed")
    connection.execute("DELETE FROM unnamed")


def rename_all(connection: sqlite3.Connection) -> None:
    """Fill in the folded names and the words of an index that has none (its migration)."""
    place = (b"", b"")
    while found := connection.execute(
        "SELECT parent, name FROM link WHERE (parent, name) > (?, ?) ORDER BY parent, name LIMIT ?",
        (*place, _PORTION),
    ).fetchall():
        place = found[-1]
        connection.executemany(
            "UPDATE link SET folded = ?3 WHERE parent = ?1 AND name = ?2 AND fid IS NOT NULL",
            [(parent, name, other) for parent, name in found if (other := kept(name)) is not None],
        )
    connection.executemany("INSERT INTO naming (rowid, body) VALUES (?, ?)", _all_texts(connection))


def _all_texts(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    before = 0
    names: list[bytes] = []
    for id_, name in connection.execute(
        "SELECT o.id, link.name FROM object o CROSS JOIN link ON link.fid = o.fid ORDER BY o.id"
    ):
        if id_ != before and names:
            yield before, text_of(names)
            names = []
        before = id_
        names.append(name)
    if names:
        yield before, text_of(names)
