"""From the tree of a query to PostgreSQL with parameters only, over the table `object o`.

What is quickest depends on how many objects match, so that is counted beforehand, as far as it is cheap. Where few
objects match a part of an AND, that part drives and the others are probed. Where all parts have many, a page is
found sooner by probing the objects in the order asked for (search.py). The planner cannot decide this:
it takes a key and its values for independent, and does not know how far a page reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lustre_events.index.postgresql.clause import (
    FALSE,
    TRUE,
    UNKNOWN_SIZE,
    Clause,
    Condition,
    exists,
    joined,
    member_of,
    union,
)
from lustre_events.index.postgresql.database import Row
from lustre_events.index.postgresql.fulltext import phrase
from lustre_events.index.postgresql.paths import ABOVE, fids_of_pattern, name_condition, probe_of_pattern
from lustre_events.index.postgresql.wildcards import escaped, like_literal, name_test, text_like
from lustre_events.index.query import tree as q
from lustre_events.index.query.wildcards import literal_of, literal_prefix_of
from lustre_events.index.values import clean

FEW = 50_000
"""Objects that are quickly collected from an index."""
FEW_TEXTS = 20_000
"""The same for full text, where each row has to be looked at."""
FEW_PATHS = 2_000
"""The same for the objects of a path pattern, which are found by a walk."""

EXTENSION = "substring(encode(link.name, 'escape') FROM '.\\.([^.]+)$')"
"""What is behind a name's last dot, as the index link_ext has it."""

_NOTHING = Clause("SELECT id FROM object WHERE false")
_INDEXED_FACTS = frozenset({"size", "mtime_ns", "uid", "gid"})
_BEHIND = "\U0010ffff" * 4
"""Behind every text that begins like the one before it."""

