"""From the tree of a query to SQL with parameters only, over the table `object o`.

Every node can be tested for one object in two ways: by a *probe*, a look at what belongs to that object, or by
*membership* in the set of all objects that match. Most can also be a *driver*: a SELECT of the ids of all these.

What is quickest depends on how many match, so that is counted beforehand, as far as it is cheap. Where few
objects match a part of an AND, that part drives and the others are probed. Where all parts have many, a page is
found sooner by probing the objects in the order asked for (search.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from lustre_events.index.query import tree as q
from lustre_events.index.query.matching import probe
from lustre_events.index.query.wildcards import literal_of, literal_prefix_of, name_bytes
from lustre_events.index.sqlite.clause import NOTHING, Clause, Condition, joined, plain, union, within
from lustre_events.index.sqlite.documents import SLOT_BITS
from lustre_events.index.sqlite.paths import ABOVE, fids_of_pattern, probe_of_pattern

FEW = 50_000
"""Objects that are quickly collected and sorted."""
MANY = 4
"""So many times FEW are still quickly found by their ids alone."""
MANY_SHARE = 50
"""The first of more than one in so many objects are found as quickly by looking at objects in order."""
FEW_PATHS = 2_000
"""The same for the objects of a path pattern, which are found by a walk."""

LISTED = " AND le_listed(link.parent)"
"""Further condition on a link, where a viewer does not see all."""


MOST = 1 << 61
"""The size of what is not counted; what cannot drive at all has more."""

_Lookups = list[tuple[str, Clause]]


class Effort(IntEnum):
    """What is counted before a search begins. What is not counted is taken as very many."""

    QUICK = 0
    """Not where words stand: in a large index that takes long, and a first page is often found without it."""
    USUAL = 1
    """Objects below a path only up to FEW_PATHS: they are found by a walk."""
    THOROUGH = 2
    """All up to what is quickly collected."""


@dataclass(slots=True)
class Compiler:
    """Compiles the queries of one reading.

    Args:
        connection: knows keys and sizes, and takes functions.
        limited: a viewer does not see everything: `le_listed` and `le_readable` decide.
        few: see FEW; tests lower it.
    """

    connection: sqlite3.Connection
    limited: bool = False
    few: int = FEW
    _functions: int = field(default=0)
    _compiled: dict[tuple[q.Node, Effort], Condition] = field(default_factory=dict)
    _counts: dict[tuple[Clause, int], int] = field(default_factory=dict)
    _many: int = field(default=-1)

    @property
    def many(self) -> int:
        """Where more objects match, an index of values is no quick way to the first ones."""
        if self._many < 0:
            (objects,) = self.connection.execute("SELECT coalesce(max(id), 0) FROM object").fetchone()
            self._many = min(max(self.few, objects // MANY_SHARE), MANY * self.few)
        return self._many

    @property
    def live(self) -> str:
        """The condition that an object has at least one name (that is seen)."""
        return f"EXISTS (SELECT 1 FROM link WHERE link.fid = o.fid{self.seen})"  # noqa: S608 - a constant

    @property
    def seen(self) -> str:
        """Further condition on a link."""
        return LISTED if self.limited else ""

    def compile(self, node: q.Node, effort: Effort = Effort.USUAL) -> Condition:
        """Return what a node means; `effort` says what is counted for that. Raises QueryError."""
        if (node, effort) not in self._compiled:
            self._compiled[node, effort] = self._compile(node, effort)
        return self._compiled[node, effort]

    def _compile(self, node: q.Node, effort: Effort) -> Condition:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
        match node:
            case q.All():
                return plain(Clause("1"))
            case q.And(nodes):
                return self._all_of([self.compile(item, effort) for item in nodes])
            case q.Or(nodes):
                return self._one_of([self.compile(item, effort) for item in nodes])
            case q.Not(item):
                inner = self.compile(item, effort)
                probe_, member = (
                    Clause(f"NOT {test.sql}", test.parameters) for test in (inner.probe, inner.member)
                )
                return Condition(probe_, member)
            case q.Fact():
                return self._fact(node)
            case q.Type(letter):
                return plain(Clause("(o.type IS NOT NULL AND o.type = ?)", (letter,)))
            case q.Released(value):
                return plain(Clause("(coalesce(o.released, 0) != 0) = ?", (int(value),)))
            case q.Readable():
                return plain(Clause("le_readable(o.uid, o.gid, o.mode, o.acl)" if self.limited else "1"))
            case q.Mime(glob):
                return plain(Clause("(o.mime IS NOT NULL AND o.mime GLOB ?)", (glob.lower(),)))
            case q.Identity(fid):
                packed = (fid.pack(),)
                driver = Clause("SELECT id FROM object WHERE fid = ?", packed)
                return plain(Clause("o.fid = ?", packed), driver, 1)
            case q.Among(ids):
                inside = f"id IN ({','.join(map(str, ids))})"
                driver = Clause(f"SELECT id FROM object WHERE {inside}")  # noqa: S608 - numbers
                return plain(Clause(f"o.{inside}"), driver, len(ids))
            case q.JobId(glob):
                return plain(Clause(f"(o.jobid IS NOT NULL AND {_GLOB.format('o.jobid')})", (name_bytes(glob),)))
            case q.Name(glob):
                return self._name(glob)
            case q.Extension(text):
                return self._by_link(Clause(_LIKE, (b"_%." + name_bytes(_like_literal(text)),)), scans=True)
            case q.Path(glob):
                return self._path(glob, FEW_PATHS if effort < Effort.THOROUGH else self.few)
            case q.HasDocument(glob):
                return self._document("body", glob)
            case q.Failed(glob):
                return self._document("failure", glob)
            case q.Text(words, prefix):
                return self._text(words, prefix=prefix, count=effort > Effort.QUICK)
            case q.KeyEquals() | q.KeyRange() | q.KeyGlob() | q.KeyExists():
                return self._key(node)

    def _all_of(self, conditions: list[Condition]) -> Condition:
        probes = joined([condition.probe for condition in conditions], "AND")
        members = joined([condition.member for condition in conditions], "AND")
        drivers = [condition for condition in conditions if condition.driver is not None]
        if not drivers:
            return Condition(probes, members)
        best = min(drivers, key=lambda condition: (condition.scans, condition.size))
        few = best.size <= self.few
        streams = tuple(stream for each in conditions for stream in each.streams)
        others = [each.besides if each.streams else each.probe for each in conditions]
        besides = [clause for clause in others if clause is not None]
        rest = [each.probe if few else each.member for each in conditions if each is not best]
        rest += [best.rest] if best.rest is not None else []
        return Condition(
            probes, members, best.driver, joined(rest, "AND") if rest else None, best.size, best.scans, streams,
            joined(besides, "AND") if besides else None,
        )  # fmt: skip

    def _one_of(self, conditions: list[Condition]) -> Condition:
        probes = joined([condition.probe for condition in conditions], "OR")
        members = joined([condition.member for condition in conditions], "OR")
        sources = [source for condition in conditions if (source := condition.source()) is not None]
        if len(sources) < len(conditions):
            return Condition(probes, members)
        size = sum(condition.size for condition in conditions)
        return Condition(probes, members, union(sources), size=size, scans=any(each.scans for each in conditions))

    def _counted(self, source: Clause, limit: int | None = None) -> int:
        """Return how many rows a SELECT has, counted to a little beyond the limit (`many`)."""
        wanted = (source, (self.many if limit is None else limit) + 1)
        if wanted not in self._counts:
            found = self.connection.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM ({source.sql}) LIMIT ?)",  # noqa: S608 - made here
                (*source.parameters, wanted[1]),
            )
            self._counts[wanted] = int(found.fetchone()[0])
        return self._counts[wanted]

    def _set_of(self, source: Clause, probe_: Clause | None = None) -> Condition:
        # The plus keeps SQLite from driving from it: what drives is decided here.
        member = within(source, plus="+")
        return Condition(probe_ or member, member, source, size=self._counted(source))

    def _fact(self, node: q.Fact) -> Condition:
        limits = [(sign, value) for sign, value in ((">= ?", node.low), ("< ?", node.high)) if value is not None]
        bounds = ["IS NOT NULL", *(sign for sign, _ in limits)]
        parameters = tuple(value for _, value in limits)
        test = Clause("(" + " AND ".join(f"+o.{node.column} {bound}" for bound in bounds) + ")", parameters)
        if node.column not in _INDEXED_FACTS or not limits:
            return plain(test)
        condition = " AND ".join(f"{node.column} {bound}" for bound in bounds)
        driver = Clause(f"SELECT id FROM object WHERE {condition}", parameters)  # noqa: S608
        return plain(test, driver, self._counted(driver))

    def _name(self, glob: str) -> Condition:
        literal = literal_of(glob)
        if literal is not None:
            return self._by_link(Clause("link.name = ?", (name_bytes(literal),)))
        prefix = name_bytes(literal_prefix_of(glob))
        test = Clause(_GLOB.format("link.name"), (name_bytes(glob),))
        if not prefix:
            return self._by_link(test, scans=True)
        between = Clause("link.name >= ? AND link.name < ?", (prefix, prefix + b"\xff" * 256))
        return self._by_link(joined([between, test], "AND"))

    def _by_link(self, test: Clause, *, scans: bool = False) -> Condition:
        """Return the condition that an object has a name for which `test` holds."""
        probe_ = Clause(
            f"EXISTS (SELECT 1 FROM link WHERE link.fid = o.fid AND {test.sql}{self.seen})",  # noqa: S608
            test.parameters,
        )
        index = "" if scans else " INDEXED BY link_name"
        fids = f"SELECT link.fid FROM link{index} WHERE link.fid IS NOT NULL AND {test.sql}{self.seen}"  # noqa: S608
        driver = Clause(f"SELECT id FROM object WHERE fid IN ({fids})", test.parameters)  # noqa: S608
        if scans:
            return Condition(probe_, probe_, driver, scans=True)
        return plain(probe_, driver, self._counted(Clause(fids, test.parameters)))

    def _path(self, glob: str, few: int) -> Condition:
        sql, values = fids_of_pattern(glob, self.seen)
        fids = Clause(sql, tuple(values))
        driver = Clause(f"SELECT id FROM object WHERE fid IN ({sql})", fids.parameters)  # noqa: S608
        size = self._counted(fids, few)
        if size > few:
            size = MOST
        member = within(driver, plus="+")
        rising = probe_of_pattern(glob, self.seen)
        if rising is not None:
            probe_ = Clause(rising[0], tuple(rising[1]))
            return Condition(probe_, probe_, driver, size=size)
        directory = glob.removesuffix("/**").rstrip("/")
        if not glob.startswith("/") or not glob.endswith("/**") or literal_of(directory) is None:
            return Condition(member, member, driver, size=size)
        # All below one directory: climbing from an object costs less than walking a large subtree.
        sql, values = fids_of_pattern(directory or "/")
        above = ABOVE.format(f"SELECT parent FROM link WHERE link.fid = o.fid{self.seen}")  # noqa: S608
        climb = Clause(f"coalesce(({sql}) IN ({above}), 0)", tuple(values))
        return Condition(climb, climb, driver, size=size)

    def _document(self, column: str, glob: str) -> Condition:
        literal = literal_of(glob)
        condition = f"{column} IS NOT NULL AND extractor " + ("GLOB ?" if literal is None else "= ?")
        value = (glob if literal is None else literal,)
        test = Clause(f"EXISTS (SELECT 1 FROM {_OF_OBJECT} AND {condition})", value)  # noqa: S608
        # Named, for SQLite does not know how few of them there are.
        index = "document_failure" if column == "failure" else "document_extractor"
        driver = Clause(f"SELECT object FROM document INDEXED BY {index} WHERE {condition}", value)  # noqa: S608
        return plain(test, driver, self._counted(driver))

    def _text(self, words: str, *, prefix: bool, count: bool) -> Condition:
        # One phrase of FTS5's own query language.
        phrase = ('"' + words.replace('"', '""') + '"' + (" *" if prefix else ""),)
        found = f"SELECT rowid >> {SLOT_BITS} AS id FROM fulltext WHERE fulltext MATCH ?"  # noqa: S608 - a constant
        source = Clause(found, phrase)
        probe_ = Clause(
            "EXISTS (SELECT 1 FROM fulltext WHERE fulltext MATCH ?"  # noqa: S608 - constants
            f" AND rowid >= o.id << {SLOT_BITS} AND rowid < (o.id + 1) << {SLOT_BITS})",
            phrase,
        )

        def stream(after: int) -> Clause:
            return Clause(f"{found} AND rowid >= ? ORDER BY rowid", (*phrase, (after + 1) << SLOT_BITS))

        size = self._counted(source, self.few) if count else MOST
        return Condition(probe_, within(source, plus="+"), source, size=size, streams=(stream,))

    def _key(self, node: q.KeyEquals | q.KeyRange | q.KeyGlob | q.KeyExists) -> Condition:
        keys = self.key_ids(node.key)
        ids = ",".join(map(str, keys))
        lookups = _key_lookups(node) if ids else []
        if not lookups:
            return plain(Clause("0"), NOTHING, 0)
        source = union(
            [
                Clause(f"SELECT object FROM {table} WHERE key IN ({ids}) AND {test.sql}", test.parameters)  # noqa: S608
                for table, test in lookups
            ]
        )
        if not isinstance(node, q.KeyEquals) or " " in node.word:
            name = self._function(2, probe(node))
            return self._set_of(source, Clause(
                f"EXISTS (SELECT 1 FROM {_OF_OBJECT} AND d.body IS NOT NULL"  # noqa: S608
                f" AND {name}(d.extractor, d.body))"
            ))  # fmt: skip
        probes = [
            Clause(
                f"EXISTS (SELECT 1 FROM {table} WHERE key IN ({ids}) AND {test.sql} AND object = o.id)",  # noqa: S608
                test.parameters,
            )
            for table, test in lookups
        ]
        found = self._set_of(source, joined(probes, "OR"))
        return replace(found, streams=(lambda after: _merged(lookups, keys, after),))

    def key_ids(self, key: str) -> list[int]:
        """Return the ids of a dotted key: of all extractors, or behind its extractor's name."""
        extractor, _, name = key.partition(".")
        found = self.connection.execute(
            "SELECT id FROM key WHERE name = ? OR (extractor = ? AND name = ?)", (key, extractor, name)
        )
        return [row[0] for row in found]

    def _function(self, arguments: int, function: Callable[..., bool]) -> str:
        """Give SQLite a function and return the name by which a statement calls it."""
        self._functions += 1
        name = f"le_probe_{self._functions}"
        self.connection.create_function(name, arguments, function)
        return name


