"""What keeps the index right and small, in PostgreSQL: migrations, sweeping, walks. See interface.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Move
from lustre_events.index.interface import Walk
from lustre_events.index.postgresql.database import packed
from lustre_events.index.postgresql.documents import Documents
from lustre_events.index.postgresql.session import columns


class Upkeep(Documents):
    """The calls of `interface.Transaction` about migrations, sweeping and walks."""

    def put_moves(self, moves: Iterable[Move]) -> None:
        """Remember migrations, until they are swept."""
        rows = {move.fid: (move.fid.pack(), move.target.pack(), move.stamp) for move in moves}
        if rows:
            self._run(
                "INSERT INTO moved (fid, target, stamp) SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[])"
                " ON CONFLICT (fid) DO UPDATE SET target = excluded.target, stamp = excluded.stamp",
                *columns([*rows.values()]),
            )

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FID of those of `fids` that migrated, over any number of remembered migrations."""
        steps: dict[FID, FID] = {}
        frontier = set(fids)
        while frontier:
            rows = self._run("SELECT fid, target FROM moved WHERE fid = ANY(%b::bytea[])", packed(frontier))
            found = {FID.unpack(fid): FID.unpack(target) for fid, target in rows}
            steps |= found
            frontier = set(found.values()) - steps.keys()
        return {fid: last_step(steps, fid) for fid in fids if fid in steps}

    def move_object(self, source: FID, target: FID) -> None:
        """Give all of `source` (documents, facts, generation, pending rows) to `target`, if it is stored."""
        old, new = source.pack(), target.pack()
        found = self._run(
            "SELECT fid, id, generation, content, type, cause FROM object WHERE fid = ANY(%b::bytea[])", [old, new]
        )
        rows = {fid: rest for fid, *rest in found}
        if old in rows and new not in rows:
            self._run("UPDATE object SET fid = %s WHERE fid = %s", new, old)
        elif old in rows:
            # Records of the new FID came first and counted up on their own: they follow the old one's.
            was_id, was, was_content, was_type, was_cause = rows[old]
            id_, is_, content, type_, cause = rows[new]
            self._facts_generations.clear()
            for statement, key in _SHIFT:
                self._run(statement, was, new if key == "fid" else id_)
            self.move_documents(was_id, id_)
            self._run(
                "UPDATE object SET generation = %s, content = %s, type = %s, cause = %s WHERE id = %s",
                was + is_, was + content if content else was_content, type_ or was_type, max(was_cause, cause), id_,
            )  # fmt: skip
            self._run("DELETE FROM object WHERE id = %s", was_id)
        # What a job finds under the old FID will not be taken: the rows that it holds are due again.
        self._run(
            "UPDATE pending SET fid = %s, job = NULL,"
            " due_ns = CASE WHEN job IS NULL THEN due_ns ELSE changed_ns END WHERE fid = %s"
            " AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.fid = %s AND p.extractor = pending.extractor)",
            new, old, new,
        )  # fmt: skip
        self._run("DELETE FROM pending WHERE fid = %s", old)

    def sweep(self, stamp: bytes, limit: int) -> int:
        """Remove tombstones and remembered migrations with smaller stamps, about `limit`; return how many."""
        dead = self._run(
            "WITH dead AS (SELECT parent, name FROM link WHERE fid IS NULL AND stamp < %s ORDER BY stamp LIMIT %s)"
            " DELETE FROM link USING dead WHERE link.parent = dead.parent AND link.name = dead.name",
            stamp, limit,
        )  # fmt: skip
        moved = self._run(
            "DELETE FROM moved WHERE fid IN (SELECT fid FROM moved WHERE stamp < %s ORDER BY stamp LIMIT %s)",
            stamp, limit,
        )  # fmt: skip
        return dead.rowcount + moved.rowcount

    def nameless(self, after: int, limit: int) -> tuple[list[FID], int]:
        """Return those of `limit` objects behind the id `after` without a name, and the id reached; 0: the end."""
        rows = self._run(
            "SELECT id, fid, EXISTS (SELECT 1 FROM link WHERE link.fid = object.fid)"
            " FROM object WHERE id > %s ORDER BY id LIMIT %s",
            after, limit,
        ).fetchall()  # fmt: skip
        found = [FID.unpack(fid) for _, fid, named in rows if not named]
        return found, rows[-1][0] if len(rows) == limit else 0

    def parents(self, fids: Collection[FID]) -> set[FID]:
        """Return those of `fids` in which there is a name."""
        if not fids:
            return set()
        rows = self._run(
            "SELECT fid FROM unnest(%b::bytea[]) AS asked (fid)"
            " WHERE EXISTS (SELECT 1 FROM link WHERE link.parent = asked.fid AND link.fid IS NOT NULL)",
            packed(fids),
        )
        return {FID.unpack(row[0]) for row in rows}

    def children(self, parent: FID, after: bytes, limit: int) -> list[tuple[bytes, FID]]:
        """Return up to `limit` names in a directory, behind the name `after`, in order."""
        rows = self._run(
            "SELECT name, fid FROM link WHERE parent = %s AND name > %s AND fid IS NOT NULL ORDER BY name LIMIT %s",
            parent.pack(), after, limit,
        )  # fmt: skip
        return [(name, FID.unpack(fid)) for name, fid in rows]

    def walk(self) -> Walk | None:
        """Return the directory that is to be looked at next: the newest, so that few are waiting at a time."""
        row = self._run("SELECT fid, after, depth FROM walk ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else Walk(FID.unpack(row[0]), *row[1:])

    def put_walks(self, walks: Iterable[Walk]) -> None:
        """Write walks, over those of the same directories."""
        rows = {walk.fid: (walk.fid.pack(), walk.after, walk.depth) for walk in walks}
        if rows:
            self._run(
                "INSERT INTO walk (fid, after, depth) SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::integer[])"
                " ON CONFLICT (fid) DO UPDATE SET after = excluded.after, depth = excluded.depth",
                *columns([*rows.values()]),
            )

    def remove_walk(self, fid: FID) -> None:
        """Forget a walk that is done."""
        self._run("DELETE FROM walk WHERE fid = %s", fid.pack())


_SHIFT = (
    ("UPDATE document SET generation = generation + %s WHERE object = %s", "id"),
    ("UPDATE document SET failure_generation = failure_generation + %s WHERE object = %s", "id"),
    ("UPDATE object SET facts_generation = facts_generation + %s WHERE id = %s", "id"),
    ("UPDATE pending SET generation = generation + %s WHERE fid = %s", "fid"),
)


def last_step(steps: dict[FID, FID], fid: FID) -> FID:
    """Return where the steps from `fid` lead; damaged records could make a circle."""
    seen = {fid}
    while (after := steps.get(fid)) is not None and after not in seen:
        seen.add(after)
        fid = after
    return fid
