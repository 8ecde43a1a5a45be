"""The ledger of actions in SQLite: runs, what has fired, holds, as interface.py describes them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import DEAD, OPEN, Hold, Run, RunsWanted, decode_run, encode_run, fits
from lustre_events.index.run_table import FindsRuns
from lustre_events.index.sqlite.among import select, select_of

_STATES = ", ".join(f"'{state}'" for state in OPEN)
OPEN_RUNS = f"SELECT data FROM run WHERE fid IN ({{}}) AND +state IN ({_STATES})"  # noqa: S608 - constants
"""Looked up by object: the plus keeps SQLite from reading all runs that are open, of which a storm has many."""


_PUT = (
    "INSERT OR REPLACE INTO run (id, key, rule, trigger, fid, state, due_ns, made_ns, ended_ns, place, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PUT_STATE = (
    "INSERT INTO run (id, key, rule, trigger, fid, state, due_ns, made_ns, ended_ns, place, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
    " due_ns = excluded.due_ns, ended_ns = excluded.ended_ns, data = excluded.data WHERE key = excluded.key"
    " AND rule = excluded.rule AND trigger = excluded.trigger AND fid = excluded.fid"
    " AND made_ns = excluded.made_ns AND place = excluded.place"
)
"""Most changes of a run are of its state, and three of the six indexes know no state: they stay as they are.
Writes nothing where another column changes."""
_PUT_READY = (
    "INSERT INTO run (id, key, rule, trigger, fid, state, due_ns, made_ns, ended_ns, place, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET key = excluded.key,"
    " state = excluded.state, due_ns = excluded.due_ns, ended_ns = excluded.ended_ns, place = excluded.place,"
    " data = excluded.data WHERE rule = excluded.rule AND trigger = excluded.trigger AND fid = excluded.fid"
    " AND made_ns = excluded.made_ns"
)
"""The same of a run whose rule holds, which gives it a key and a place."""


_CROWDED = (
    "SELECT asked.column1 FROM (VALUES {}) AS asked WHERE (SELECT 1 FROM run WHERE rule = ? AND place ="
    " asked.column1 AND place != x'' AND made_ns >= ? LIMIT 1 OFFSET ?) IS NOT NULL"
)


class RunTable(FindsRuns):
    """The calls of `interface.Transaction` about actions."""

    mark = "?"
    _connection: sqlite3.Connection

    def put_runs(self, runs: Iterable[Run]) -> None:
        """Write runs, over those that are there."""
        rows = [
            (
                run.id, run.key, run.rule, run.trigger, run.fid.pack(), run.state, run.due_ns, run.made_ns,
                run.ended_ns, run.place, encode_run(run),
            )
            for run in runs
        ]  # fmt: skip
        for statement in (_PUT_STATE, _PUT_READY):
            if self._connection.executemany(statement, rows).rowcount >= len(rows):
                return
        self._connection.executemany(_PUT, rows)

    def remove_runs(self, ids: Iterable[str]) -> None:
        """Forget runs."""
        self._connection.executemany("DELETE FROM run WHERE id = ?", [(each,) for each in ids])

    def runs(self, ids: Collection[str]) -> dict[str, Run]:
        """Return those of the runs that are stored."""
        rows = self._connection.execute(
            "SELECT data FROM run WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
        )
        return {run.id: run for run in (decode_run(row[0]) for row in rows)}

    def open_runs(self, fids: Collection[FID]) -> list[Run]:
        """Return the runs of objects that have not ended."""
        rows = select(self._connection, OPEN_RUNS, fids)
        return [decode_run(row[0]) for row in rows]

    def move_runs(self, source: FID, target: FID) -> None:
        """Give the runs of an object, and what has fired for it, to its new FID."""
        old, new = source.pack(), target.pack()
        rows = self._connection.execute("SELECT data FROM run WHERE fid = ?", (old,)).fetchall()
        self.put_runs(replace(decode_run(row[0]), fid=target) for row in rows)
        self._connection.execute("UPDATE OR REPLACE fired SET fid = ? WHERE fid = ?", (new, old))

    def rules_with_runs(self, state: str) -> list[str]:
        """Return the rules that have runs in a state."""
        found: list[str] = []
        row = self._connection.execute("SELECT min(rule) FROM run WHERE state = ?", (state,)).fetchone()
        while row[0] is not None:
            found.append(row[0])
            row = self._connection.execute(
                "SELECT min(rule) FROM run WHERE state = ? AND rule > ?", (state, row[0])
            ).fetchone()
        return found

    def due_runs(self, state: str, rule: str, now_ns: int, limit: int) -> list[Run]:
        """Return up to `limit` runs of a rule in a state that are due, the oldest first."""
        rows = self._connection.execute(
            "SELECT data FROM run WHERE state = ? AND rule = ? AND due_ns <= ? ORDER BY due_ns LIMIT ?",
            (state, rule, now_ns, limit),
        )
        return [decode_run(row[0]) for row in rows]

    def count_runs(self, state: str, rule: str, limit: int) -> int:
        """Return how many runs of a rule are in a state, counted up to `limit`."""
        row = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM run WHERE state = ? AND rule = ? LIMIT ?)", (state, rule, limit)
        ).fetchone()
        return int(row[0])

    def crowded(self, rule: str, places: Collection[bytes], since_ns: int, most: int) -> set[bytes]:
        """Return those of the places for which `most` runs of a rule, or more, were made since a time."""
        return {row[0] for row in select_of(self._connection, _CROWDED, places, rule, since_ns, most - 1)}

    def _fitting(
        self, condition: str, values: tuple[str | bytes, ...], wanted: RunsWanted, limit: int
    ) -> list[Run]:
        rows = self._connection.execute(
            f"SELECT data FROM run WHERE {condition} LIMIT ?",  # noqa: S608 - constants
            (*values, limit),
        )
        return [run for run in (decode_run(row[0]) for row in rows) if fits(wanted, run)]

    def forget_runs(self, before_ns: int, limit: int) -> int:
        """Forget up to `limit` runs that ended before a time, but those that are dead; return how many."""
        done = self._connection.execute(
            "DELETE FROM run WHERE id IN (SELECT id FROM run WHERE ended_ns > 0 AND ended_ns < ? AND state != ?"
            " ORDER BY ended_ns LIMIT ?)",
            (before_ns, DEAD, limit),
        )
        return done.rowcount

    def fired(self, fids: Collection[FID], rules: Collection[str]) -> dict[tuple[FID, str], int]:
        """Return for which content of objects these rules have fired."""
        if not rules:
            return {}
        asked = (
            "SELECT fid, rule, generation FROM fired WHERE fid IN ({}) AND rule IN (SELECT value FROM json_each(?))"
        )
        rows = select(self._connection, asked, fids, json.dumps(sorted(rules)))
        return {(FID.unpack(fid), rule): generation for fid, rule, generation in rows}

    def put_fired(self, fired: Mapping[tuple[FID, str], int]) -> None:
        """Remember for which content of objects rules have fired: the newest counts."""
        self._connection.executemany(
            "INSERT INTO fired (fid, rule, generation) VALUES (?, ?, ?) ON CONFLICT (fid, rule)"
            " DO UPDATE SET generation = max(generation, excluded.generation)",
            [(fid.pack(), rule, generation) for (fid, rule), generation in fired.items()],
        )

    def forget_fired(self, fid: FID, prefix: str, until: int) -> None:
        """Forget what has fired for an object: names that begin with `prefix`, and contents up to `until`."""
        self._connection.execute(
            "DELETE FROM fired WHERE fid = ? AND substr(rule, 1, ?) = ? AND generation <= ?",
            (fid.pack(), len(prefix), prefix, until),
        )

    def activated(self) -> dict[str, int]:
        """Return since when rules are active."""
        return dict(self._connection.execute("SELECT rule, since_ns FROM activated").fetchall())

    def put_activated(self, since_ns: Mapping[str, int]) -> None:
        """Remember since when rules are active; all others are not any more."""
        self._connection.execute("DELETE FROM activated")
        self._connection.executemany(
            "INSERT INTO activated (rule, since_ns) VALUES (?, ?)", sorted(since_ns.items())
        )

    def holds(self) -> list[Hold]:
        """Return what is held."""
        rows = self._connection.execute("SELECT kind, name, why, since_ns, guard FROM hold ORDER BY kind, name")
        return [Hold(*row) for row in rows]

    def put_hold(self, hold: Hold) -> None:
        """Hold a rule or an endpoint; the newest reason counts."""
        self._connection.execute(
            "INSERT OR REPLACE INTO hold (kind, name, why, since_ns, guard) VALUES (?, ?, ?, ?, ?)",
            (hold.kind, hold.name, hold.why, hold.since_ns, hold.guard),
        )

    def remove_hold(self, kind: str, name: str) -> bool:
        """Release a rule or an endpoint; return whether it was held."""
        done = self._connection.execute("DELETE FROM hold WHERE kind = ? AND name = ?", (kind, name))
        return done.rowcount == 1