_OF_OBJECT = f"document d NOT INDEXED WHERE d.id >= o.id << {SLOT_BITS} AND d.id < (o.id + 1) << {SLOT_BITS}"
"""The documents of an object: by their ids, whatever else is said of them."""

# A name is bytes: both sides become text for the comparison, whatever their encoding.
_GLOB = "CAST({} AS TEXT) GLOB CAST(? AS TEXT)"
_LIKE = "CAST(link.name AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\\'"
_INDEXED_FACTS = frozenset({"size", "mtime_ns", "uid", "gid"})
_BEHIND = "\U0010ffff" * 4
"""Behind every text that begins like the one before it."""


def _key_lookups(node: q.KeyEquals | q.KeyRange | q.KeyGlob | q.KeyExists) -> _Lookups:
    """Return (table, condition) of each place where a value can stand."""
    match node:
        case q.KeyEquals(_, word, number):
            numbers = [("number", Clause("value = ?", (number,)))] if number is not None else []
            words = Clause("value = ?", (word,))
            if " " in word:  # a whole value, or a run of whole words in one
                return [("word", Clause("instr(' ' || value || ' ', ?) > 0", (f" {word} ",)))]
            return [*numbers, ("word", words), ("part", words)]
        case q.KeyRange():
            return _range_lookups(node)
        case q.KeyGlob(_, glob):
            prefix = literal_prefix_of(glob)
            test = Clause("value >= ? AND value < ? AND value GLOB ?", (prefix, prefix + _BEHIND, glob))
            return [("word", test), ("part", test)]
        case q.KeyExists():
            return [("number", Clause("1")), ("word", Clause("1"))]


def _merged(lookups: _Lookups, keys: Sequence[int], after: int) -> Clause:
    """Return a SELECT of the ids of objects that have one value, in order: each part is, and SQLite merges them."""
    parts = [
        Clause(
            f"SELECT object AS id FROM {table} WHERE key = {key} AND {test.sql} AND object > ?",  # noqa: S608
            (*test.parameters, after),
        )
        for table, test in lookups
        for key in keys
    ]
    parameters = tuple(value for part in parts for value in part.parameters)
    return Clause(" UNION ".join(part.sql for part in parts) + " ORDER BY 1", parameters)


def _range_lookups(node: q.KeyRange) -> _Lookups:
    clauses = []
    if node.low is not None:
        clauses.append(Clause("value >= ?" if node.include_low else "value > ?", (node.low,)))
    if node.high is not None:
        clauses.append(Clause("value <= ?" if node.include_high else "value < ?", (node.high,)))
    table = "word" if isinstance(node.low, str) or isinstance(node.high, str) else "number"
    return [(table, joined(clauses, "AND"))]


def _like_literal(text: str) -> str:
    return "".join("\\" + char if char in "\\%_" else char for char in text)
