"""Why a search finds nothing: the parts of its query are looked up one by one. See known.py and hint.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import chain, islice

from lustre_events.errors import IndexUnavailable, QueryError
from lustre_events.index.fields import FIELDS
from lustre_events.index.query import slips
from lustre_events.index.query.key_values import KeyNode
from lustre_events.index.query.slips import Part, field_text, replaced
from lustre_events.index.query.tree import All, And, KeyExists, Node, Or
from lustre_events.index.query.written_dates import FORMS
from lustre_events.index.search.hints.hint import Hint, best_without, counted, shown
from lustre_events.index.search.hints.known import Known
from lustre_events.index.search.hints.one_condition import of_leaf
from lustre_events.index.search.left_out import WHY_LEFT_OUT
from lustre_events.index.values import clean

MOST_HINTS = 5
MOST_PARTS = 6
"""Parts of a query that are left out in turn, and conditions of a part that are looked at."""


def why(
    knowing: Callable[[], AbstractContextManager[Known]],
    query: str,
    fields: Sequence[str],
    *,
    found_nothing: bool = False,
) -> tuple[Hint, ...]:
    """Return why a query finds nothing, or else why fields have no values in what it finds; see `Search.hints`.

    Where there is no time left, what was found until then is told. A query may take longer than that as a whole:
    then its parts are looked at all the same. `knowing` is called for each of the two, and bounds its time.
    """
    found: list[Hint] = []
    some = bool(fields)
    with suppress(IndexUnavailable), knowing() as known:
        some = not found_nothing and known.some(known.node(query))
        if some and not fields:
            return ()
        found += [] if some else _left_out(known, query)
    with suppress(IndexUnavailable), knowing() as known:
        each = chain.from_iterable(of_field(known, field) for field in fields) if some else of_query(known, query)
        for hint in islice(each, MOST_HINTS):
            if hint not in found:
                found.append(hint)
    return tuple(found) or (Hint("nothing matches, and there was no time to look for the reason"),)


def of_query(known: Known, query: str) -> Iterator[Hint]:
    """Yield why a query finds nothing, the likeliest first."""
    if not known.some(All()):
        yield Hint(f"the index holds no file{known.you_may('see')}")
        return
    for repair, text in (
        (
            slips.with_operators,
            "and, or and not in lower case are words to search for; write AND, OR, NOT in capitals",
        ),
        (slips.with_colons, "a field and its value are joined by a colon, as in size:3 or size:>3"),
        (slips.with_dates, f"a date is written as {FORMS}"),
    ):
        better = repair(query)
        if better is not None:
            files = known.found_by(better)
            yield Hint(text, better if files else None, files)
            if files:
                return
            query = better if _is_right(known, better) else query
    for parts in slips.alternatives(query):
        yield from _of_parts(known, query, parts)


def _left_out(known: Known, query: str) -> Iterator[Hint]:
    if known.some_left_out(known.node(query)):
        # The paths of directories are not everybody's to know.
        globs = ", ".join(each.glob for each in known.reading.left_out() if each.fid is None)
        yield Hint(f"what matches is left out{globs and f' ({globs})'}, by {WHY_LEFT_OUT}: no search finds it")


def of_field(known: Known, field: str) -> Iterator[Hint]:
    """Yield why a field has no values among the files that a query finds (facets, sums)."""
    known_field = FIELDS.get(field)
    if known_field is not None:
        if not known_field.countable:
            names = ", ".join(each.name for each in FIELDS.values() if each.countable)
            yield Hint(f"the values of {field} are not counted; those of {names} and of every key are")
        return
    key = f"{slips.field_text(field)}*"
    if known.files(known.node(key), 0):
        files = known.found_by(key)
        yield Hint(
            f"{counted(files)} have the key {shown(field)}, but none of those that the query finds", key, files
        )
        return
    yield known.no_key(field, None)


def _of_parts(known: Known, query: str, parts: Sequence[Part]) -> Iterator[Hint]:
    absent = False
    for part in parts:
        if not part.negative and not known.some(known.node(part.text)):
            absent = True
            yield from _of_part(known, query, part)
    if absent:
        yield from _with_near_keys(known, query, parts)
    else:
        yield from _of_all(known, parts)


def _with_near_keys(known: Known, query: str, parts: Sequence[Part]) -> Iterator[Hint]:
    """Yield the query with the nearest keys where several are not known; one alone has its own hint."""
    better, unknown = query, 0
    for part in reversed(parts):  # what is before a change keeps its place
        leaf = None if part.grouped or part.negative else known.node(part.text)
        if not isinstance(leaf, KeyNode) or leaf.wild or known.files(KeyExists(leaf.key)):
            continue
        near = known.keys_near(leaf.key)
        if not near:
            return
        better, unknown = (
            replaced(better, part, "f", partial(_is_key, leaf.key), field_text(near[0][0])),
            unknown + 1,
        )
    if unknown > 1 and (files := known.found_by(better)):
        yield Hint("with the nearest keys that there are, the query finds something", better, files)


def _is_key(key: str, text: str) -> bool:
    return clean(text) == key


def _of_all(known: Known, parts: Sequence[Part]) -> Iterator[Hint]:
    """Yield why nothing matches all of some parts, each of which finds something or stands behind NOT."""
    wanted = [each for each in parts if not each.negative]
    excluded = [each for each in parts if each.negative]
    if not wanted:
        yield Hint(f"everything is excluded by {shown(_all(excluded))}")
        yield from _best_without(known, parts, excluded if len(excluded) > 1 else ())
        return
    if len(parts) == 1:  # it finds something: a file that came meanwhile, or what took too long before
        return
    if wanted and excluded and known.found_by(_all(wanted)):
        match = f"matches {shown(_all(wanted))} is excluded by {shown(_all(excluded))}"
        yield Hint(f"everything{known.you_may('see')} that {match}")
        yield from _best_without(known, parts, excluded)
        return
    yield Hint("each part of the query finds something, but no file matches all of them")
    yield from _best_without(known, parts, wanted)


def _best_without(known: Known, parts: Sequence[Part], left_out: Sequence[Part]) -> Iterator[Hint]:
    without = []
    for part in left_out[:MOST_PARTS]:
        rest = _all([each for each in parts if each is not part])
        without.append((part.text, rest, known.found_by(rest)))
    yield from best_without(without)


def _all(parts: Sequence[Part]) -> str:
    return " AND ".join(each.text for each in parts)


def _of_part(known: Known, query: str, part: Part) -> Iterator[Hint]:
    if part.grouped:
        for parts in slips.alternatives(query, part):
            yield from _of_parts(known, query, parts)
        return
    found: list[Hint] = []
    nothing = Hint(f"no file{known.you_may('see')} matches {shown(part.text)}")
    try:
        for leaf in _leaves(known.node(part.text))[:MOST_PARTS]:
            for hint in () if known.some(leaf) else of_leaf(known, query, part, leaf):
                found.append(hint)  # noqa: PERF402 - what comes before an error is kept
    except Exception:  # the database's own where time is over
        yield from found or [nothing]
        raise
    yield from found or [nothing]


def _leaves(node: Node) -> list[Node]:
    """Return what must be found for a tree to match, without what stands behind NOT."""
    if isinstance(node, And | Or):
        return [leaf for each in node.nodes for leaf in _leaves(each)]
    return [node]


def _is_right(known: Known, query: str) -> bool:
    try:
        known.node(query)
    except QueryError:
        return False
    return True
