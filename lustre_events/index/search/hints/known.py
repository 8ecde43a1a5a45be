"""What a viewer may know of an index, asked for a bounded time: what hints are made of.

All that is said comes from what the viewer may find: a key, an extractor or an extension that stands only in files
that are hidden from the viewer is not there.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lustre_events.changelog.fid import FID
from lustre_events.errors import IndexUnavailable, QueryError
from lustre_events.index.backend import Backend, Order, Reading
from lustre_events.index.fields import FIELDS
from lustre_events.index.query.parser import parse
from lustre_events.index.query.slips import field_text
from lustre_events.index.query.tree import All, Among, And, KeyExists, Node, Readable, limited
from lustre_events.index.search.access import access_of, resolve
from lustre_events.index.search.exact import settled
from lustre_events.index.search.hints.hint import MOST_COUNTED, Hint, meant, near, shown
from lustre_events.index.search.left_out import without
from lustre_events.index.search.subtree import counted
from lustre_events.index.values import flatten
from lustre_events.index.visibility import DirectoryAccess, Viewer, group_name, user_name

MOST_NAMES = 2_000
"""Most keys that are compared with one that does not exist."""
MOST_TRIED, MOST_MEANT = 8, 2
"""Names whose files are counted, and of which is told."""
FEW_DOCUMENTS = 20
"""Most documents from which values of a key are shown."""
SAMPLE = 500
"""Objects from either end of the index whose values stand for those of all."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a viewer may know of an index, for a bounded time.

    Args:
        reading: the index.
        access: what the viewer may list; None: everything is seen.
        path: the object at a path, where the viewer may see it.
        now_ns: what `now` means in a query.
        end: when there is no time left, as `clock` tells it.
        clock: a clock.
    """

    reading: Reading
    access: DirectoryAccess | None
    path: Callable[[bytes], FID | None]
    now_ns: int
    end: float
    clock: Callable[[], float] = time.monotonic
    _counts: dict[tuple[Node, int], int] = field(default_factory=dict)

    def files(self, node: Node, most: int = MOST_COUNTED) -> int:
        """Return how many files match that the viewer may find, counted to one more than `most`."""
        if (node, most) not in self._counts:
            self.in_time()
            hidden = node if self.access is None else limited(node)
            self._counts[node, most] = self._found(self.found(hidden), most + 1)
        return self._counts[node, most]

    def found(self, node: Node) -> Node:
        """Return a tree without what no search finds."""
        return without(node, self.reading.left_out())

    def some_left_out(self, node: Node) -> bool:
        """Return whether a file matches that the viewer could find if it were not left out."""
        hidden = node if self.access is None else limited(node)
        return bool(self.reading.left_out()) and self._found(hidden, 1) > 0

    def _found(self, node: Node, most: int) -> int:
        """Return how many objects match, counted to `most`."""
        node = settled(self.reading, node, limited=self.access is not None)
        below = counted(self.reading, node, self.access, most)
        return len(self.reading.first(node, most)) if below is None else below

    def some(self, node: Node) -> bool:
        """Return whether a file matches that the viewer may find."""
        return self.files(node, 0) > 0

    def node(self, query: str) -> Node:
        """Return the tree of a query. Raises QueryError."""
        return parse(query, now_ns=self.now_ns)

    def found_by(self, query: str) -> int:
        """Return how many files a query finds that may be wrong, counted as `files` does."""
        try:
            return self.files(self.node(query))
        except QueryError:
            return 0

    def in_time(self) -> None:
        """Raise IndexUnavailable where no time is left."""
        if self.clock() > self.end:
            raise IndexUnavailable("there was no time left to look for reasons")

    def keys_near(self, key: str) -> list[tuple[str, int]]:
        """Return keys and fields like one that no file has, with the files that have them."""
        names: dict[str, None] = {}
        for extractor, name in self.reading.keys(key, MOST_NAMES):
            names[name] = None
            if "." in key:
                names[f"{extractor}.{name}"] = None
        return self.near(key, [*FIELDS, *names], lambda name: self.found_by(f"{field_text(name)}*"))

    def near(self, name: str, names: Iterable[str], files: Callable[[str], int]) -> list[tuple[str, int]]:
        """Return those of `names` that are like one that is not there, where `files` counts any."""
        found: list[tuple[str, int]] = []
        for each in near(name, names, MOST_TRIED):
            if len(found) < MOST_MEANT and (count := files(each)):
                found.append((each, count))
        return found

    def no_key(self, key: str, repaired: Callable[[str], str] | None) -> Hint:
        """Return what is said of a key that no file has; `repaired` gives the query with another field."""
        found = self.keys_near(key)
        text = f"no file{self.you_may('read')} has the key {shown(key)}{meant(found)}"
        for name, _ in found:
            if repaired is None:
                break
            query = repaired(field_text(name))
            files = self.found_by(query)
            if files:
                return Hint(text, query, files)
        return Hint(text)

    def you_may(self, what: str) -> str:
        """Return ` that you may read` where not everything is seen."""
        return "" if self.access is None else f" that you may {what}"

    def values(self, by: str) -> list[str]:
        """Return the values of a column, or of `ext`, in some of the files that the viewer may find."""
        self.in_time()
        ids = {
            row.id
            for order in (Order(), Order(descending=True))
            for row in self.reading.find(self.found(All()), order, None, SAMPLE)
        }
        among: Node = Among(tuple(ids))
        seen = And((among, Readable())) if by == "mime" and self.access is not None else among
        return [str(each.value) for each in self.reading.tally(seen, by, None) if each.value is not None]

    def names_of_values(self, field: str) -> list[str]:
        """Return the values of a field that is no key, as typed, in some files that the viewer may find."""
        if field == "extractor":
            return [each for each in self.reading.extractors(MOST_TRIED) if self.found_by(f"extractor:{each}")]
        by = {"owner": "uid", "group": "gid"}.get(field, field)
        names = {"uid": user_name, "gid": group_name}.get(by)
        return [names(int(each)) if names else each for each in self.values(by)]

    def values_of_key(self, key: str, limit: int) -> list[str]:
        """Return the most frequent values of a key in the first documents that have it."""
        self.in_time()
        node: Node = KeyExists(key)
        hidden = node if self.access is None else limited(node)
        ids = [row.id for row in self.reading.find(self.found(hidden), Order(), None, FEW_DOCUMENTS)]
        found: Counter[str] = Counter()
        for each in self.reading.documents(ids):
            flat = flatten(json.loads(each.body)) if each.body is not None else flatten({})
            found.update(
                value
                for name, value in (*((name, number_text(value)) for name, value in flat.numbers), *flat.words)
                if key in {name, f"{each.extractor}.{name}"}
            )
        return sorted(found, key=lambda value: (-found[value], value))[:limit]


def number_text(value: float) -> str:
    """Return a number as one would type it."""
    whole = isinstance(value, int) or (value.is_integer() and abs(value) < 2**53)
    return str(int(value)) if whole else str(value)


@contextmanager
def knowing(backend: Backend, viewer: Viewer | None, now_ns: int, seconds: float) -> Iterator[Known]:
    """Give what a viewer may know of one moment of an index, for some seconds."""
    with backend.reading(viewer, seconds) as reading:
        access = access_of(reading, viewer)
        yield Known(
            reading, access, lambda path: resolve(reading, path, access), now_ns, time.monotonic() + seconds
        )
