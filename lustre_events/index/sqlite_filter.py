"""From the tree of a query to SQL with parameters only, over the table `object o`.

Every node can be *tested* for one object. Most can also be a *source*: a SELECT of the ids of all objects
that match. In an AND the source with the fewest objects drives, and the others are tested: an equality by
one look into its primary key, anything else by membership in a set that is made once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lustre_events.index import query_tree as q
from lustre_events.index.globs import literal_of, literal_prefix_of
from lustre_events.index.sqlite_paths import ABOVE, fids_of_pattern, name_bytes

Value = str | bytes | int | float

LIVE = "EXISTS (SELECT 1 FROM link WHERE link.fid = o.fid)"
"""An object with at least one name now."""

_ESTIMATE_LIMIT = 2_000
_FULLTEXT = "SELECT object FROM document WHERE id IN (SELECT rowid FROM fulltext WHERE fulltext MATCH ?)"


@dataclass(frozen=True, slots=True)
class Clause:
    """SQL text and its parameters."""

    sql: str
    parameters: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """What a node means. `scans`: its source reads a whole table, so anything else drives rather.

    `counted` is a SELECT of about as many rows as `source`, where it begins to give them sooner.
    """

    test: Clause
    source: Clause | None = None
    scans: bool = False
    counted: Clause | None = None


def where_of(connection: sqlite3.Connection, node: q.Node) -> Clause:
    """Return the WHERE condition of a query over `object o`; the connection knows keys and sizes."""
    condition = _Compiler(connection).compile(node)
    driven = condition.test if condition.source is None else _within(condition.source)
    return Clause(f"{driven.sql} AND {LIVE}", driven.parameters)


def _within(source: Clause, plus: str = "") -> Clause:
    return Clause(f"{plus}o.id IN ({source.sql})", source.parameters)


def _by_set(source: Clause, *, scans: bool = False) -> Condition:
    # The plus keeps SQLite from driving from it: what drives is decided here.
    return Condition(_within(source, plus="+"), source, scans)


def _by_fids(source: Clause, test: Clause | None = None, *, scans: bool = False) -> Condition:
    ids = Clause(f"SELECT id FROM object WHERE fid IN ({source.sql})", source.parameters)  # noqa: S608
    return Condition(test or _within(ids, plus="+"), ids, scans)


def _joined(clauses: Sequence[Clause], word: str) -> Clause:
    return Clause(
        "(" + f" {word} ".join(clause.sql for clause in clauses) + ")",
        tuple(value for clause in clauses for value in clause.parameters),
    )


def _union(sources: Sequence[Clause]) -> Clause:
    return Clause(
        " UNION ALL ".join(f"SELECT * FROM ({source.sql})" for source in sources),  # noqa: S608 - made here
        tuple(value for source in sources for value in source.parameters),
    )


@dataclass(frozen=True, slots=True)
class _Compiler:
    connection: sqlite3.Connection

    def compile(self, node: q.Node) -> Condition:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
        match node:
            case q.All():
                return Condition(Clause("1"))
            case q.And(nodes):
                return self.all_of([self.compile(item) for item in nodes])
            case q.Or(nodes):
                return self.one_of([self.compile(item) for item in nodes])
            case q.Not(item):
                test = self.compile(item).test
                return Condition(Clause(f"NOT {test.sql}", test.parameters))
            case q.Fact():
                return _fact(node)
            case q.Type(letter):
                return Condition(Clause("(o.type IS NOT NULL AND o.type = ?)", (letter,)))
            case q.Identity(fid):
                packed = (fid.pack(),)
                return Condition(Clause("o.fid = ?", packed), Clause("SELECT id FROM object WHERE fid = ?", packed))
            case q.JobId(glob):
                return Condition(
                    Clause(f"(o.jobid IS NOT NULL AND {_GLOB.format('o.jobid')})", (name_bytes(glob),))
                )
            case q.Name(glob):
                literal = literal_of(glob)
                if literal is not None:
                    return _by_name("link.name = ?", name_bytes(literal))
                return _by_name(_GLOB.format("link.name"), name_bytes(glob))
            case q.Extension(text):
                return _by_name(_LIKE, b"_%." + name_bytes(_like_literal(text)))
            case q.Path(glob):
                return _path(glob)
            case q.HasDocument(glob):
                return _document(glob)
            case q.Text(words, prefix):
                return _by_set(Clause(_FULLTEXT, (_match(words, prefix=prefix),)))
            case q.KeyEquals() | q.KeyRange() | q.KeyGlob() | q.KeyExists():
                return self.key(node)

    def all_of(self, conditions: list[Condition]) -> Condition:
        test = _joined([condition.test for condition in conditions], "AND")
        sources = [condition for condition in conditions if condition.source is not None]
        if not sources:
            return Condition(test)
        driver = self.smallest(sources)
        if driver.source is None or len(conditions) == 1:
            return Condition(test, driver.source, driver.scans)
        rest = _joined([condition.test for condition in conditions if condition is not driver], "AND")
        driven = _joined([_within(driver.source), rest], "AND")
        source = Clause(f"SELECT o.id FROM object o WHERE {driven.sql}", driven.parameters)  # noqa: S608
        return Condition(test, source, driver.scans)

    def one_of(self, conditions: list[Condition]) -> Condition:
        test = _joined([condition.test for condition in conditions], "OR")
        sources = [condition.source for condition in conditions if condition.source is not None]
        if len(sources) < len(conditions):
            return Condition(test)
        return Condition(test, _union(sources), any(condition.scans for condition in conditions))

    def smallest(self, conditions: list[Condition]) -> Condition:
        """Return the condition to drive from: counted as far as that is cheap, those that scan last."""
        lookups = [condition for condition in conditions if not condition.scans]
        if len(lookups) < 2:
            return (lookups or conditions)[0]
        return min(lookups, key=self.estimate)

    def estimate(self, condition: Condition) -> int:
        counted = condition.counted or condition.source
        if counted is None:
            return _ESTIMATE_LIMIT
        count = self.connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({counted.sql}) LIMIT {_ESTIMATE_LIMIT})",  # noqa: S608
            counted.parameters,
        )
        return int(count.fetchone()[0])

    def key(self, node: q.KeyEquals | q.KeyRange | q.KeyGlob | q.KeyExists) -> Condition:
        extractor, _, name = node.key.partition(".")
        found = self.connection.execute(
            "SELECT id FROM key WHERE name = ? OR (extractor = ? AND name = ?)", (node.key, extractor, name)
        )
        ids = ",".join(str(row[0]) for row in found)
        if not ids:
            return Condition(Clause("0"), Clause("SELECT id FROM object WHERE 0"))
        lookups, probing = _key_lookups(node)
        if not lookups:
            return Condition(Clause("0"), Clause("SELECT id FROM object WHERE 0"))
        source = _union(
            [
                Clause(f"SELECT object FROM {table} WHERE key IN ({ids}) AND {test.sql}", test.parameters)  # noqa: S608
                for table, test in lookups
            ]
        )
        if not probing:
            return _by_set(source)
        probes = [
            Clause(
                f"EXISTS (SELECT 1 FROM {table} WHERE key IN ({ids}) AND {test.sql} AND object = o.id)",  # noqa: S608
                test.parameters,
            )
            for table, test in lookups
        ]
        return Condition(_joined(probes, "OR"), source)


# A name is bytes: both sides become text for the comparison, whatever their encoding.
_GLOB = "CAST({} AS TEXT) GLOB CAST(? AS TEXT)"
_LIKE = "CAST(link.name AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\\'"
_INDEXED_FACTS = frozenset({"size", "mtime_ns", "uid"})

_Lookups = list[tuple[str, Clause]]


def _key_lookups(node: q.KeyEquals | q.KeyRange | q.KeyGlob | q.KeyExists) -> tuple[_Lookups, bool]:
    """Return (table, condition) of each place where a value can stand, and whether one row can be looked up."""
    match node:
        case q.KeyEquals(_, word, number):
            numbers = [("number", Clause("value = ?", (number,)))] if number is not None else []
            words = Clause("value = ?", (word,))
            if " " in word:  # a whole value, or a run of whole words in one
                return [("word", Clause("instr(' ' || value || ' ', ?) > 0", (f" {word} ",)))], False
            return [*numbers, ("word", words), ("part", words)], True
        case q.KeyRange():
            return _range_lookups(node), False
        case q.KeyGlob(_, glob):
            prefix = literal_prefix_of(glob)
            test = Clause("value >= ? AND value < ? AND value GLOB ?", (prefix, prefix + "\U0010ffff" * 4, glob))
            return [("word", test), ("part", test)], False
        case q.KeyExists():
            return [("number", Clause("1")), ("word", Clause("1"))], False


def _range_lookups(node: q.KeyRange) -> _Lookups:
    clauses = []
    if node.low is not None:
        clauses.append(Clause("value >= ?" if node.include_low else "value > ?", (node.low,)))
    if node.high is not None:
        clauses.append(Clause("value <= ?" if node.include_high else "value < ?", (node.high,)))
    table = "word" if isinstance(node.low, str) or isinstance(node.high, str) else "number"
    return [(table, _joined(clauses, "AND"))]


def _fact(node: q.Fact) -> Condition:
    limits = [(sign, value) for sign, value in ((">= ?", node.low), ("< ?", node.high)) if value is not None]
    bounds = ["IS NOT NULL", *(sign for sign, _ in limits)]
    parameters = tuple(value for _, value in limits)
    test = Clause("(" + " AND ".join(f"+o.{node.column} {bound}" for bound in bounds) + ")", parameters)
    if node.column not in _INDEXED_FACTS or not limits:
        return Condition(test)
    condition = " AND ".join(f"{node.column} {bound}" for bound in bounds)
    return Condition(test, Clause(f"SELECT id FROM object WHERE {condition}", parameters))  # noqa: S608


def _by_name(condition: str, value: bytes) -> Condition:
    test = Clause(f"EXISTS (SELECT 1 FROM link WHERE link.fid = o.fid AND {condition})", (value,))  # noqa: S608
    source = Clause(f"SELECT link.fid FROM link WHERE link.fid IS NOT NULL AND {condition}", (value,))  # noqa: S608
    return _by_fids(source, test, scans=True)


def _path(glob: str) -> Condition:
    sql, values = fids_of_pattern(glob)
    matching = Clause(sql, tuple(values))
    by_set = _by_fids(matching)
    directory = glob.removesuffix("/**").rstrip("/")
    if not glob.startswith("/") or not glob.endswith("/**") or literal_of(directory) is None:
        return Condition(by_set.test, by_set.source, counted=matching)
    # All below one directory: climbing from an object costs less than walking a large subtree.
    sql, values = fids_of_pattern(directory or "/")
    above = ABOVE.format("SELECT parent FROM link WHERE link.fid = o.fid")
    return Condition(Clause(f"coalesce(({sql}) IN ({above}), 0)", tuple(values)), by_set.source, counted=matching)


def _document(glob: str) -> Condition:
    literal = literal_of(glob)
    condition = "body IS NOT NULL AND extractor " + ("GLOB ?" if literal is None else "= ?")
    test = f"EXISTS (SELECT 1 FROM document WHERE object = o.id AND {condition})"  # noqa: S608
    source = f"SELECT object FROM document WHERE {condition}"  # noqa: S608
    value = (glob if literal is None else literal,)
    return Condition(Clause(test, value), Clause(source, value))


def _match(words: str, *, prefix: bool) -> str:
    """Return a text as one phrase of FTS5's own query language."""
    return '"' + words.replace('"', '""') + '"' + (" *" if prefix else "")


def _like_literal(text: str) -> str:
    return "".join("\\" + char if char in "\\%_" else char for char in text)
