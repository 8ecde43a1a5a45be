"""What keeps the index right and small, in SQLite: migrations, sweeping, walks. See interface.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Move
from lustre_events.index.interface import Walk
from lustre_events.index.sqlite.database import select
from lustre_events.index.sqlite.documents import move_documents


class Upkeep:
    """The calls of `interface.Transaction` about migrations, sweeping and walks."""

    _connection: sqlite3.Connection

    def put_moves(self, moves: Iterable[Move]) -> None:
        """Remember migrations, until they are swept."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO moved (fid, target, stamp) VALUES (?, ?, ?)",
            [(move.fid.pack(), move.target.pack(), move.stamp) for move in moves],
        )

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FID of those of `fids` that migrated, over any number of remembered migrations."""
        if not self._connection.execute("SELECT 1 FROM moved LIMIT 1").fetchone():
            return {}
        steps: dict[FID, FID] = {}
        frontier = set(fids)
        while frontier:
            found = {
                FID.unpack(fid): FID.unpack(target)
                for fid, target in select(
                    self._connection, "SELECT fid, target FROM moved WHERE fid IN ({})", frontier
                )
            }
            steps |= found
            frontier = set(found.values()) - steps.keys()
        return {fid: _last(steps, fid) for fid in fids if fid in steps}

    def move_object(self, source: FID, target: FID) -> None:
        """Give all of `source` (documents, facts, generation, pending rows) to `target`, if it is stored."""
        old, new = source.pack(), target.pack()
        rows = {fid: rest for fid, *rest in self._connection.execute(
            "SELECT fid, id, generation, content, type, cause FROM object WHERE fid IN (?, ?)", (old, new)
        )}  # fmt: skip
        if old in rows and new not in rows:
            self._connection.execute("UPDATE object SET fid = ? WHERE fid = ?", (new, old))
        elif old in rows:
            # Records of the new FID came first and counted up on their own: they follow the old one's.
            (was_id, was, was_content, was_type, was_cause), (id_, is_, content, type_, cause) = (
                rows[old],
                rows[new],
            )
            for statement in _SHIFT:
                self._connection.execute(statement, {"by": was, "id": id_, "fid": new})
            move_documents(self._connection, was_id, id_)
            self._connection.execute(
                "UPDATE object SET generation = ?, content = ?, type = ?, cause = ? WHERE id = ?",
                (
                    was + is_,
                    was + content if content else was_content,
                    type_ or was_type,
                    max(was_cause, cause),
                    id_,
                ),
            )
            self._connection.execute("DELETE FROM object WHERE id = ?", (was_id,))
        # What a job finds under the old FID will not be taken: the rows that it holds are due again.
        self._connection.execute(
            "UPDATE OR IGNORE pending SET fid = ?, job = NULL,"
            " due_ns = CASE WHEN job IS NULL THEN due_ns ELSE changed_ns END WHERE fid = ?",
            (new, old),
        )
        self._connection.execute("DELETE FROM pending WHERE fid = ?", (old,))

    def sweep(self, stamp: bytes, limit: int) -> int:
        """Remove tombstones and remembered migrations with smaller stamps, about `limit`; return how many."""
        dead = self._connection.execute(
            "SELECT parent, name FROM link WHERE fid IS NULL AND stamp < ? ORDER BY stamp LIMIT ?", (stamp, limit)
        ).fetchall()
        moved = self._connection.execute(
            "SELECT fid FROM moved WHERE stamp < ? ORDER BY stamp LIMIT ?", (stamp, limit)
        ).fetchall()
        self._connection.executemany("DELETE FROM link WHERE parent = ? AND name = ?", sorted(dead))
        self._connection.executemany("DELETE FROM moved WHERE fid = ?", moved)
        return len(dead) + len(moved)

    def nameless(self, after: int, limit: int) -> tuple[list[FID], int]:
        """Return those of `limit` objects behind the id `after` without a name, and the id reached; 0: the end."""
        rows = self._connection.execute(
            "SELECT id, fid, EXISTS (SELECT 1 FROM link WHERE link.fid = object.fid)"
            " FROM object WHERE id > ? ORDER BY id LIMIT ?",
            (after, limit),
        ).fetchall()
        found = [FID.unpack(fid) for _, fid, named in rows if not named]
        return found, rows[-1][0] if len(rows) == limit else 0

    def parents(self, fids: Collection[FID]) -> set[FID]:
        """Return those of `fids` in which there is a name."""
        return {
            fid
            for fid in fids
            if self._connection.execute(
                "SELECT 1 FROM link WHERE parent = ? AND fid IS NOT NULL LIMIT 1", (fid.pack(),)
            ).fetchone()
        }

    def children(self, parent: FID, after: bytes, limit: int) -> list[tuple[bytes, FID]]:
        """Return up to `limit` names in a directory, behind the name `after`, in order."""
        rows = self._connection.execute(
            "SELECT name, fid FROM link WHERE parent = ? AND name > ? AND fid IS NOT NULL ORDER BY name LIMIT ?",
            (parent.pack(), after, limit),
        )
        return [(name, FID.unpack(fid)) for name, fid in rows]

    def walk(self) -> Walk | None:
        """Return the directory that is to be looked at next: the newest, so that few are waiting at a time."""
        row = self._connection.execute("SELECT fid, after, depth FROM walk ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else Walk(FID.unpack(row[0]), *row[1:])

    def put_walks(self, walks: Iterable[Walk]) -> None:
        """Write walks, over those of the same directories."""
        self._connection.executemany(
            "INSERT INTO walk (fid, after, depth) VALUES (?, ?, ?)"
            " ON CONFLICT (fid) DO UPDATE SET after = excluded.after, depth = excluded.depth",
            [(walk.fid.pack(), walk.after, walk.depth) for walk in walks],
        )

    def remove_walk(self, fid: FID) -> None:
        """Forget a walk that is done."""
        self._connection.execute("DELETE FROM walk WHERE fid = ?", (fid.pack(),))


_SHIFT = (
    "UPDATE document SET generation = generation + :by WHERE object = :id",
    "UPDATE document SET failure_generation = failure_generation + :by WHERE object = :id",
    "UPDATE object SET facts_generation = facts_generation + :by WHERE id = :id",
    "UPDATE pending SET generation = generation + :by WHERE fid = :fid",
)


def _last(steps: dict[FID, FID], fid: FID) -> FID:
    seen = {fid}
    while (after := steps.get(fid)) is not None and after not in seen:  # damaged records could make a circle
        seen.add(after)
        fid = after
    return fid
