"""PostgreSQL's pieces of the SQL of a query (planner/dialect.py), and what is quick here.

Full text comes from an index by bitmaps, which do not end early: there are no streams. What is many by the
statistics is not counted, so one effort will do.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lustre_events.index.planner.clause import MANY, Clause, SqlCondition, all_hold
from lustre_events.index.planner.dialect import Dialect, Effort, Words
from lustre_events.index.postgresql.fulltext import phrase
from lustre_events.index.postgresql.numeric import numeric
from lustre_events.index.postgresql.wildcards import escaped, like_literal, name_test, text_like

FEW_TEXTS = 20_000
"""How many objects are quickly collected from full text, where each row has to be looked at."""

EXTENSION = "substring(encode(link.name, 'escape') FROM '.\\.([^.]+)$')"
"""What is behind a name's last dot, as the index link_ext has it."""


class PostgresqlDialect(Dialect):
    """PostgreSQL. "The planner" in what is said here is its own one."""

    mark = "%s"
    position = "strpos"
    # As a value: the planner would turn EXISTS into a join over a whole table where it is wrong about sizes.
    exists = "coalesce((SELECT true {} LIMIT 1), false)"
    # Made once and hashed.
    member = "(o.id IN ({})) IS TRUE"
    # An array is made first, and rows are looked up by it, whatever the planner believes of its size.
    drives = "{} = ANY(ARRAY({}))"
    part_of_union = "({})"
    indexed = frozenset({"size", "mtime_ns", "uid", "gid", "mime"})
    documents_of_object = "document WHERE object = o.id"
    ending = f'lower({EXTENSION} COLLATE "C")'

    root = "%s::bytea"
    # OFFSET 0: a look into the index for each directory, whatever the planner believes of the directories' number.
    in_directory = (
        "SELECT found.fid FROM {0} CROSS JOIN LATERAL"
        " (SELECT link.fid FROM link WHERE link.parent = {0}.fid AND {1} OFFSET 0) AS found"
    )
    upwards = (
        "CROSS JOIN LATERAL (SELECT {0}.parent FROM link AS {0} WHERE {0}.fid = {1}.parent AND {2} OFFSET 0) AS {0}"
    )
    above = (
        "WITH RECURSIVE above (fid) AS ({} UNION SELECT upper.parent FROM above CROSS JOIN LATERAL"
        " (SELECT link.parent FROM link WHERE link.fid = above.fid OFFSET 0) AS upper) SELECT fid FROM above"
    )

    def among(self, column: str, ids: Collection[int]) -> Clause:
        """Return the condition that a column is one of these numbers."""
        return Clause(f"{column} = ANY(%b::bigint[])", (sorted(ids),))

    def text_like(self, column: str, glob: str) -> Clause:
        """Return the condition that a text matches a glob."""
        return Clause(f"{column} LIKE %s", (text_like(glob),))

    def name_like(self, column: str, glob: str) -> Clause:
        """Return the condition that a name (bytes) matches a glob."""
        test, pattern = name_test(column, glob)
        return Clause(test, (pattern,))

    def name_ends(self, text: str) -> tuple[Clause, bool]:
        """Return the condition that a name ends with a dot and a text, as encode writes it."""
        low = escaped(text).lower()
        suffix = Clause("lower(encode(link.name, 'escape') COLLATE \"C\") LIKE %s", ("_%." + like_literal(low),))
        last = low.rpartition(".")[2]
        if not last:
            return suffix, True
        # The index knows what is behind the last dot.
        indexed = Clause(f"{EXTENSION} IS NOT NULL AND {self.ending} = %s", (last,))
        return indexed if last == low else all_hold(indexed, suffix), False

    def words(self, words: str, *, prefix: bool, few: int, effort: Effort) -> Words | None:  # noqa: ARG002
        """Return where words stand that follow each other."""
        query = phrase(words, prefix=prefix)
        if query is None:
            return None
        test = Clause("body @@ %s::tsquery", (query,))
        source = Clause.of("SELECT object FROM fulltext WHERE {}", test)
        probe = Clause.of(self.exists, Clause.of("FROM fulltext WHERE object = o.id AND {}", test))
        size, few = MANY, min(few, FEW_TEXTS)
        if self._estimated(source) <= 2 * few:
            source, size = self.collected(source, "bigint", few)
        return Words(source, size, probe)

    def name_words(
        self,
        words: str,
        *,
        prefix: bool,
        few: int,
        effort: Effort,  # noqa: ARG002
        seen: Clause | None,
    ) -> SqlCondition | None:
        """Return the condition that words follow each other in a name."""
        query = phrase(words, prefix=prefix)
        if query is None:
            return None
        named = all_hold(Clause("link.fid IS NOT NULL AND link.words @@ %s::tsquery", (query,)), seen)
        probe = Clause.of(self.exists, Clause.of("FROM link WHERE link.fid = o.fid AND {}", named))
        source = Clause.of("SELECT link.fid FROM link WHERE {}", named)
        size, few = MANY, min(few, FEW_TEXTS)
        if self._estimated(source) <= 2 * few:
            source, size = self.collected(source, "bytea", few)
        ids = Clause.of("SELECT id FROM object WHERE {}", Clause.of(self.drives, "fid", source))
        return SqlCondition(probe, Clause.of(self.member, ids), ids, size=size)

    def number(self, value: Any) -> Any:
        """Return a number as a parameter: stored ones are NUMERIC, which floats are not compared with exactly."""
        return numeric(value) if isinstance(value, int | float) else value

    def value(self, expression: str, *, number: bool) -> str:
        """Return a number and a word, one of which is NULL."""
        if number:
            return f"{expression} AS number, NULL::text AS word"
        return f"NULL::numeric AS number, {expression} AS word"

    def collected(self, source: Clause, type_: str, limit: int) -> tuple[Clause, int]:
        """Return a SELECT of what another one has found, where that is little: it is not found twice."""
        few = Clause.of(
            "SELECT array_agg(source) FROM (SELECT * FROM ({}) AS every LIMIT %s) AS few (source)", source
        )
        found = self.run(Clause(few.sql, (*few.parameters, limit + 1)))[0][0] or []
        if len(found) > limit:
            return source, MANY
        return Clause(f"SELECT unnest(%b::{type_}[])", (found,)), len(found)

    def _estimated(self, source: Clause) -> int:
        """Return how many rows the planner expects."""
        explained = self.run(Clause.of("EXPLAIN (FORMAT JSON) {}", source))[0][0]
        return int(explained[0]["Plan"]["Plan Rows"])
