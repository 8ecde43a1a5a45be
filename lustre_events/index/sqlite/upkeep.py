"""What keeps the index right and small, in SQLite: migrations, sweeping, walks. See interface.py."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Link, Move, base_stamp, present_of, sorted_by_type
from lustre_events.index.interface import Walk
from lustre_events.index.sqlite.among import select
from lustre_events.index.sqlite.documents import move_documents
from lustre_events.index.writer_cache import Remembered


class Upkeep:
    """The calls of `interface.Transaction` about migrations, sweeping and walks."""

    _connection: sqlite3.Connection
    _remembered: Remembered

    def put_moves(self, moves: Iterable[Move]) -> None:
        """Remember migrations, until they are swept; of one FID the latest one."""
        rows = [(move.fid.pack(), move.target.pack(), move.stamp, move.stamp) for move in moves]
        if rows:
            reached = self._reached()
            self._connection.executemany(
                "INSERT INTO moved (fid, target, stamp, look) VALUES (?, ?, ?, max(?, ?)) ON CONFLICT (fid)"
                " DO UPDATE SET target = excluded.target, stamp = excluded.stamp, look = excluded.look, open = 1,"
                " kept = 0 WHERE excluded.stamp > stamp",
                [(*row, reached) for row in rows],
            )

    def any_moved(self) -> bool:
        """Return whether any migration is remembered."""
        return self._connection.execute("SELECT 1 FROM moved LIMIT 1").fetchone() is not None

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FID of those of `fids` that have another one, over any number of migrations."""
        return moved_of(self._connection, fids)

    def open_moves(self, limit: int) -> list[FID]:
        """Return up to `limit` old FIDs under which the index may still have names."""
        rows = self._connection.execute("SELECT fid FROM moved WHERE open = 1 LIMIT ?", (limit,))
        return [FID.unpack(row[0]) for row in rows]

    def close_moves(self, fids: Collection[FID]) -> None:
        """Remember that no name is left under these old FIDs."""
        self._connection.executemany("UPDATE moved SET open = 0 WHERE fid = ?", [(fid.pack(),) for fid in fids])

    def take_names(self, fids: Collection[FID]) -> list[Link]:
        """Remove all names of `fids`, and return them."""
        return self._take("SELECT parent, name, fid, stamp FROM link WHERE fid IN ({})", fids, -1)

    def take_children(self, parents: Collection[FID], limit: int) -> list[Link]:
        """Remove up to `limit` names in directories, tombstones too, and return them."""
        return self._take("SELECT parent, name, fid, stamp FROM link WHERE parent IN ({})", parents, limit)

    def _take(self, statement: str, fids: Collection[FID], limit: int) -> list[Link]:
        bounded = f"{statement} LIMIT {limit}"
        rows = list(itertools.islice(select(self._connection, bounded, fids), limit if limit >= 0 else None))
        self._connection.executemany("DELETE FROM link WHERE parent = ? AND name = ?", [row[:2] for row in rows])
        return [
            Link(FID.unpack(parent), name, None if fid is None else FID.unpack(fid), stamp)
            for parent, name, fid, stamp in rows
        ]

    def release_moves(self, fids: Collection[FID]) -> None:
        """Let the migrations of objects that are removed be swept, once all that is logged by now is here."""
        frontier = set(fids) if self.any_moved() else set()
        found: set[FID] = set()
        while frontier:
            rows = select(self._connection, "SELECT fid FROM moved WHERE target IN ({})", frontier)
            frontier = {FID.unpack(row[0]) for row in rows} - found
            found |= frontier
        if found:
            reached = self._reached()
            self._connection.executemany(
                "UPDATE moved SET kept = 0, look = max(look, ?) WHERE fid = ?",
                [(reached, fid.pack()) for fid in found],
            )

    def _reached(self) -> bytes:
        """Return the stamp up to which records have come."""
        return base_stamp(self._connection.execute("SELECT coalesce(max(eff_time), 0) FROM cursor").fetchone()[0])

    def move_object(self, source: FID, target: FID) -> None:
        """Give all of `source` (documents, facts, generation, pending rows) to `target`, if it is stored."""
        self._remembered.clear()
        old, new = source.pack(), target.pack()
        rows = {fid: rest for fid, *rest in self._connection.execute(
            "SELECT fid, id, generation, content, rights, type, cause FROM object WHERE fid IN (?, ?)", (old, new)
        )}  # fmt: skip
        if old in rows and new not in rows:
            self._connection.execute("UPDATE object SET fid = ? WHERE fid = ?", (new, old))
        elif old in rows:
            # Records of the new FID came first and counted up on their own: they follow the old one's.
            was_id, was, was_content, was_rights, was_type, was_cause = rows[old]
            id_, is_, content, rights, type_, cause = rows[new]
            for statement in _SHIFT:
                self._connection.execute(statement, {"by": was, "id": id_, "fid": new})
            move_documents(self._connection, was_id, id_)
            self._connection.execute(
                "UPDATE object SET generation = ?, content = ?, rights = ?, type = ?, cause = ? WHERE id = ?",
                (
                    was + is_,
                    was + content if content else was_content,
                    was + rights if rights else was_rights,
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
        self._connection.execute("UPDATE OR REPLACE walk SET fid = ? WHERE fid = ?", (new, old))

    def sweep(self, stamp: bytes, limit: int) -> int:
        """Remove tombstones and remembered migrations with smaller stamps, about `limit`; return how many."""
        dead = self._connection.execute(
            "SELECT parent, name FROM link WHERE fid IS NULL AND stamp < ? ORDER BY stamp LIMIT ?", (stamp, limit)
        ).fetchall()
        self._connection.executemany("DELETE FROM link WHERE parent = ? AND name = ?", sorted(dead))
        return len(dead) + self._sweep_moves(stamp, limit)

    def _sweep_moves(self, stamp: bytes, limit: int) -> int:
        rows = self._connection.execute(
            "SELECT fid FROM moved WHERE kept = 0 AND look < ? AND open = 0 ORDER BY look LIMIT ?", (stamp, limit)
        ).fetchall()
        old = [FID.unpack(row[0]) for row in rows]
        present = self.moved(old)
        asked = {present.get(fid, fid) for fid in old}
        found_types = select(self._connection, "SELECT fid, type FROM object WHERE fid IN ({})", asked)
        types = {FID.unpack(fid): type_ for fid, type_ in found_types}
        found = sorted_by_type(old, present, types)
        self._connection.executemany(
            "UPDATE moved SET kept = 1 WHERE fid = ?", [(fid.pack(),) for fid in found.directories]
        )
        reached = self._reached() if found.unknown else b""
        self._connection.executemany(
            "UPDATE moved SET look = ? WHERE fid = ?", [(reached, fid.pack()) for fid in found.unknown]
        )
        self._connection.executemany("DELETE FROM moved WHERE fid = ?", [(fid.pack(),) for fid in found.others])
        return len(found.others)

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
        """Return the directory that is to be looked at next: the newest, so that few are waiting at once."""
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


def moved_of(connection: sqlite3.Connection, fids: Collection[FID]) -> dict[FID, FID]:
    """See `Upkeep.moved`."""
    steps: dict[FID, Move] = {}
    frontier = set(fids)
    while frontier:
        found = {
            FID.unpack(fid): Move(FID.unpack(fid), FID.unpack(target), stamp)
            for fid, target, stamp in select(
                connection, "SELECT fid, target, stamp FROM moved WHERE fid IN ({})", frontier
            )
        }
        steps |= found
        frontier = {move.target for move in found.values()} - steps.keys()
    return {fid: last for fid in fids if fid in steps and (last := present_of(steps, fid)) != fid}
