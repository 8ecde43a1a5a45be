"""From the tree of a query to SQL with parameters only, over the table `object o`: what each node means.

Every node can be tested for one object in two ways: by a *probe*, a look at what belongs to that object, or by
*membership* in the set of all objects that match. Most can also be a *driver*: a SELECT of the ids of all these.

What is quickest depends on how many match, so that is counted beforehand, as far as it is cheap. Where few objects
match a part of an AND, that part drives and the others are probed. Where all parts have many, a page is found
sooner by probing the objects in the order asked for (which each database does in its own way). A database cannot
decide this: it takes a key and its values for independent, and does not know how far a page reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from lustre_events.errors import QueryError
from lustre_events.index.planner import patterns
from lustre_events.index.planner.clause import (
    FALSE,
    MANY,
    TRUE,
    Clause,
    SqlCondition,
    Stream,
    all_hold,
    joined,
    plain,
)
from lustre_events.index.planner.dialect import Dialect, Effort
from lustre_events.index.query import key_values
from lustre_events.index.query import tree as q
from lustre_events.index.query.wildcards import literal_of, literal_prefix_of
from lustre_events.index.typed_values import has_unspaced, segmented
from lustre_events.index.values import clean

FEW = 50_000
"""Objects that are quickly collected and sorted."""
FEW_PATHS = 2_000
"""The same for the objects of a path pattern, which are found by a walk."""

MOST_KEYS = 500
"""Keys that a field's name with * may stand for."""

_NOTHING = Clause("SELECT id FROM object WHERE false")


