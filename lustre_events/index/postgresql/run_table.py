"""The ledger of actions in PostgreSQL: runs, what has fired, holds, as interface.py describes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import DEAD, OPEN, Hold, Run, RunsWanted, decode_run, encode_run, fits
from lustre_events.index.postgresql.database import packed
from lustre_events.index.postgresql.session import Session, columns
from lustre_events.index.run_table import FindsRuns

_PUT = (
    "INSERT INTO run (id, key, rule, trigger, fid, state, due_ns, made_ns, ended_ns, place, data) SELECT * FROM"
    " unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::bigint[], %b::bigint[],"
    " %b::bigint[], %b::bytea[], %b::bytea[]) ON CONFLICT (id) DO UPDATE SET key = excluded.key,"
    " rule = excluded.rule, trigger = excluded.trigger, fid = excluded.fid, state = excluded.state,"
    " due_ns = excluded.due_ns, made_ns = excluded.made_ns, ended_ns = excluded.ended_ns, place = excluded.place,"
    " data = excluded.data"
)

_RULES = """
WITH RECURSIVE found (rule) AS (
  (SELECT min(rule) FROM run WHERE state = %s)
  UNION ALL
  SELECT (SELECT min(run.rule) FROM run WHERE state = %s AND run.rule > found.rule) FROM found
  WHERE found.rule IS NOT NULL
)
SELECT rule FROM found WHERE rule IS NOT NULL
"""


class RunTable(FindsRuns, Session):
    """The calls of `interface.Transaction` about actions."""

    mark = "%s"

    def put_runs(self, runs: Iterable[Run]) -> None:
        """Write runs, over those that are there."""
        rows = {
            run.id: (
                run.id, run.key, run.rule, run.trigger, run.fid.pack(), run.state, run.due_ns, run.made_ns,
                run.ended_ns, run.place, encode_run(run),
            )
            for run in runs
        }  # fmt: skip
        if rows:
            self._run(_PUT, *columns(list(rows.values())))

    def remove_runs(self, ids: Iterable[str]) -> None:
        """Forget runs."""
        found = list(ids)
        if found:
            self._run("DELETE FROM run WHERE id = ANY(%b::text[])", found)

    def runs(self, ids: Collection[str]) -> dict[str, Run]:
        """Return those of the runs that are stored."""
        if not ids:
            return {}
        rows = self._run("SELECT data FROM run WHERE id = ANY(%b::text[])", list(ids))
        return {run.id: run for run in (decode_run(row[0]) for row in rows)}

    def open_runs(self, fids: Collection[FID]) -> list[Run]:
        """Return the runs of objects that have not ended."""
        if not fids:
            return []
        rows = self._run(
            "SELECT data FROM run WHERE fid = ANY(%b::bytea[]) AND state = ANY(%b::text[])",
            packed(fids),
            list(OPEN),
        )
        return [decode_run(row[0]) for row in rows]

    def move_runs(self, source: FID, target: FID) -> None:
        """Give the runs of an object, and what has fired for it, to its new FID."""
        old, new = source.pack(), target.pack()
        rows = self._run("SELECT data FROM run WHERE fid = %s", old).fetchall()
        self.put_runs(replace(decode_run(row[0]), fid=target) for row in rows)
        self._run(
            "DELETE FROM fired USING fired AS old WHERE fired.fid = %s AND old.fid = %s AND old.rule = fired.rule",
            new,
            old,
        )
        self._run("UPDATE fired SET fid = %s WHERE fid = %s", new, old)

    def rules_with_runs(self, state: str) -> list[str]:
        """Return the rules that have runs in a state."""
        return [row[0] for row in self._run(_RULES, state, state)]

    def due_runs(self, state: str, rule: str, now_ns: int, limit: int) -> list[Run]:
        """Return up to `limit` runs of a rule in a state that are due, the oldest first."""
        rows = self._run(
            "SELECT data FROM run WHERE state = %s AND rule = %s AND due_ns <= %s ORDER BY due_ns LIMIT %s",
            state, rule, now_ns, limit,
        )  # fmt: skip
        return [decode_run(row[0]) for row in rows]

    def count_runs(self, state: str, rule: str, limit: int) -> int:
        """Return how many runs of a rule are in a state, counted up to `limit`."""
        row = self._run(
            "SELECT count(*) FROM (SELECT 1 FROM run WHERE state = %s AND rule = %s LIMIT %s) AS r",
            state,
            rule,
            limit,
        ).fetchone()
        return int(row[0]) if row else 0

    def crowded(self, rule: str, places: Collection[bytes], since_ns: int, most: int) -> set[bytes]:
        """Return those of the places for which `most` runs of a rule, or more, were made since a time."""
        if not places:
            return set()
        rows = self._run(
            "SELECT asked.place FROM unnest(%b::bytea[]) AS asked (place) WHERE (SELECT 1 FROM run WHERE rule = %s"
            " AND place = asked.place AND place != '' AND made_ns >= %s LIMIT 1 OFFSET %s) IS NOT NULL",
            list(places), rule, since_ns, most - 1,
        )  # fmt: skip
        return {row[0] for row in rows}

    def _fitting(
        self, condition: str, values: tuple[str | bytes, ...], wanted: RunsWanted, limit: int
    ) -> list[Run]:
        rows = self._run(f"SELECT data FROM run WHERE {condition} LIMIT %s", *values, limit)  # noqa: S608 - constants
        return [run for run in (decode_run(row[0]) for row in rows) if fits(wanted, run)]

    def forget_runs(self, before_ns: int, limit: int) -> int:
        """Forget up to `limit` runs that ended before a time, but those that are dead; return how many."""
        return self._count(
            "DELETE FROM run WHERE id IN (SELECT id FROM run WHERE ended_ns > 0 AND ended_ns < %s AND state != %s"
            " ORDER BY ended_ns LIMIT %s)",
            before_ns, DEAD, limit,
        )  # fmt: skip

    def fired(self, fids: Collection[FID], rules: Collection[str]) -> dict[tuple[FID, str], int]:
        """Return for which content of objects these rules have fired."""
        if not fids or not rules:
            return {}
        asked = "SELECT fid, rule, generation FROM fired WHERE fid = ANY(%b::bytea[]) AND rule = ANY(%b::text[])"
        rows = self._run(asked, packed(fids), list(rules))
        return {(FID.unpack(fid), rule): generation for fid, rule, generation in rows}

    def put_fired(self, fired: Mapping[tuple[FID, str], int]) -> None:
        """Remember for which content of objects rules have fired: the newest counts."""
        if fired:
            rows = [(fid.pack(), rule, generation) for (fid, rule), generation in fired.items()]
            self._run(
                "INSERT INTO fired (fid, rule, generation)"
                " SELECT * FROM unnest(%b::bytea[], %b::text[], %b::bigint[]) ON CONFLICT (fid, rule) DO UPDATE"
                " SET generation = greatest(fired.generation, excluded.generation)",
                *columns(rows),
            )

    def forget_fired(self, fid: FID, prefix: str, until: int) -> None:
        """Forget what has fired for an object: names that begin with `prefix`, and contents up to `until`."""
        self._run(
            "DELETE FROM fired WHERE fid = %b AND starts_with(rule, %b) AND generation <= %b",
            fid.pack(), prefix, until,
        )  # fmt: skip

    def activated(self) -> dict[str, int]:
        """Return since when rules are active."""
        return dict(self._run("SELECT rule, since_ns FROM activated").fetchall())

    def put_activated(self, since_ns: Mapping[str, int]) -> None:
        """Remember since when rules are active; all others are not any more."""
        self._run("DELETE FROM activated")
        if since_ns:
            self._run(
                "INSERT INTO activated (rule, since_ns) SELECT * FROM unnest(%b::text[], %b::bigint[])",
                *columns(sorted(since_ns.items())),
            )

    def holds(self) -> list[Hold]:
        """Return what is held."""
        return [
            Hold(*row) for row in self._run("SELECT kind, name, why, since_ns, guard FROM hold ORDER BY kind, name")
        ]

    def put_hold(self, hold: Hold) -> None:
        """Hold a rule or an endpoint; the newest reason counts."""
        self._run(
            "INSERT INTO hold (kind, name, why, since_ns, guard) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (kind, name) DO UPDATE"
            " SET why = excluded.why, since_ns = excluded.since_ns, guard = excluded.guard",
            hold.kind, hold.name, hold.why, hold.since_ns, hold.guard,
        )  # fmt: skip

    def remove_hold(self, kind: str, name: str) -> bool:
        """Release a rule or an endpoint; return whether it was held."""
        return self._count("DELETE FROM hold WHERE kind = %s AND name = %s", kind, name) == 1
