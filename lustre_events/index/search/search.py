"""The search: what is the same on every database. A database gives the few calls of backend.py.

    with open_search("sqlite:///index.db") as index:
        page = index.page("common.instrument:ARPES AND size:>1G", limit=20)
        following = index.page("common.instrument:ARPES AND size:>1G", limit=20, cursor=page.cursor)

Every call sees one moment of the index. With `visible_to` it tells what that user may know, and nothing else
(visibility.py). Every call may raise IndexUnavailable.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError, IndexUnavailable, QueryError
from lustre_events.index.backend import (
    Backend,
    Counts,
    FoundObject,
    Order,
    PagePosition,
    Ranked,
    Reading,
    Row,
    Stats,
)
from lustre_events.index.fields import FIELDS
from lustre_events.index.paths import paths_of
from lustre_events.index.query.parser import parse
from lustre_events.index.query.tree import Among, And, HasFid, Node, Or, Path, limited
from lustre_events.index.query.wildcards import escape
from lustre_events.index.search import cursors, relevance
from lustre_events.index.search.access import access_of, resolve
from lustre_events.index.search.cursors import PageEnd
from lustre_events.index.search.exact import settled
from lustre_events.index.search.facets import tallied
from lustre_events.index.search.hints.facts_and_paths import of_unknown_owners
from lustre_events.index.search.hints.hint import Hint
from lustre_events.index.search.hints.known import Known, knowing
from lustre_events.index.search.hints.reasons import why
from lustre_events.index.search.hits import Facet, Hit, ObjectView, Page, Summary, name_text, printable
from lustre_events.index.search.key_list import (
    Candidate,
    KeyInfo,
    candidates_of,
    field_of,
    fields_completed,
    keys_like,
    known_keys,
    values_completed,
    values_of,
)
from lustre_events.index.search.left_out import WHY_LEFT_OUT, without
from lustre_events.index.search.matched import explained
from lustre_events.index.search.portions import PORTION, HitPortion, found_of, portion_of
from lustre_events.index.search.subtree import walked
from lustre_events.index.search.views import hits_of, is_readable, views_of
from lustre_events.index.visibility import DirectoryAccess, Viewer

_End = Callable[[int], PageEnd]
_Found = TypeVar("_Found", Row, FoundObject)

HINT_SECONDS = 0.5
"""How long is looked whether anything is found, and as long why not."""

MAX_PAGE = 10_000
"""Most hits of one page."""

KEYS_SECONDS = 0.5
"""How long the search for keys may take."""

MAX_KEYS = 1_000
"""Most keys of one call."""

MOST_SUMMED = 500
"""Most objects that a summary looks at: more would delay the page."""

SORTS = {field.name: field.source for field in FIELDS.values() if field.sortable}


class Search:
    """An index opened for reading. A `with` closes it.

    Args:
        backend: the database.
        most: objects that are looked at one by one: for exact values, and for the order of relevance.
        hint_seconds: as HINT_SECONDS.
    """

    def __init__(self, backend: Backend, most: int = relevance.MOST, hint_seconds: float = HINT_SECONDS) -> None:
        self._backend = backend
        self._most = most
        self._hint_seconds = hint_seconds

    def page(
        self,
        query: str,
        *,
        limit: int = 100,
        sort: str | None = None,
        cursor: str | None = None,
        visible_to: Viewer | None = None,
        now_ns: int | None = None,
        excerpts: bool = True,
    ) -> Page:
        """Return hits with all their paths and documents, and the cursor of the next page.

        Args:
            query: what to find (parser.py).
            limit: most hits, up to MAX_PAGE.
            sort: `size`, `mtime`, `ctime` or `atime`, with `-` before it from the largest down; unknown ones
                last; or `relevance` (relevance.py). Without it the order is what is found most quickly, and
                stays the same over all pages.
            cursor: the one of the page before; None: the first page. The query and `sort` must be the same.
            visible_to: who searches; None: everything is shown.
            now_ns: what `now` means in the query; by default the time of the first page.
            excerpts: say of each hit what the query matched; without, documents are parsed when looked at.

        Raises:
            QueryError: the query, `sort` or the cursor is wrong.
        """
        if not 0 < limit <= MAX_PAGE:
            raise QueryError(f"a page has 1 to {MAX_PAGE} hits, not {limit}; use the cursor for more")
        order = _order(sort)
        start = PageEnd(_now(now_ns)) if cursor is None else cursors.read(cursor, query, sort)
        node = parse(query, now_ns=start.now_ns)
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            access = access_of(reading, viewer)
            hidden = self._meaning(reading, node, viewer)
            # One more than the page tells whether there is another one.
            note = None
            if sort == relevance.NAME:
                ranked = self._candidates(reading, hidden, viewer, access)
                rows, end, note = self._by_relevance(reading, node, ranked, start, limit + 1)
            else:
                rows, end = _rows(reading, hidden, order, start, limit + 1, access)
            hits = hits_of(reading, rows[:limit], viewer, access, parsed=excerpts)
        more = cursors.token(end(limit - 1), query, sort) if len(rows) > limit else None
        return Page(tuple(explained(node, hits) if excerpts else hits), more, note)

    def portion(
        self,
        query: str,
        *,
        limit: int = PORTION,
        sort: str | None = None,
        cursor: str | None = None,
        visible_to: Viewer | None = None,
    ) -> tuple[HitPortion, str | None]:
        """Return the hits of a page as columns, and the cursor of the next one; see `page`.

        It is no longer than `limit`, and ends early where documents are large.
        """
        if sort == relevance.NAME:
            page = self.page(query, limit=limit, sort=sort, cursor=cursor, visible_to=visible_to, excerpts=False)
            return HitPortion.of(page.hits), page.cursor
        order = _order(sort)
        start = PageEnd(_now(None)) if cursor is None else cursors.read(cursor, query, sort)
        node = parse(query, now_ns=start.now_ns)
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            access = access_of(reading, viewer)
            hidden = self._meaning(reading, node, viewer)
            below = _below(reading, hidden, order, start, limit + 1, access)
            if below is None:
                rows, end = _in_order(reading.found, hidden, order, start, limit + 1)
            else:
                rows, end = [found_of(row, viewer) for row in below[0]], below[1]
            portion, taken = portion_of(reading, rows[:limit], access)
        return portion, cursors.token(end(taken - 1), query, sort) if len(rows) > taken else None

    def search(
        self,
        query: str,
        *,
        limit: int = 100,
        sort: str | None = None,
        visible_to: Viewer | None = None,
        now_ns: int | None = None,
    ) -> list[Hit]:
        """Return the hits of the first page; see `page`."""
        return list(self.page(query, limit=limit, sort=sort, visible_to=visible_to, now_ns=now_ns).hits)

    def count(self, query: str, *, visible_to: Viewer | None = None, now_ns: int | None = None) -> int:
        """Return how many objects match a query, each once. Raises QueryError."""
        node = parse(query, now_ns=_now(now_ns))
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            return reading.count(self._meaning(reading, node, viewer))

    def facets(
        self,
        query: str,
        fields: Sequence[str],
        *,
        limit: int | None = 20,
        visible_to: Viewer | None = None,
        now_ns: int | None = None,
    ) -> dict[str, tuple[Facet, ...]]:
        """Return for each field the most frequent values among the objects that match, and how many these are.

        A field is `owner`, `group`, `type`, `ext`, `mime`, `released`, `extractor`, or a key of the documents.

        Raises:
            QueryError: the query is wrong.
        """
        node = parse(query, now_ns=_now(now_ns))
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            hidden = self._meaning(reading, node, viewer)
            return {name: tallied(reading, hidden, name, viewer, limit) for name in fields}

    def overview(
        self,
        query: str,
        fields: Sequence[str],
        *,
        limit: int = 100,
        sort: str | None = None,
        values: int | None = 20,
        most: int = MOST_SUMMED,
        visible_to: Viewer | None = None,
        now_ns: int | None = None,
    ) -> tuple[Page, Summary]:
        """Return the first page, and how many objects match and their facets, by looking at `most` of them.

        So it takes no longer where millions match. `most` is at least `limit`; `values` are most of a facet.

        Raises:
            QueryError: the query or `sort` is wrong.
        """
        order, start = _order(sort), PageEnd(_now(now_ns))
        node = parse(query, now_ns=start.now_ns)
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            access = access_of(reading, viewer)
            hidden = self._meaning(reading, node, viewer)
            found, end = _rows(reading, hidden, None, start, most + 1, access)
            whole, among = len(found) <= most, Among(tuple(row.id for row in found[:most]))
            facets = {name: tallied(reading, among, name, viewer, values) for name in fields}
            looked, rows, note = found[:most], found, None
            if sort == relevance.NAME:
                ranked = self._candidates(reading, hidden, viewer, access)
                rows, end, note = self._by_relevance(reading, node, ranked, start, limit + 1)
            elif order is not None:
                rows, end = _rows(reading, hidden, order, start, limit + 1, access)
            hits = hits_of(reading, rows[:limit], viewer, access)
        more = cursors.token(end(limit - 1), query, sort) if len(rows) > limit else None
        summary = Summary(
            len(looked),
            whole,
            facets,
            tuple(row.size for row in looked if row.size is not None),
            tuple(row.mtime_ns for row in looked if row.mtime_ns is not None),
        )
        return Page(tuple(explained(node, hits)), more, note), summary

    def hints(
        self,
        query: str,
        *,
        fields: Sequence[str] = (),
        visible_to: Viewer | None = None,
        now_ns: int | None = None,
        found_nothing: bool = False,
    ) -> tuple[Hint, ...]:
        """Return why a query finds nothing, or why `facets` finds no values of some fields; for a person.

        At least one sentence, within twice `hint_seconds` or little more; nothing where the query finds something
        and no `fields` are given. Only what the viewer may find is counted and told. `found_nothing`: a page of the
        query was empty just now, so it is not searched for again.

        Raises:
            QueryError: the query is wrong, and not for a user or a group that this machine does not know.
        """
        now, viewer = _now(now_ns), _limits(visible_to)
        know = partial(knowing, self._backend, viewer, now, self._hint_seconds)
        try:
            parse(query, now_ns=now)
        except QueryError:
            found: list[Hint] = []
            with contextlib.suppress(IndexUnavailable), know() as known:  # there may be no time for it
                found += of_unknown_owners(known, query)
            if not found:
                raise
            return tuple(found)
        return why(know, query, fields, found_nothing=found_nothing)

    def fields(
        self, prefix: str = "", *, limit: int = 100, visible_to: Viewer | None = None
    ) -> tuple[KeyInfo, ...]:
        """Return the fields and keys of which a step begins with `prefix`; see key_list.py. Within KEYS_SECONDS."""
        limit = min(limit, MAX_KEYS)
        return keys_like(self._keys(prefix, limit, visible_to), prefix, limit)

    def complete(self, typed: str, *, limit: int = 20, visible_to: Viewer | None = None) -> tuple[str, ...]:
        """Return completions of a query while it is typed: the next field, or the value behind its colon.

        Within KEYS_SECONDS for each of two looks: what they did not reach is missing.
        """
        field, limit = field_of(typed), min(limit, MAX_KEYS)
        if field is not None:
            return fields_completed(self._keys(field, limit, visible_to), typed, limit)
        values: list[str] = []
        with contextlib.suppress(IndexUnavailable), self._for_a_moment(visible_to) as known:
            values += values_of(known, typed)
        return values_completed(values, typed, limit)

    def _keys(self, prefix: str, limit: int, viewer: Viewer | None) -> list[KeyInfo]:
        """Return the keys of documents that were found in time."""
        candidates: list[Candidate] = []
        with contextlib.suppress(IndexUnavailable), self._for_a_moment(None) as everything:
            candidates.extend(candidates_of(everything, prefix, limit))
        found: list[KeyInfo] = []
        with contextlib.suppress(IndexUnavailable), self._for_a_moment(viewer) as known:
            found.extend(known_keys(known, candidates))
        return found

    def _for_a_moment(self, viewer: Viewer | None) -> contextlib.AbstractContextManager[Known]:
        return knowing(self._backend, _limits(viewer), _now(None), KEYS_SECONDS)

    def du(self, path: bytes, by: str, *, visible_to: Viewer | None = None) -> tuple[Facet, ...]:
        """Return files and bytes of a file, or of a directory and all below it, by a field as of `facets`.

        An object with several names counts once. By `extractor`, it counts once for each extractor.

        Raises:
            ConfigError: the index knows no such path, or the viewer does not see it.
        """
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            fid = resolve(reading, path, access_of(reading, viewer))
            if fid is None:
                raise ConfigError(f"/{printable(path.strip(b'/'))}: no such path in the index")
            inside = "".join(escape(char) for char in name_text(path.strip(b"/")))
            tree = Or((HasFid(fid), Path(f"/{inside}/**" if inside else "/**")))
            left_out = reading.left_out()
            node = without(tree, left_out)
            if left_out and not reading.find(node, Order(), None, 1):
                place = printable(path.strip(b"/"))
                raise ConfigError(f"/{place}: left out by {WHY_LEFT_OUT}, so it has no sums")
            return tallied(reading, node, by, viewer, None)

    def show(self, fid: FID, *, visible_to: Viewer | None = None) -> ObjectView:
        """Return all that is known of one object."""
        return self.show_many([fid], visible_to=visible_to)[0]

    def show_many(self, fids: Iterable[FID], *, visible_to: Viewer | None = None) -> list[ObjectView]:
        """Return all that is known of each object, in the order asked for, at the cost of few statements for all.

        An object of which `visible_to` sees no name is shown as one that the index does not know. A FID that an
        object had before it migrated, or a directory before it was split, shows it under its present FID.
        """
        viewer = _limits(visible_to)
        asked = list(fids)
        with self._backend.reading(viewer) as reading:
            present = reading.moved(asked)
            return views_of(reading, [present.get(fid, fid) for fid in asked], viewer, access_of(reading, viewer))

    def matching(self, query: str, fids: Collection[FID], *, visible_to: Viewer | None = None) -> set[FID]:
        """Return those of some objects that match a query, looking at no others. Raises QueryError."""
        node = parse(query, now_ns=_now(None))
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            ids = [row.id for row in reading.objects(fids).values()]
            # Only these are looked at, also where a value must be exact.
            here = And((Among(tuple(ids)), node))
            return {row.fid for row in reading.matching(self._meaning(reading, here, viewer), ids)}

    def paths(self, fids: Iterable[FID], *, visible_to: Viewer | None = None) -> dict[FID, list[bytes]]:
        """Return all current paths of each object."""
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            return paths_of(reading.links, fids, access_of(reading, viewer))

    def fid_of_path(self, path: bytes, *, visible_to: Viewer | None = None) -> FID | None:
        """Return the object at a path relative to the root (slashes at its ends do not matter), or None."""
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            return resolve(reading, path, access_of(reading, viewer))

    @contextlib.contextmanager
    def moment(self, *, visible_to: Viewer | None = None) -> Iterator[tuple[Reading, DirectoryAccess | None]]:
        """Give one moment of the index and what the viewer can list, for callers with several steps (history)."""
        viewer = _limits(visible_to)
        with self._backend.reading(viewer) as reading:
            yield reading, access_of(reading, viewer)

    def left_out(self) -> tuple[str, ...]:
        """Return the globs of paths that no search finds."""
        with self._backend.reading(None) as reading:
            return tuple(each.glob for each in reading.left_out())

    def stats(self, counts: Counts | None = None) -> Stats:
        """Return the sums of the index; with `counts` of a while ago its rows are not counted again."""
        with self._backend.reading(None) as reading:
            return reading.stats(counts or reading.counts())

    def _candidates(
        self, reading: Reading, hidden: Node, viewer: Viewer | None, access: DirectoryAccess | None
    ) -> list[Ranked]:
        """Return what is ranked: the first that match, and one more where there are more."""
        most = self._most + 1
        below = walked(reading, hidden, access, most)
        if below is None:
            return reading.first(hidden, most)
        return [Ranked(row.id, row.mtime_ns, is_readable(row, viewer)) for _, row in below]

    def _by_relevance(
        self, reading: Reading, node: Node, ranked: list[Ranked], start: PageEnd, limit: int
    ) -> tuple[list[Row], _End, str | None]:
        """Return the rows behind the place of a cursor, which counts what came before, and what is said of them."""
        before = start.position[1] if start.position is not None else 0
        ids = relevance.by_relevance(reading, node, ranked[: self._most], before + limit)
        wanted = ids[before:]
        found = {row.id: row for row in reading.find(Among(tuple(wanted)), Order(), None, limit)} if wanted else {}
        rows = [found[id_] for id_ in wanted]

        def end(number: int) -> PageEnd:
            return PageEnd(start.now_ns, (None, before + number + 1))

        return rows, end, relevance.note(self._most) if len(ranked) > self._most else None

    def _meaning(self, reading: Reading, node: Node, viewer: Viewer | None) -> Node:
        """Return a query as the databases know it, limited to what a viewer may know."""
        hidden = node if viewer is None else limited(node)
        hidden = without(hidden, reading.left_out())
        return settled(reading, hidden, limited=viewer is not None, most=self._most)

    def close(self) -> None:
        """Close the index."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _now(now_ns: int | None) -> int:
    return time.time_ns() if now_ns is None else now_ns


