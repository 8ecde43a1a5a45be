"""Comparing the index with the file system itself, in PostgreSQL: links by place, scans. See interface.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Link, Place
from lustre_events.index.interface import Facts, ObjectRow, ScanState
from lustre_events.index.postgresql.database import packed
from lustre_events.index.postgresql.session import FACTS, FACTS_ARRAYS, Session, columns, facts_values
from lustre_events.index.values import clean

_ADD_OBJECTS = (
    f"INSERT INTO object (fid, generation, content, jobid, cause, facts_generation, {', '.join(FACTS)})"  # noqa: S608
    " SELECT * FROM unnest(%b::bytea[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[], %b::bigint[],"
    f" {FACTS_ARRAYS})"
)


class Scans(Session):
    """The calls of `interface.Transaction` about places, heals and scans."""

    def links(self, places: Collection[Place]) -> dict[Place, Link]:
        """Return what is written of those of `places` that are known, tombstones too."""
        if not places:
            return {}
        rows = self._run(
            "SELECT parent, name, fid, stamp FROM unnest(%b::bytea[], %b::bytea[]) AS asked (parent, name)"
            " JOIN link USING (parent, name)",
            *columns([(parent.pack(), name) for parent, name in places]),
        )
        links = [_link(*row) for row in rows]
        return {(link.parent, link.name): link for link in links}

    def links_between(self, parent: FID, after: bytes, last: bytes | None) -> list[Link]:
        """Return the links of a directory behind the name `after` up to `last` (None: to the end)."""
        until, values = ("", []) if last is None else (" AND name <= %s", [last])
        rows = self._run(
            f"SELECT parent, name, fid, stamp FROM link WHERE parent = %s AND name > %s{until} ORDER BY name",  # noqa: S608
            parent.pack(), after, *values,
        )  # fmt: skip
        return [_link(*row) for row in rows]

    def links_of(self, fids: Collection[FID]) -> dict[FID, list[Link]]:
        """Return the present names of those of `fids` that have one."""
        found: dict[FID, list[Link]] = defaultdict(list)
        if fids:
            for row in self._run(
                "SELECT parent, name, fid, stamp FROM link WHERE fid = ANY(%b::bytea[])", packed(fids)
            ):
                found[FID.unpack(row[2])].append(_link(*row))
        return dict(found)

    def add_objects(self, found: Iterable[tuple[ObjectRow, Facts]]) -> None:
        """Write new objects together with their facts, which are of the rows' generation."""
        found = list(found)
        self._remembered.changed(row.fid for row, _ in found)
        rows = [
            (
                row.fid.pack(), row.generation, row.content, row.jobid, row.cause, row.generation,
                *facts_values(facts),
            )
            for row, facts in found
        ]  # fmt: skip
        if rows:
            self._run(_ADD_OBJECTS, *columns(rows))

    def oldest_ask(self) -> int:
        """Return the earliest `handed_out_ns` of the `heal` and `scan` rows that a job holds; 0: there is none."""
        row = self._run(
            "SELECT min(handed_out_ns) FROM pending WHERE extractor IN ('heal', 'scan') AND job IS NOT NULL"
        ).fetchone()
        return int((row and row[0]) or 0)

    def begin_scan(self, fid: FID, now_ns: int, keep: int) -> int:
        """Remember a new scan and return its id; of the older ones remember only the newest `keep`."""
        row = self._run(
            "INSERT INTO scan (fid, began_ns) VALUES (%s, %s) RETURNING id", fid.pack(), now_ns
        ).fetchone()
        scan = int(row[0]) if row else 0
        self._run("DELETE FROM scan WHERE id < %s", scan - keep)
        return scan

    def count_scan(self, scan: int, directories: int, files: int) -> None:
        """Add to what a scan has listed."""
        self._run(
            "UPDATE scan SET directories = directories + %s, files = files + %s WHERE id = %s",
            directories, files, scan,
        )  # fmt: skip

    def put_unreadable(self, scan: int, fid: FID, error: str) -> None:
        """Remember a directory that a scan could not read."""
        self._run(
            "INSERT INTO unreadable (scan, fid, error) SELECT id, %s, %s FROM scan WHERE id = %s"
            " ON CONFLICT (scan, fid) DO UPDATE SET error = excluded.error",
            fid.pack(), clean(error), scan,
        )  # fmt: skip

    def scan(self, scan: int, limit: int) -> ScanState | None:
        """Return a scan with up to `limit` of the directories that it could not read; None: none is remembered."""
        row = self._run("SELECT fid, began_ns, directories, files FROM scan WHERE id = %s", scan).fetchone()
        if row is None:
            return None
        left = self._run("SELECT count(*) FROM pending WHERE extractor = 'scan' AND scan = %s", scan).fetchone()
        unreadable = self._run(
            "SELECT fid, error FROM unreadable WHERE scan = %s ORDER BY fid LIMIT %s", scan, limit
        )
        found = tuple((FID.unpack(fid), error) for fid, error in unreadable)
        return ScanState(scan, FID.unpack(row[0]), row[1], row[2], row[3], int(left[0]) if left else 0, found)


def _link(parent: bytes, name: bytes, fid: bytes | None, stamp: bytes) -> Link:
    return Link(FID.unpack(parent), name, None if fid is None else FID.unpack(fid), stamp)
