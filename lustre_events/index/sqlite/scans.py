"""What the index needs to be compared with the file system, in SQLite: links by place, scans. See interface.py."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import Link, Place
from lustre_events.index.interface import Facts, ObjectRow, ScanState
from lustre_events.index.sqlite.among import select
from lustre_events.index.writer_cache import Remembered

_FACTS = Facts.__struct_fields__
_PLACES = 200
_PLACE_MARKS = ",".join(["(?, ?)"] * _PLACES)


class Scans:
    """The calls of `interface.Transaction` about places, heals and scans."""

    _connection: sqlite3.Connection
    _remembered: Remembered

    def links(self, places: Collection[Place]) -> dict[Place, Link]:
        """Return what is written of those of `places` that are known, tombstones too."""
        found: dict[Place, Link] = {}
        packed = sorted((parent.pack(), name) for parent, name in places)
        for start in range(0, len(packed), _PLACES):
            chunk = packed[start : start + _PLACES]
            values: list[bytes | None] = [value for place in chunk for value in place]
            values += [None] * (2 * _PLACES - len(values))  # one statement for all, prepared once
            for parent, name, fid, stamp in self._connection.execute(
                # A join: for `(parent, name) IN` SQLite would look up every parent with every name.
                f"WITH place (parent, name) AS (VALUES {_PLACE_MARKS}) SELECT link.parent, link.name, fid, stamp"  # noqa: S608
                " FROM place CROSS JOIN link ON link.parent = place.parent AND link.name = place.name",
                values,
            ):
                link = _link(parent, name, fid, stamp)
                found[link.parent, name] = link
        return found

    def links_between(self, parent: FID, after: bytes, last: bytes | None) -> list[Link]:
        """Return the links of a directory behind the name `after` up to `last` (None: to the end)."""
        until, values = ("", []) if last is None else (" AND name <= ?", [last])
        rows = self._connection.execute(
            f"SELECT parent, name, fid, stamp FROM link WHERE parent = ? AND name > ?{until}",  # noqa: S608 - as above
            (parent.pack(), after, *values),
        )
        return [_link(*row) for row in rows]

    def links_of(self, fids: Collection[FID]) -> dict[FID, list[Link]]:
        """Return the present names of those of `fids` that have one."""
        found: dict[FID, list[Link]] = defaultdict(list)
        for row in select(self._connection, "SELECT parent, name, fid, stamp FROM link WHERE fid IN ({})", fids):
            found[FID.unpack(row[2])].append(_link(*row))
        return dict(found)

    def add_objects(self, found: Iterable[tuple[ObjectRow, Facts]]) -> None:
        """Write new objects together with their facts, which are of the rows' generation."""
        found = list(found)
        self._remembered.changed(row.fid for row, _ in found)
        marks = ", ".join("?" * (6 + len(_FACTS)))
        self._connection.executemany(
            "INSERT INTO object (fid, generation, content, jobid, cause, facts_generation,"  # noqa: S608 - of our own
            f" {', '.join(_FACTS)}) VALUES ({marks})",
            [
                (
                    row.fid.pack(), row.generation, row.content, row.jobid, row.cause, row.generation,
                    *(getattr(facts, name) for name in _FACTS),
                )
                for row, facts in found
            ],
        )  # fmt: skip

    def oldest_ask(self) -> int:
        """Return the earliest `handed_out_ns` of the `heal` and `scan` rows that a job holds; 0: there is none."""
        row = self._connection.execute(
            "SELECT min(handed_out_ns) FROM pending WHERE extractor IN ('heal', 'scan') AND job IS NOT NULL"
        ).fetchone()
        return int(row[0] or 0)

    def begin_scan(self, fid: FID, now_ns: int, keep: int) -> int:
        """Remember a new scan and return its id; of the older ones remember only the newest `keep`."""
        made = self._connection.execute("INSERT INTO scan (fid, began_ns) VALUES (?, ?)", (fid.pack(), now_ns))
        scan = int(made.lastrowid or 0)
        self._connection.execute("DELETE FROM scan WHERE id < ?", (scan - keep,))
        return scan

    def count_scan(self, scan: int, directories: int, files: int) -> None:
        """Add to what a scan has listed."""
        self._connection.execute(
            "UPDATE scan SET directories = directories + ?, files = files + ? WHERE id = ?",
            (directories, files, scan),
        )

    def put_unreadable(self, scan: int, fid: FID, error: str) -> None:
        """Remember a directory that a scan could not read."""
        self._connection.execute(
            "INSERT OR REPLACE INTO unreadable (scan, fid, error) SELECT id, ?, ? FROM scan WHERE id = ?",
            (fid.pack(), error, scan),
        )

    def scan(self, scan: int, limit: int) -> ScanState | None:
        """Return a scan with up to `limit` of the directories that it could not read; None: forgotten."""
        row = self._connection.execute(
            "SELECT fid, began_ns, directories, files FROM scan WHERE id = ?", (scan,)
        ).fetchone()
        if row is None:
            return None
        left = self._connection.execute(
            "SELECT count(*) FROM pending WHERE extractor = 'scan' AND scan = ?", (scan,)
        ).fetchone()[0]
        unreadable = self._connection.execute(
            "SELECT fid, error FROM unreadable WHERE scan = ? ORDER BY fid LIMIT ?", (scan, limit)
        )
        found = tuple((FID.unpack(fid), error) for fid, error in unreadable)
        fid, began_ns, directories, files = row
        return ScanState(scan, FID.unpack(fid), began_ns, directories, files, left, found)


def _link(parent: bytes, name: bytes, fid: bytes | None, stamp: bytes) -> Link:
    return Link(FID.unpack(parent), name, None if fid is None else FID.unpack(fid), stamp)