def _limits(viewer: Viewer | None) -> Viewer | None:
    return None if viewer is None or viewer.sees_all else viewer


def _order(sort: str | None) -> Order | None:
    if sort is None or sort == relevance.NAME:
        return None
    column = SORTS.get(sort.removeprefix("-"))
    if column is None:
        raise QueryError(
            f"cannot sort by {sort!r}; use {', '.join(SORTS)}, with - before it for descending, or relevance"
        )
    return Order(column, descending=sort.startswith("-"))


def _rows(  # noqa: PLR0917 - one page
    reading: Reading, node: Node, order: Order | None, start: PageEnd, limit: int, access: DirectoryAccess | None
) -> tuple[list[Row], _End]:
    """Return rows, and what tells the cursor that the one of a number would end a page with."""
    below = _below(reading, node, order, start, limit, access)
    return below if below is not None else _in_order(reading.find, node, order, start, limit)


def _below(  # noqa: PLR0917 - one page
    reading: Reading, node: Node, order: Order | None, start: PageEnd, limit: int, access: DirectoryAccess | None
) -> tuple[list[Row], _End] | None:
    """Return what a walk of a subtree finds; None: there is none, and hits are in the order of a column."""
    in_order_of_paths = order is None and start.position is None
    below = walked(reading, node, access, limit, after=start.path) if in_order_of_paths else None
    if below is None:
        return None
    return [row for _, row in below], lambda number: PageEnd(start.now_ns, path=below[number][0])


def _in_order(
    find: Callable[[Node, Order, PagePosition | None, int], list[_Found]],
    node: Node,
    order: Order | None,
    start: PageEnd,
    limit: int,
) -> tuple[list[_Found], _End]:
    """Return what stands behind a place in the order of a column, and what ends a page with each."""
    order = order or Order()
    rows = find(node, order, start.after, limit)
    return rows, lambda number: PageEnd(start.now_ns, (getattr(rows[number], order.column), rows[number].id))