KeyNode = q.KeyEquals | q.KeyRange | q.KeyGlob | q.KeyExists


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles the queries of one reading.

    Args:
        run: gives the rows of a statement.
        seen: condition on a link: its name is seen by the viewer.
        readable: condition on `o`: the viewer can read its content.
        few: see FEW; tests lower it.
    """

    run: Callable[[Clause], Iterable[Row]]
    seen: Clause = TRUE
    readable: Clause = TRUE
    few: int = FEW

    @property
    def live(self) -> Clause:
        """The condition that an object has at least one name (that is seen)."""
        return exists(Clause(f"FROM link WHERE link.fid = o.fid AND {self.seen.sql}", self.seen.parameters))

    def compile(self, node: q.Node) -> Condition:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
        """Return what a node means. Raises QueryError."""
        match node:
            case q.All():
                return _plain(TRUE)
            case q.And(nodes):
                return self.all_of([self.compile(item) for item in nodes])
            case q.Or(nodes):
                return self.one_of([self.compile(item) for item in nodes])
            case q.Not(item):
                inner = self.compile(item)
                return Condition(_negated(inner.probe), _negated(inner.member))
            case q.Fact():
                return self.fact(node)
            case q.Type(letter):
                return _plain(Clause("(o.type IS NOT NULL AND o.type = %s)", (letter,)))
            case q.Released(value):
                return _plain(Clause("(coalesce(o.released, 0) != 0) = %s", (value,)))
            case q.Readable():
                return _plain(self.readable)
            case q.Mime(glob):
                return self.mime(clean(glob).lower())
            case q.Identity(fid):
                packed = (fid.pack(),)
                return _plain(
                    Clause("o.fid = %s", packed), Clause("SELECT id FROM object WHERE fid = %s", packed), 1
                )
            case q.Among(ids):
                inside = "id = ANY(%b::bigint[])"
                driver = Clause(f"SELECT id FROM object WHERE {inside}", (sorted(ids),))  # noqa: S608 - a constant
                return _plain(Clause(f"o.{inside}", (sorted(ids),)), driver, len(ids))
            case q.JobId(glob):
                test, pattern = name_test("o.jobid", glob)
                return _plain(Clause(f"coalesce({test}, false)", (pattern,)))
            case q.Name(glob):
                return self.by_link(name_condition(glob), scans=not literal_prefix_of(glob))
            case q.Extension(text):
                return self.extension(escaped(text).lower())
            case q.Path(glob):
                return self.path(glob)
            case q.HasDocument(glob):
                return self.document("body", clean(glob))
            case q.Failed(glob):
                return self.document("failure", clean(glob))
            case q.Text(words, prefix):
                return self.text(words, prefix=prefix)
            case q.KeyEquals() | q.KeyRange() | q.KeyGlob() | q.KeyExists():
                return self.key(node)

    def all_of(self, conditions: list[Condition]) -> Condition:
        """Return the condition that all of them hold: the one with the fewest objects drives."""
        probes = joined([condition.probe for condition in conditions], "AND")
        members = joined([condition.member for condition in conditions], "AND")
        drivers = [condition for condition in conditions if condition.driver is not None]
        if not drivers:
            return Condition(probes, members)
        best = min(drivers, key=lambda condition: (condition.scans, condition.size))
        few = best.size <= self.few
        others = [each.probe if few else each.member for each in conditions if each is not best]
        rest = [*([best.rest] if best.rest is not None else []), *others]
        return Condition(probes, members, best.driver, joined(rest, "AND") if rest else None, best.size, best.scans)

    def one_of(self, conditions: list[Condition]) -> Condition:
        """Return the condition that one of them holds."""
        probes = joined([condition.probe for condition in conditions], "OR")
        members = joined([condition.member for condition in conditions], "OR")
        sources = [source for condition in conditions if (source := condition.source()) is not None]
        if len(sources) < len(conditions):
            return Condition(probes, members)
        size = sum(condition.size for condition in conditions)
        return Condition(probes, members, union(sources), size=size, scans=any(each.scans for each in conditions))

    def counted(self, source: Clause, limit: int) -> int:
        """Return how many rows a SELECT has, counted to a little beyond the limit."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM ({source.sql}) AS source LIMIT %s) AS few"  # noqa: S608
        return int(next(iter(self.run(Clause(sql, (*source.parameters, limit + 1)))))[0])

    def collected(self, source: Clause, type_: str, limit: int) -> tuple[Clause, int]:
        """Return a SELECT for another one that is dear, and its size: where it is small, of what it has found."""
        sql = f"SELECT array_agg(source) FROM (SELECT * FROM ({source.sql}) AS every LIMIT %s) AS few (source)"  # noqa: S608
        found = next(iter(self.run(Clause(sql, (*source.parameters, limit + 1)))))[0] or []
        if len(found) > limit:
            return source, UNKNOWN_SIZE - 1
        return Clause(f"SELECT unnest(%b::{type_}[])", (found,)), len(found)

    def estimated(self, source: Clause) -> int:
        """Return how many rows the planner expects."""
        explained = next(iter(self.run(Clause(f"EXPLAIN (FORMAT JSON) {source.sql}", source.parameters))))[0]
        return int(explained[0]["Plan"]["Plan Rows"])

    def fact(self, node: q.Fact) -> Condition:
        """Return the condition that a column is known and between two bounds."""
        limits = [(sign, value) for sign, value in ((">= %s", node.low), ("< %s", node.high)) if value is not None]
        bounds = ["IS NOT NULL", *(sign for sign, _ in limits)]
        parameters = tuple(value for _, value in limits)
        test = Clause("(" + " AND ".join(f"o.{node.column} {bound}" for bound in bounds) + ")", parameters)
        if node.column not in _INDEXED_FACTS or not limits:
            return _plain(test)
        condition = " AND ".join(f"{node.column} {bound}" for bound in bounds)
        driver = Clause(f"SELECT id FROM object WHERE {condition}", parameters)  # noqa: S608
        return _plain(test, driver, self.counted(driver, self.few))

    def mime(self, glob: str) -> Condition:
        """Return the condition that the MIME type is known and matches."""
        literal = literal_of(glob)
        values, test = _text_test("mime", glob) if literal is None else ((literal,), "mime = %s")
        driver = Clause(f"SELECT id FROM object WHERE {test}", values)  # noqa: S608 - constants
        probe = Clause(f"(o.mime IS NOT NULL AND {test.replace('mime', 'o.mime')})", values)
        return _plain(probe, driver, self.counted(driver, self.few))

    def extension(self, text: str) -> Condition:
        """Return the condition that a name ends with a dot and a text, as encode writes it."""
        suffix = Clause("lower(encode(link.name, 'escape') COLLATE \"C\") LIKE %s", ("_%." + like_literal(text),))
        last = text.rpartition(".")[2]
        if not last:
            return self.by_link(suffix, scans=True)
        # The index knows what is behind the last dot.
        indexed = Clause(f'{EXTENSION} IS NOT NULL AND lower({EXTENSION} COLLATE "C") = %s', (last,))
        return self.by_link(indexed if last == text else joined([indexed, suffix], "AND"))

    def by_link(self, test: Clause, *, scans: bool = False) -> Condition:
        """Return the condition that an object has a name for which `test` holds."""
        both = joined([test, self.seen], "AND")
        probe = exists(Clause(f"FROM link WHERE link.fid = o.fid AND {both.sql}", both.parameters))
        fids = Clause(f"SELECT link.fid FROM link WHERE link.fid IS NOT NULL AND {both.sql}", both.parameters)  # noqa: S608
        driver = _of_fids(fids)
        if scans:
            return Condition(probe, probe, driver, scans=True)
        return _plain(probe, driver, self.counted(fids, self.few))

    def path(self, glob: str) -> Condition:
        """Return the condition that a path matches."""
        fids, size = self.collected(fids_of_pattern(glob, self.seen), "bytea", min(self.few, FEW_PATHS))
        driver = _of_fids(fids)
        member = member_of(driver)
        rising = probe_of_pattern(glob, self.seen)
        if rising is not None:
            return Condition(rising, rising, driver, size=size)
        directory = glob.removesuffix("/**").rstrip("/")
        if not glob.startswith("/") or not glob.endswith("/**") or literal_of(directory) is None:
            return Condition(member, member, driver, size=size)
        # All below one directory: climbing from an object costs less than walking a large subtree.
        top = fids_of_pattern(directory or "/", TRUE)
        above = ABOVE.format(f"SELECT link.parent FROM link WHERE link.fid = o.fid AND {self.seen.sql}")  # noqa: S608
        climb = Clause(f"coalesce(({top.sql}) IN ({above}), false)", (*top.parameters, *self.seen.parameters))
        return Condition(climb, climb if size == UNKNOWN_SIZE - 1 else member, driver, size=size)

    def document(self, column: str, glob: str) -> Condition:
        """Return the condition that an object has a document (`body`) or failure of an extractor."""
        literal = literal_of(glob)
        values, test = _text_test("extractor", glob) if literal is None else ((literal,), "extractor = %s")
        condition = f"{column} IS NOT NULL AND {test}"
        driver = Clause(f"SELECT object FROM document WHERE {condition}", values)  # noqa: S608
        probe = exists(Clause(f"FROM document WHERE object = o.id AND {condition}", values))
        return _plain(probe, driver, self.counted(driver, self.few))

    def text(self, words: str, *, prefix: bool) -> Condition:
        """Return the condition that a document has words that follow each other."""
        query = phrase(words, prefix=prefix)
        if query is None:
            return _plain(FALSE, _NOTHING, 0)
        driver = Clause("SELECT object FROM fulltext WHERE body @@ %s::tsquery", (query,))
        probe = exists(Clause("FROM fulltext WHERE object = o.id AND body @@ %s::tsquery", (query,)))
        # Bitmaps do not end early: what is many by the statistics is not counted.
        size, few = UNKNOWN_SIZE - 1, min(self.few, FEW_TEXTS)
        if self.estimated(driver) <= 2 * few:
            driver, size = self.collected(driver, "bigint", few)
        return Condition(probe, member_of(driver), driver, size=size)

    def key(self, node: KeyNode) -> Condition:
        """Return the condition that a key of a document has such a value."""
        ids = self.key_ids(node.key)
        lookups = _key_lookups(node)
        if not ids or not lookups:
            return _plain(FALSE, _NOTHING, 0)
        sources, probes = [], []
        for table, test in lookups:
            condition = f"FROM {table} WHERE key IN ({','.join(map(str, ids))}) AND {test.sql}"
            sources.append(Clause(f"SELECT object {condition}", test.parameters))
            probes.append(exists(Clause(f"{condition} AND object = o.id", test.parameters)))
        driver = union(sources)
        return Condition(joined(probes, "OR"), member_of(driver), driver, size=self.counted(driver, self.few))

    def key_ids(self, key: str) -> list[int]:
        """Return the ids of a dotted key: of all extractors, or behind its extractor's name."""
        extractor, _, name = key.partition(".")
        rows = self.run(
            Clause("SELECT id FROM key WHERE name = %s OR (extractor = %s AND name = %s)", (key, extractor, name))
        )
        return [int(row[0]) for row in rows]


