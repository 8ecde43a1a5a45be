"""SQLite's pieces of the SQL of a query (planner/dialect.py), and what is quick here.

Full text is found as a stream: FTS5 gives the objects of a word in the order of their ids, one after the other, so
a first page needs no more than the beginning. To *count* them takes long in a large index, and there are no
statistics of them. That is why a search makes up to three efforts here (pages.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial

from lustre_events.domain import acl
from lustre_events.index.names import name_has_words
from lustre_events.index.planner.clause import FALSE, MANY, TRUE, Clause, SqlCondition, Stream, all_hold
from lustre_events.index.planner.dialect import Dialect, Effort, Lookup, Words
from lustre_events.index.query.key_values import KeyNode, exact
from lustre_events.index.query.matching import probe
from lustre_events.index.query.wildcards import name_bytes
from lustre_events.index.sqlite.documents import SLOT_BITS, body_has_words
from lustre_events.index.visibility import MODE, Viewer, permits_sql
from lustre_events.index.words import words_of

MANY_TIMES = 4
"""Up to this many times FEW objects are still quickly found by their ids alone."""
_WORTH_BODIES, _WORTH_NAMES = 500, 5_000
"""Objects whose documents, or names, are looked at as quickly as the places of a frequent prefix are counted."""
MANY_SHARE = 50
"""The first of more than one in this number of objects are found as quickly by looking at objects in order."""

LISTED = Clause("le_listed(link.parent)")
"""Condition on a link, where a viewer does not see all."""
_READABLE = f"le_readable(o.uid, o.gid, {MODE}, o.acl)"


def readable_by(viewer: Viewer) -> Clause:
    """Return the condition that a viewer can read `o`, as visibility.permits says."""
    groups = ", ".join(map(str, sorted(viewer.gids)))
    is_owner, in_group = f"o.uid = {viewer.uid}", f"o.gid IN ({groups})"
    return TRUE if viewer.sees_all else Clause(permits_sql(acl.READ, _READABLE, is_owner, in_group))


class SqliteDialect(Dialect):
    """SQLite, over one connection, which also takes functions. Counts are kept: one moment of an index is read."""

    mark = "?"
    plus = "+"
    position = "instr"
    exists = "EXISTS (SELECT 1 {})"
    # The plus keeps SQLite from driving from it: what drives is decided by the planner.
    member = "+o.id IN ({})"
    drives = "{} IN ({})"
    # A part of a UNION must not be a WITH, nor end with a LIMIT.
    part_of_union = "SELECT * FROM ({})"
    indexed = frozenset({"size", "mtime_ns", "uid", "gid"})
    # Named, here and below, for SQLite does not know how few of them there are.
    link_by_name = "link INDEXED BY link_folded"
    # By their ids, whatever else is said of them.
    documents_of_object = (
        f"document d NOT INDEXED WHERE d.id >= o.id << {SLOT_BITS} AND d.id < (o.id + 1) << {SLOT_BITS}"
    )
    key_join = "CROSS JOIN"
    ending = "le_ext(link.name)"

    root = "?"
    # Without the word, SQLite would make one join of all steps.
    kept = "MATERIALIZED "
    in_directory = "SELECT link.fid FROM {0} CROSS JOIN link ON link.parent = {0}.fid WHERE {1}"
    upwards = "CROSS JOIN link AS {0} ON {0}.fid = {1}.parent AND {2}"
    above = (
        "WITH RECURSIVE above (fid) AS ({} UNION SELECT upper.parent FROM above"
        " CROSS JOIN link AS upper ON upper.fid = above.fid) SELECT fid FROM above"
    )

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Speak to an index for the time of one reading."""
        super().__init__(lambda clause: connection.execute(clause.sql, clause.parameters).fetchall())
        self._connection = connection
        self._functions = 0
        self._counts: dict[tuple[Clause, int], int] = {}
        self._objects = -1

    def among(self, column: str, ids: Collection[int]) -> Clause:
        """Return the condition that a column is one of these numbers."""
        return Clause(f"{column} IN ({','.join(map(str, ids))})")

    def text_like(self, column: str, glob: str) -> Clause:
        """Return the condition that a text matches a glob."""
        return Clause(f"{column} GLOB ?", (glob,))

    def name_like(self, column: str, glob: str) -> Clause:
        """Return the condition that a name (bytes) matches a glob."""
        # A name is bytes: both sides become text for the comparison, whatever their encoding.
        return Clause(f"CAST({column} AS TEXT) GLOB CAST(? AS TEXT)", (name_bytes(glob),))

    def name_ends(self, text: str) -> tuple[Clause, bool]:
        """Return the condition that a name ends with a dot and a text; all names are read for it."""
        literal = "".join("\\" + char if char in "\\%_" else char for char in text)
        like = "CAST(link.name AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\\'"
        return Clause(like, (b"_%." + name_bytes(literal),)), True

    def documents_by_extractor(self, column: str) -> str:
        """Return the table with the index that is to be used."""
        return f"document INDEXED BY document_{'failure' if column == 'failure' else 'extractor'}"

    def words(self, words: str, *, prefix: bool, few: int, effort: Effort) -> Words:
        """Return where words stand that follow each other."""
        phrase = (phrase_of(words, prefix=prefix),)
        found = f"SELECT rowid >> {SLOT_BITS} AS id FROM fulltext WHERE fulltext MATCH ?"  # noqa: S608 - a constant

        def stream(after: int) -> tuple[Clause, ...]:
            return (Clause(f"{found} AND rowid >= ? ORDER BY rowid", (*phrase, (after + 1) << SLOT_BITS)),)

        source = Clause(found, phrase)
        size = self.counted(source, few) if _is_counted(effort, few, _WORTH_BODIES, prefix=prefix) else MANY
        return Words(
            source, size, self._words_of_object(words, phrase, prefix=prefix) if size else FALSE, (stream,)
        )

    def _words_of_object(self, words: str, phrase: tuple[str], *, prefix: bool) -> Clause:
        """Return the condition that words stand in a document of `o`."""
        if prefix:  # the full text would look it up anew for each object
            name = self._function(1, partial(body_has_words, wanted=list(words_of(words)), prefix=True))
            return Clause.of(self.exists, Clause(f"FROM {self.documents_of_object} AND {name}(d.body)"))
        of_object = f"AND rowid >= o.id << {SLOT_BITS} AND rowid < (o.id + 1) << {SLOT_BITS}"
        return Clause.of(self.exists, Clause(f"FROM fulltext WHERE fulltext MATCH ? {of_object}", phrase))

    def name_words(
        self, words: str, *, prefix: bool, few: int, effort: Effort, seen: Clause | None
    ) -> SqlCondition | None:
        """Return the condition that words follow each other in a name."""
        wanted = list(words_of(words))
        if not wanted:
            return None
        phrase = (phrase_of(words, prefix=prefix),)
        source = Clause("SELECT rowid AS id FROM naming WHERE naming MATCH ?", phrase)
        # Its names are looked at themselves: a prefix would be looked up anew for each object, and of several names
        # the words may stand in one that is not seen.
        name = self._function(1, partial(name_has_words, wanted=wanted, prefix=prefix))
        # Whether it is seen comes last: few names have the words, and each directory is asked for.
        named = all_hold(Clause("link.fid = o.fid"), Clause(f"{name}(link.name)"), seen)
        probe = Clause.of(self.exists, Clause.of("FROM link WHERE {}", named))
        rest = None if seen is None else probe

        def stream(after: int) -> tuple[Clause, ...]:
            return (Clause(f"{source.sql} AND rowid > ? ORDER BY rowid", (*phrase, after)),)

        size = self.counted(source, few) if _is_counted(effort, few, _WORTH_NAMES, prefix=prefix) else MANY
        member = Clause.of(self.member, source)
        return SqlCondition(probe, all_hold(member, rest), source, rest, size, streams=(stream,), besides=rest)

    def body_probe(self, node: KeyNode) -> Clause | None:
        """Return a condition that looks into the object's documents, but for a value at one place of a table."""
        if exact(node):
            return None
        name = self._function(2, probe(node))
        found = f"FROM {self.documents_of_object} AND d.body IS NOT NULL AND {name}(d.extractor, d.body)"
        return Clause.of(self.exists, found)

    def key_streams(self, lookups: Sequence[Lookup], keys: Sequence[int]) -> tuple[Stream, ...]:
        """Return a stream of the objects that have a value: each part is in order, and SQLite merges them."""

        def stream(after: int) -> tuple[Clause, ...]:
            parts = [
                Clause(
                    f"SELECT object AS id FROM {table} WHERE key = {key} AND {test.sql} AND object > ?",  # noqa: S608
                    (*test.parameters, after),
                )
                for table, test in lookups
                for key in keys
            ]
            parameters = tuple(value for part in parts for value in part.parameters)
            return (Clause(" UNION ".join(part.sql for part in parts) + " ORDER BY 1", parameters),)

        return (stream,)

    def enough(self, few: int) -> int:
        """Return where more objects match than an index of values quickly gives the first ones of."""
        if self._objects < 0:
            self._objects = int(self.run(Clause("SELECT coalesce(max(id), 0) FROM object"))[0][0])
        return min(max(few, self._objects // MANY_SHARE), MANY_TIMES * few)

    def _function(self, arguments: int, function: Callable[..., bool]) -> str:
        """Return the name that SQL calls a function by."""
        self._functions += 1
        name = f"le_test_{self._functions}"
        self._connection.create_function(name, arguments, function)
        return name

    def counted(self, source: Clause, limit: int) -> int:
        """Return how many rows a SELECT has, which is counted once."""
        if (source, limit) not in self._counts:
            self._counts[source, limit] = super().counted(source, limit)
        return self._counts[source, limit]


def _is_counted(effort: Effort, few: int, worth: int, *, prefix: bool) -> bool:
    """Return whether to count where words stand: that of a prefix reads all places of all words that begin so."""
    return effort > Effort.QUICK and not (prefix and few < worth)


def phrase_of(words: str, *, prefix: bool) -> str:
    """Return one phrase of FTS5's own query language."""
    return '"' + words.replace('"', '""') + '"' + (" *" if prefix else "")