@dataclass(frozen=True, slots=True)
class Planner:
    """Translates the queries of one reading into SQL.

    Args:
        dialect: the database.
        seen: condition on a link: its name is seen by the viewer; None: all are.
        readable: condition on `o`: the viewer can read its content.
        few: see FEW; tests lower it.
    """

    dialect: Dialect
    seen: Clause | None = None
    readable: Clause = TRUE
    few: int = FEW
    _planned: dict[tuple[q.Node, Effort], SqlCondition] = field(default_factory=dict, init=False)

    def plan(self, node: q.Node, effort: Effort = Effort.USUAL) -> SqlCondition:
        """Return what a node means; `effort` says what is counted for that. Raises QueryError."""
        if not isinstance(node, _COUNTED):
            effort = Effort.USUAL
        found = self._planned.get((node, effort))
        if found is None:
            found = self._planned[node, effort] = self._meaning[type(node)](self, node, effort)
        return found

    def driven(self, condition: SqlCondition) -> Clause:
        """Return the WHERE condition that is best for all objects that match."""
        if condition.driver is None:
            return condition.member
        first = Clause.of(self.dialect.drives, "o.id", condition.driver)
        return first if condition.rest is None else joined([first, condition.rest], "AND")

    @property
    def live(self) -> Clause:
        """The condition that an object has at least one (visible) name."""
        return Clause.of(self.dialect.exists, Clause.of("FROM link WHERE {}", self.name_of_object()))

    def name_of_object(self, test: Clause | None = None) -> Clause:
        """Return the condition that a link is a (visible) name of `o` for which a test holds."""
        return all_hold(Clause("link.fid = o.fid"), test, self.seen)

    def key_ids(self, key: str, *, wild: bool = False) -> list[int]:
        """Return the ids of a dotted key: of all extractors, or behind its extractor's name. `wild`: of a glob.

        Raises:
            QueryError: the glob means more than MOST_KEYS.
        """
        mark = self.dialect.mark
        if wild:
            glob = patterns.stored(key)
            alone = patterns.text_test(self.dialect, "name", glob)
            behind = self.dialect.text_like("extractor || '.' || name", glob)
            found = Clause.of(
                "SELECT id FROM key WHERE {} OR {} LIMIT {}", alone, behind, Clause(mark, (MOST_KEYS + 1,))
            )
        else:
            extractor, _, name = key.partition(".")
            test = f"SELECT id FROM key WHERE name = {mark} OR (extractor = {mark} AND name = {mark})"  # noqa: S608
            found = Clause(test, (key, extractor, name))
        ids = [int(row[0]) for row in self.dialect.run(found)]
        if wild and len(ids) > MOST_KEYS:
            raise QueryError(f"more than {MOST_KEYS:,} keys match {clean(key)}; write more of the field's name")
        return ids

    # How several nodes go together.

    def _every(self, _: q.All, __: Effort) -> SqlCondition:
        return plain(TRUE)

    def _and(self, node: q.And, effort: Effort) -> SqlCondition:
        conditions = self._parts(node.nodes, effort)
        probes = joined([condition.probe for condition in conditions], "AND")
        members = joined([condition.member for condition in conditions], "AND")
        drivers = [condition for condition in conditions if condition.driver is not None]
        if not drivers:
            return SqlCondition(probes, members)
        best = min(drivers, key=lambda condition: (condition.scans, condition.size))
        few = best.size <= self.few
        rest = [each.probe if few else each.member for each in conditions if each is not best]
        rest += [best.rest] if best.rest is not None else []
        return SqlCondition(
            probes, members, best.driver, joined(rest, "AND") if rest else None, best.size, best.scans,
            *_streams(conditions),
        )  # fmt: skip

    def _parts(self, nodes: Sequence[q.Node], effort: Effort) -> list[SqlCondition]:
        """Return what all of some nodes mean.

        Words and paths are counted no further than the smallest of the others has objects: beyond that they do not
        drive.
        """
        others = {each: self.plan(each, effort) for each in nodes if not _is_dear(each)}
        few = min(
            (each.size for each in others.values() if each.driver is not None and not each.scans), default=MANY
        )
        planner = replace(self, few=few) if few < self.few else self
        return [others[each] if each in others else planner.plan(each, effort) for each in nodes]

    def _or(self, node: q.Or, effort: Effort) -> SqlCondition:
        # A look at names costs less than one at documents, which is mostly saved.
        nodes = sorted(node.nodes, key=lambda each: isinstance(each, q.Text))
        conditions = [self.plan(item, effort) for item in nodes]
        probes = joined([condition.probe for condition in conditions], "OR")
        members = joined([condition.member for condition in conditions], "OR")
        sources = [source for condition in conditions if (source := self._source(condition)) is not None]
        if len(sources) < len(conditions):
            return SqlCondition(probes, members)
        size = sum(condition.size for condition in conditions)
        scans = any(condition.scans for condition in conditions)
        return SqlCondition(
            probes, members, self.dialect.union(sources), None, min(size, MANY), scans, *_merged(conditions, probes)
        )

    def _not(self, node: q.Not, effort: Effort) -> SqlCondition:
        inner = self.plan(node.node, effort)
        return SqlCondition(Clause.of("NOT {}", inner.probe), Clause.of("NOT {}", inner.member))

    def _source(self, condition: SqlCondition) -> Clause | None:
        """Return a SELECT of the ids of all objects that match."""
        if condition.driver is None or condition.rest is None:
            return condition.driver
        return Clause.of("SELECT o.id FROM object o WHERE {}", self.driven(condition))

    # What an object's row tells.

    def _fact(self, node: q.Fact, _: Effort) -> SqlCondition:
        bounds = _bounds(self.dialect.mark, (">=", node.low), ("<", node.high))

        def test(column: str) -> Clause:
            return all_hold(*(Clause(f"{column} {each.sql}", each.parameters) for each in (_KNOWN, *bounds)))

        probe = Clause.of("({})", test(f"{self.dialect.plus}o.{node.column}"))
        if node.column not in self.dialect.indexed or not bounds:
            return plain(probe)
        return self._driven_by(Clause.of("SELECT id FROM object WHERE {}", test(node.column)), probe)

    def _type(self, node: q.Type, _: Effort) -> SqlCondition:
        return plain(Clause(f"(o.type IS NOT NULL AND o.type = {self.dialect.mark})", (node.letter,)))

    def _released(self, node: q.Released, _: Effort) -> SqlCondition:
        return plain(Clause(f"(coalesce(o.released, 0) != 0) = {self.dialect.mark}", (node.value,)))

    def _readable(self, _: q.Readable, __: Effort) -> SqlCondition:
        return plain(self.readable)

    def _mime(self, node: q.Mime, _: Effort) -> SqlCondition:
        glob = patterns.stored(node.glob).lower()
        probe = Clause.of("(o.mime IS NOT NULL AND {})", patterns.text_test(self.dialect, "o.mime", glob))
        if "mime" not in self.dialect.indexed:
            return plain(probe)
        test = patterns.text_test(self.dialect, "mime", glob)
        return self._driven_by(Clause.of("SELECT id FROM object WHERE {}", test), probe)

    def _fact_word(self, node: q.FactWord, _: Effort) -> SqlCondition:
        words = f"' ' || o.{node.column} || ' '"
        test = self.dialect.text_like(words, f"* {patterns.stored(node.glob)} *")
        return plain(Clause.of("(o.{} IS NOT NULL AND {})", node.column, test))

    def _job_id(self, node: q.JobId, _: Effort) -> SqlCondition:
        test = self.dialect.name_like("o.jobid", node.glob)
        return plain(Clause.of("(o.jobid IS NOT NULL AND {})", test))

    def _identity(self, node: q.HasFid, _: Effort) -> SqlCondition:
        test = Clause(f"fid = {self.dialect.mark}", (node.fid.pack(),))
        return plain(Clause.of("o.{}", test), Clause.of("SELECT id FROM object WHERE {}", test), 1)

    def _among(self, node: q.Among, _: Effort) -> SqlCondition:
        driver = Clause.of("SELECT id FROM object WHERE {}", self.dialect.among("id", node.ids))
        return plain(self.dialect.among("o.id", node.ids), driver, len(node.ids))

    # What its names and paths tell.

    def _name(self, node: q.Name, _: Effort) -> SqlCondition:
        scans = literal_of(node.glob) is None and not literal_prefix_of(node.glob)
        test = patterns.folded_test(self.dialect, node.glob)
        if node.exact:
            test = all_hold(test, patterns.name_test(self.dialect, "link.name", node.glob))
        return self._by_name(test, scans=scans)

    def _name_words(self, node: q.NameWords, effort: Effort) -> SqlCondition:
        words = _spaced(node.words)
        found = self.dialect.name_words(words, prefix=node.prefix, few=self.few, effort=effort, seen=self.seen)
        return plain(FALSE, _NOTHING, 0) if found is None else found

    def _extension(self, node: q.Extension, _: Effort) -> SqlCondition:
        test, scans = self.dialect.name_ends(node.text)
        return self._by_name(test, scans=scans)

    def _by_name(self, test: Clause, *, scans: bool) -> SqlCondition:
        probe = Clause.of(self.dialect.exists, Clause.of("FROM link WHERE {}", self.name_of_object(test)))
        table = "link" if scans else self.dialect.link_by_name
        named = all_hold(Clause("link.fid IS NOT NULL"), test, self.seen)
        fids = Clause.of("SELECT link.fid FROM {} WHERE {}", table, named)
        if scans:
            return SqlCondition(probe, probe, self._of_fids(fids), scans=True)
        return plain(probe, self._of_fids(fids), self._counted(fids))

    def _path(self, node: q.Path, effort: Effort) -> SqlCondition:
        limit = self.few if effort is Effort.THOROUGH else min(self.few, FEW_PATHS)
        fids, size = self.dialect.collected(
            patterns.fids_of_pattern(self.dialect, node.glob, self.seen), "bytea", limit
        )
        driver = self._of_fids(fids)
        member = Clause.of(self.dialect.member, driver)
        rising = patterns.probe_of_pattern(self.dialect, node.glob, self.seen)
        if rising is not None:
            return plain(rising, driver, size)
        # All below one directory: climbing from an object costs less than walking a large subtree.
        climb = patterns.climb_of_subtree(self.dialect, node.glob, self.seen)
        if climb is None:
            return plain(member, driver, size)
        return SqlCondition(climb, climb if size == MANY else member, driver, size=size)

    def _inside(self, node: q.Inside, _: Effort) -> SqlCondition:
        return plain(patterns.inside(self.dialect, node.globs, node.fids))

    def _of_fids(self, fids: Clause) -> Clause:
        return Clause.of("SELECT id FROM object WHERE {}", Clause.of(self.dialect.drives, "fid", fids))

    # What its documents tell.

    def _has_document(self, node: q.HasDocument, _: Effort) -> SqlCondition:
        return self._document("body", node.glob)

    def _failed(self, node: q.Failed, _: Effort) -> SqlCondition:
        return self._document("failure", node.glob)

    def _document(self, column: str, glob: str) -> SqlCondition:
        matches = patterns.text_test(self.dialect, "extractor", patterns.stored(glob))
        test = all_hold(Clause(f"{column} IS NOT NULL"), matches)
        probe = Clause.of(self.dialect.exists, Clause.of("FROM {} AND {}", self.dialect.documents_of_object, test))
        table = self.dialect.documents_by_extractor(column)
        return self._driven_by(Clause.of("SELECT object FROM {} WHERE {}", table, test), probe)

    def _text(self, node: q.Text, effort: Effort) -> SqlCondition:
        found = self.dialect.words(_spaced(node.words), prefix=node.prefix, few=self.few, effort=effort)
        if found is None:
            return plain(FALSE, _NOTHING, 0)
        member = Clause.of(self.dialect.member, found.source)
        return SqlCondition(found.probe, member, found.source, size=found.size, streams=found.streams)

    def _key(self, node: key_values.KeyNode, _: Effort) -> SqlCondition:
        ids = self.key_ids(node.key, wild=node.wild)
        if not ids:
            return plain(FALSE, _NOTHING, 0)
        of_keys = f"key IN ({','.join(map(str, ids))})"
        if not self.dialect.run(Clause(f"SELECT 1 FROM text_time WHERE {of_keys} LIMIT 1")):  # noqa: S608 - numbers
            node = key_values.without_times(node)
        lookups = [(str(kind), self._value(test)) for kind, test in key_values.lookups(node)]
        condition = f"FROM {{}} WHERE {of_keys} AND {{}}"
        found = [Clause.of(condition, table, test) for table, test in lookups]
        source = self.dialect.union([Clause.of("SELECT object {}", each) for each in found])
        probe = self.dialect.body_probe(node)
        if probe is None:
            of_object = [Clause.of(self.dialect.exists, Clause.of("{} AND object = o.id", each)) for each in found]
            probe = joined(of_object, "OR")
        streams = self.dialect.key_streams(lookups, ids) if key_values.exact(node) else ()
        return SqlCondition(
            probe, Clause.of(self.dialect.member, source), source, size=self._counted(source), streams=streams
        )  # fmt: skip

    def _value(self, test: key_values.ValueTest) -> Clause:
        mark = self.dialect.mark
        match test:
            case key_values.Is(value):
                return Clause(f"value = {mark}", (self.dialect.number(value),))
            case key_values.Has(characters):
                return Clause(f"{self.dialect.position}(value, {mark}) > 0", (characters,))
            case key_values.HasRun(words):
                return Clause(f"{self.dialect.position}(' ' || value || ' ', {mark}) > 0", (f" {words} ",))
            case key_values.Between(low, high, include_low, include_high):
                low, high = self.dialect.number(low), self.dialect.number(high)
                bounds = _bounds(mark, (">=" if include_low else ">", low), ("<=" if include_high else "<", high))
                return joined([Clause.of("value {}", bound) for bound in bounds], "AND") if bounds else TRUE
            case key_values.Like(glob):
                return patterns.text_test(self.dialect, "value", glob)
            case key_values.Anything():
                return TRUE

    def _driven_by(self, driver: Clause, probe: Clause) -> SqlCondition:
        return plain(probe, driver, self._counted(driver))

    def _counted(self, source: Clause) -> int:
        return self.dialect.counted(source, self.dialect.enough(self.few))

    _meaning: ClassVar[dict[type[q.Node], Callable[[Any, Any, Effort], SqlCondition]]] = {
        q.All: _every,
        q.And: _and,
        q.Or: _or,
        q.Not: _not,
        q.Fact: _fact,
        q.Type: _type,
        q.Released: _released,
        q.FactWord: _fact_word,
        q.Readable: _readable,
        q.Mime: _mime,
        q.JobId: _job_id,
        q.HasFid: _identity,
        q.Among: _among,
        q.Name: _name,
        q.Extension: _extension,
        q.Path: _path,
        q.Inside: _inside,
        q.HasDocument: _has_document,
        q.Failed: _failed,
        q.Text: _text,
        q.NameWords: _name_words,
        q.KeyEquals: _key,
        q.KeyRange: _key,
        q.KeyGlob: _key,
        q.KeyExists: _key,
    }


