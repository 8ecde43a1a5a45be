"""What keeps the index right and small, in PostgreSQL: migrations, sweeping, walks. See interface.py."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Link, Move, base_stamp, present_of, sorted_by_type
from lustre_events.index.interface import Walk
from lustre_events.index.postgresql.database import packed
from lustre_events.index.postgresql.documents import Documents
from lustre_events.index.postgresql.session import columns


class Upkeep(Documents):
    """The calls of `interface.Transaction` about migrations, sweeping and walks."""

    def put_moves(self, moves: Iterable[Move]) -> None:
        """Remember migrations, until they are swept; of one FID the latest one."""
        latest: dict[FID, Move] = {}
        for move in moves:
            if move.fid not in latest or move.stamp >= latest[move.fid].stamp:
                latest[move.fid] = move
        if not latest:
            return
        reached = self._reached()
        rows = [
            (move.fid.pack(), move.target.pack(), move.stamp, max(move.stamp, reached)) for move in latest.values()
        ]
        self._run(
            "INSERT INTO moved (fid, target, stamp, look)"
            " SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[]) ON CONFLICT (fid)"
            " DO UPDATE SET target = excluded.target, stamp = excluded.stamp, look = excluded.look,"
            " open = 1, kept = 0"
            " WHERE excluded.stamp > moved.stamp",
            *columns(rows),
        )

    def any_moved(self) -> bool:
        """Return whether any migration is remembered."""
        return self._run("SELECT 1 FROM moved LIMIT 1").fetchone() is not None

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FID of those of `fids` that have another one, over any number of migrations."""
        return moved_of(lambda some: self._run(MOVED, packed(some)), fids)

    def open_moves(self, limit: int) -> list[FID]:
        """Return up to `limit` old FIDs under which the index may still have names."""
        return [FID.unpack(row[0]) for row in self._run("SELECT fid FROM moved WHERE open = 1 LIMIT %s", limit)]

    def close_moves(self, fids: Collection[FID]) -> None:
        """Remember that no name is left under these old FIDs."""
        if fids:
            self._run("UPDATE moved SET open = 0 WHERE fid = ANY(%b::bytea[])", packed(fids))

    def take_names(self, fids: Collection[FID]) -> list[Link]:
        """Remove all names of `fids`, and return them."""
        if not fids:
            return []
        return _links(self._run(
            "DELETE FROM link WHERE fid = ANY(%b::bytea[]) RETURNING parent, name, fid, stamp", packed(fids)
        ))  # fmt: skip

    def take_children(self, parents: Collection[FID], limit: int) -> list[Link]:
        """Remove up to `limit` names in directories, tombstones too, and return them."""
        if not parents:
            return []
        return _links(self._run(
            "WITH taken AS (SELECT parent, name FROM link WHERE parent = ANY(%b::bytea[]) LIMIT %s)"
            " DELETE FROM link USING taken WHERE link.parent = taken.parent AND link.name = taken.name"
            " RETURNING link.parent, link.name, link.fid, link.stamp",
            packed(parents), limit,
        ))  # fmt: skip

    def release_moves(self, fids: Collection[FID]) -> None:
        """Let the migrations of objects that are removed be swept, once all that is logged by now is here."""
        frontier = set(fids) if fids and self.any_moved() else set()
        found: set[FID] = set()
        while frontier:
            rows = self._run("SELECT fid FROM moved WHERE target = ANY(%b::bytea[])", packed(frontier))
            frontier = {FID.unpack(row[0]) for row in rows} - found
            found |= frontier
        if found:
            self._run(
                "UPDATE moved SET kept = 0, look = greatest(look, %s) WHERE fid = ANY(%b::bytea[])",
                self._reached(), packed(found),
            )  # fmt: skip

    def _reached(self) -> bytes:
        """Return the stamp up to which records have come."""
        row = self._run("SELECT coalesce(max(eff_time), 0) FROM cursor").fetchone()
        return base_stamp(int(row[0]) if row else 0)

    def move_object(self, source: FID, target: FID) -> None:
        """Give all of `source` (documents, facts, generation, pending rows) to `target`, if it is stored."""
        self._remembered.clear()
        old, new = source.pack(), target.pack()
        found = self._run(
            "SELECT fid, id, generation, content, rights, type, cause FROM object WHERE fid = ANY(%b::bytea[])"
            " ORDER BY id FOR UPDATE",  # what an indexer has written until now is seen by what follows
            [old, new],
        )
        rows = {fid: rest for fid, *rest in found}
        if old in rows and new not in rows:
            self._run("UPDATE object SET fid = %s WHERE fid = %s", new, old)
        elif old in rows:
            # Records of the new FID came first and counted up on their own: they follow the old one's.
            was_id, was, was_content, was_rights, was_type, was_cause = rows[old]
            id_, is_, content, rights, type_, cause = rows[new]
            for statement, key in _SHIFT:
                self._run(statement, was, new if key == "fid" else id_)
            self.move_documents(was_id, id_)
            self._run(
                "UPDATE object SET generation = %s, content = %s, rights = %s, type = %s, cause = %s WHERE id = %s",
                was + is_, was + content if content else was_content, was + rights if rights else was_rights,
                type_ or was_type, max(was_cause, cause), id_,
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
        self._run("DELETE FROM walk WHERE fid = %s AND EXISTS (SELECT 1 FROM walk WHERE fid = %s)", new, old)
        self._run("UPDATE walk SET fid = %s WHERE fid = %s", new, old)

    def sweep(self, stamp: bytes, limit: int) -> int:
        """Remove tombstones and remembered migrations with smaller stamps, about `limit`; return how many."""
        dead = self._count(
            "WITH dead AS (SELECT parent, name FROM link WHERE fid IS NULL AND stamp < %s ORDER BY stamp LIMIT %s)"
            " DELETE FROM link USING dead WHERE link.parent = dead.parent AND link.name = dead.name",
            stamp, limit,
        )  # fmt: skip
        return dead + self._sweep_moves(stamp, limit)

    def _sweep_moves(self, stamp: bytes, limit: int) -> int:
        rows = self._run(
            "SELECT fid FROM moved WHERE kept = 0 AND look < %s AND open = 0 ORDER BY look LIMIT %s", stamp, limit
        )
        old = [FID.unpack(row[0]) for row in rows]
        if not old:
            return 0
        present = self.moved(old)
        asked = packed({present.get(fid, fid) for fid in old})
        types = {
            FID.unpack(fid): type_
            for fid, type_ in self._run("SELECT fid, type FROM object WHERE fid = ANY(%b::bytea[])", asked)
        }
        found = sorted_by_type(old, present, types)
        self._run("UPDATE moved SET kept = 1 WHERE fid = ANY(%b::bytea[])", packed(found.directories))
        if found.unknown:
            self._run(
                "UPDATE moved SET look = %b WHERE fid = ANY(%b::bytea[])", self._reached(), packed(found.unknown)
            )
        self._run("DELETE FROM moved WHERE fid = ANY(%b::bytea[])", packed(found.others))
        return len(found.others)

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
        """Return the directory that is to be looked at next: the newest, so that few are waiting at once."""
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


MOVED = "SELECT fid, target, stamp FROM moved WHERE fid = ANY(%b::bytea[])"


def moved_of(
    ask: Callable[[Collection[FID]], Iterable[tuple[bytes, bytes, bytes]]], fids: Collection[FID]
) -> dict[FID, FID]:
    """See `Upkeep.moved`; `ask` gives the rows of `MOVED`."""
    steps: dict[FID, Move] = {}
    frontier = set(fids)
    while frontier:
        found = {
            FID.unpack(fid): Move(FID.unpack(fid), FID.unpack(target), stamp)
            for fid, target, stamp in ask(frontier)
        }
        steps |= found
        frontier = {move.target for move in found.values()} - steps.keys()
    return {fid: last for fid in fids if fid in steps and (last := present_of(steps, fid)) != fid}


def _links(rows: Iterable[tuple[bytes, bytes, bytes | None, bytes]]) -> list[Link]:
    return [
        Link(FID.unpack(parent), name, None if fid is None else FID.unpack(fid), stamp)
        for parent, name, fid, stamp in rows
    ]