def _negated(test: Clause) -> Clause:
    return Clause(f"NOT {test.sql}", test.parameters)


def _plain(test: Clause, driver: Clause | None = None, size: int = UNKNOWN_SIZE) -> Condition:
    return Condition(test, test, driver, size=size)


def _of_fids(fids: Clause) -> Clause:
    # By an array, as in Condition.driven.
    return Clause(f"SELECT id FROM object WHERE fid = ANY(ARRAY({fids.sql}))", fids.parameters)  # noqa: S608


def _text_test(column: str, glob: str) -> tuple[tuple[str, ...], str]:
    prefix = literal_prefix_of(glob)
    like = (text_like(glob),)
    if not prefix:
        return like, f"{column} LIKE %s"
    return (prefix, prefix + _BEHIND, *like), f"{column} >= %s AND {column} < %s AND {column} LIKE %s"


def _key_lookups(node: KeyNode) -> list[tuple[str, Clause]]:
    """Return (table, condition) of each place where a value can stand."""
    match node:
        case q.KeyEquals(_, word, number):
            if " " in word:  # a whole value, or a run of whole words in one
                return [("word", Clause("strpos(' ' || value || ' ', %s) > 0", (f" {word} ",)))]
            numbers = [("number", Clause("value = %s", (number,)))] if number is not None else []
            words = Clause("value = %s", (word,))
            return [*numbers, ("word", words), ("part", words)]
        case q.KeyRange():
            return _range_lookups(node)
        case q.KeyGlob(_, glob):
            values, test = _text_test("value", glob)
            return [("word", Clause(test, values)), ("part", Clause(test, values))]
        case q.KeyExists():
            return [("number", TRUE), ("word", TRUE)]


def _range_lookups(node: q.KeyRange) -> list[tuple[str, Clause]]:
    clauses = []
    if node.low is not None:
        clauses.append(Clause("value >= %s" if node.include_low else "value > %s", (node.low,)))
    if node.high is not None:
        clauses.append(Clause("value <= %s" if node.include_high else "value < %s", (node.high,)))
    table = "word" if isinstance(node.low, str) or isinstance(node.high, str) else "number"
    return [(table, joined(clauses, "AND"))]