_KNOWN = Clause("IS NOT NULL")


_COUNTED = (q.And, q.Or, q.Not, q.Text, q.NameWords, q.Path)
"""Nodes whose meaning depends on what is counted for it."""


def _is_dear(node: q.Node) -> bool:
    """Return whether it is dear to count what matches."""
    match node:
        case q.And(nodes) | q.Or(nodes):
            return any(map(_is_dear, nodes))
        case q.Not(inner):
            return _is_dear(inner)
    return isinstance(node, q.Text | q.NameWords | q.Path)


def _spaced(words: str) -> str:
    return segmented(words).strip() if has_unspaced(words) else words


def _bounds(mark: str, *limits: tuple[str, Any]) -> list[Clause]:
    return [Clause(f"{sign} {mark}", (value,)) for sign, value in limits if value is not None]


_Streams = tuple[tuple[Stream, ...], Clause | None, tuple[tuple[Stream, Clause | None], ...]]
"""Streams, what must hold besides, and the ways; see SqlCondition."""


def _streams(conditions: Sequence[SqlCondition]) -> _Streams:
    """Return all streams of conditions that must all hold, and what must hold besides."""
    streams = tuple(stream for each in conditions for stream in each.streams)
    others = [each.besides if each.streams else each.probe for each in conditions]
    if not streams:
        return (), None, ()
    ways = [way for each in conditions for way in each.ways] if len(streams) == 1 else []
    rest = [each.probe for each in conditions if not each.streams]
    return streams, _every_of(others), tuple((stream, _every_of([besides, *rest])) for stream, besides in ways)


def _every_of(clauses: Sequence[Clause | None]) -> Clause | None:
    held = [clause for clause in clauses if clause is not None]
    return joined(held, "AND") if held else None


def _merged(conditions: Sequence[SqlCondition], probes: Clause) -> _Streams:
    """Return one stream of conditions of which one must hold, where each has one, and what must hold besides."""
    if not all(len(each.streams) == 1 for each in conditions):
        return (), None, ()
    ways = tuple(way for each in conditions for way in each.ways or ((each.streams[0], each.besides),))
    alone = all(besides is None for _, besides in ways)
    streams = [each.streams[0] for each in conditions]
    merged = (lambda after: tuple(clause for stream in streams for clause in stream(after)),)
    return (merged, None, ()) if alone else (merged, probes, ways)
