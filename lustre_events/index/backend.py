"""What a database must provide so that `search.Search` works on it: few calls, all on values.

`search.Search` does the rest, in the same way for all databases: it parses queries, pages, walks subtrees in the
order of their paths, makes paths, hits and views, and decides what a viewer sees.

What a `Reading` must know of visibility, where it was opened with a viewer (`None` and root: no limits):

- The node `Readable` is true for objects whose content the viewer can read (`visibility.permits` with
  `acl.READ` on uid, gid, mode, acl). Documents are already limited: every node about content arrives as
  `And((node, Readable()))`, so nothing else is to be done for them.
- A *name* counts only where its directory is `listed` (visibility.DirectoryAccess): in `Name`, `Extension`, the
  last step of `Path`, in what makes an object live (it has at least one name), and in `tally` by `ext`.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.errors import IndexUnavailable
from lustre_events.index.query.tree import Node, Text
from lustre_events.index.visibility import DirectoryAccess, Viewer

LONGEST_SECONDS = 3600.0
"""How long one call of a search may take (in PostgreSQL: one of its statements), unless it asks for less."""


TOO_LONG = "that took too long; ask for less, by one more condition or a narrower path"


def check_time(end: float) -> None:
    """Raise IndexUnavailable behind a moment of `time.monotonic`."""
    if time.monotonic() > end:
        raise IndexUnavailable(TOO_LONG)


class Row(msgspec.Struct, frozen=True, gc=False):
    """An object with all its columns; None: not known. `id` is the index's own and never changes."""

    id: int
    fid: FID
    type: str | None
    size: int | None
    mtime_ns: int | None
    ctime_ns: int | None
    atime_ns: int | None
    uid: int | None
    gid: int | None
    mode: int | None
    nlink: int | None
    jobid: bytes | None
    mime: str | None
    released: int | None
    acl: bytes | None
    mdt: int | None
    stripe_count: int | None
    stripe_size: int | None
    mirror_count: int | None
    projid: int | None
    pool: str | None
    layout: str | None
    hsm: str | None
    generation: int
    content: int
    facts_generation: int
    cause: bytes
    rights: int

    @property
    def rights_known(self) -> bool:
        """Whether the facts are at least as new as the last change that may have removed rights."""
        return self.facts_generation >= self.rights


class StoredDocument(msgspec.Struct, frozen=True, gc=False):
    """A row of the table document. body, provenance and failure are JSON text (or None)."""

    object: int
    extractor: str
    generation: int
    serial: int
    body: str | None
    provenance: str | None
    failure: str | None
    failure_generation: int | None
    failure_serial: int | None


class StoredWork(msgspec.Struct, frozen=True, gc=False):
    """A row of the table pending."""

    fid: FID
    extractor: str
    generation: int
    due_ns: int
    attempts: int
    reason: str
    rule: str
    queue: str
    job: str | None
    error: str = ""


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """As much of an object as the order of relevance needs."""

    id: int
    mtime_ns: int | None
    readable: bool


class FoundObject(NamedTuple):
    """As much of an object as all hits need that are written, its FID packed. Columns are as in `Row`.

    `parent` and `name` are its one name, with the directory's FID packed; None where that is not known, or where it
    has several names that the viewer sees.
    """

    id: int
    fid: bytes
    type: str | None
    size: int | None
    mtime_ns: int | None
    ctime_ns: int | None
    atime_ns: int | None
    uid: int | None
    gid: int | None
    mode: int | None
    mime: str | None
    readable: bool
    parent: bytes | None = None
    name: bytes | None = None


class LeftOut(NamedTuple):
    """What no search finds, with all below it: a glob from the root on, of the site, or the path of a directory."""

    glob: str
    fid: FID | None = None


class Entry(NamedTuple):
    """A name in a directory, and the object behind it; id 0 and type None where that is not stored."""

    name: bytes
    fid: FID
    id: int
    type: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """By a column of Row (`id size mtime_ns ctime_ns atime_ns`), then by id, both in one direction; NULL last."""

    column: str = "id"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PagePosition:
    """Where a page ended: the last hit's value in the order's column, and its id."""

    value: int | None
    id: int


@dataclass(frozen=True, slots=True)
class ValueCount:
    """How many objects have a value, and the sum of their known sizes (bytes)."""

    value: str | int | float | None
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Counts:
    """The row counts of an index, which take seconds in a large one. `links` are current names."""

    objects: int
    links: int
    tombstones: int
    documents: dict[str, int]  # by extractor
    failures: dict[str, int]  # by extractor


@dataclass(frozen=True, slots=True)
class Stats:
    """The sums of an index, for `status`; all but `counts` are quick."""

    counts: Counts
    pending: dict[str, int]  # by reason
    counters: dict[str, int]
    cursors: tuple[tuple[str, int, int], ...]  # MDT, epoch, index reached
    oldest_due_ns: dict[str, int]  # of the pending rows, by reason
    bytes: int
    full: tuple[tuple[str, int], ...] = ()  # extractors, each with an owner who has no room for keys


class Reading(Protocol):
    """One moment of an index. Objects without a name are never found."""

    access: DirectoryAccess | None
    """Which directories the viewer can list, where the database asks the same one; None: make one."""

    def in_time(self) -> None:
        """Raise IndexUnavailable where its time is over: for who asks many questions, each a quick one."""

    def find(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[Row]:
        """Return up to `limit` objects that match, in order, behind `after`.

        Exactly those behind it in the order, so that pages are right whatever has changed meanwhile.
        """

    def found(self, node: Node, order: Order, after: PagePosition | None, limit: int) -> list[FoundObject]:
        """Return the same objects as `find`, with what is written of each."""

    def first(self, node: Node, limit: int, order: Order | None = None) -> list[Ranked]:
        """Return the first `limit` objects that match, by id if nothing is said: as `find`, but what ranks them."""

    def selective(self, node: Node) -> bool:
        """Return whether `find` in the order of ids is quick, because few objects match `node`.

        Asked about a query without its subtree. Where the answer is False the subtree is walked in the order of
        its paths, and `matching` asked about what is found there, until a page is full.
        """

    def matching(self, node: Node, ids: Collection[int]) -> list[Row]:
        """Return those of `ids` (at most 1,000) that match, also where they are not live."""

    def count(self, node: Node) -> int:
        """Return how many objects match."""

    def frequencies(self, texts: Collection[Text], ids: Collection[int]) -> dict[int, float]:
        """Return for each of `ids` a number that grows with how often words or phrases stand in its documents.

        Each database has its own scale, which only `ids` decide about. Documents count whether they are readable or
        not.
        """

    def tally(self, node: Node, by: str, limit: int | None) -> list[ValueCount]:
        """Return the values of the objects that match, the most frequent first (then by value, ascending).

        by: `uid gid type mime released` (the column; None where it is not known); `ext` (of the object's first
        name in the order of (directory's FID, name): what is behind its last dot, ASCII letters in lower case;
        None without a dot, or where that is the first character); `extractor` (of good documents; an object
        counts once for each, and once as None if it has none); or `.` and a dotted key (every whole value of
        that key, words folded and numbers; an object counts once for each). For `extractor` and keys, documents
        count only where `Readable`; an object without any value of a key does not count.
        """

    def entries(self, parent: FID, after: bytes, limit: int) -> list[Entry]:
        """Return up to `limit` names in a directory behind the name `after`, in order, listed or not."""

    def links(self, fids: Collection[FID]) -> list[tuple[FID, FID, bytes]]:
        """Return (FID, parent, name) of every current name of `fids`."""

    def packed_links(self, fids: Collection[bytes]) -> list[tuple[bytes, bytes, bytes]]:
        """Return what `links` does, with packed FIDs."""

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FIDs for those of `fids` that objects had before, as far as they are remembered."""

    def child(self, parent: FID, name: bytes) -> FID | None:
        """Return what a name in a directory means."""

    def objects(self, fids: Collection[FID]) -> dict[FID, Row]:
        """Return those of `fids` that are stored."""

    def documents(self, ids: Collection[int]) -> list[StoredDocument]:
        """Return the documents and failures of objects, by their ids; per object ordered by extractor."""

    def bodies(self, ids: Collection[int]) -> list[tuple[int, str, str]]:
        """Return the good documents of objects as (id, extractor, JSON text), per object ordered by extractor."""

    def fired(self, fids: Collection[FID]) -> list[tuple[FID, str, int]]:
        """Return what is remembered of actions for objects: FID, a rule or a mark, and for which content."""

    def left_out(self) -> list[LeftOut]:
        """Return what no search finds; most indexes have none."""

    def keys(self, near: str, limit: int) -> list[tuple[str, str]]:
        """Return up to `limit` (extractor, key) that may have been meant by the key `near`.

        Those first that have it behind or before a dot, then those of a length like its own, whatever the case
        of their letters. Keys of hidden files are included: a key that `find` does not find must not be shown.
        """

    def keys_from(self, prefix: str, limit: int) -> list[tuple[str, str]]:
        """Return up to `limit` (extractor, key) of which one step, or what follows, begins with `prefix`.

        Whatever the case of letters; those first that begin so themselves, then the shorter ones. Hidden files have
        their keys here, as in `keys`.
        """

    def extractors(self, limit: int) -> list[str]:
        """Return up to `limit` extractors that have a document or a failure, in order; hidden files count."""

    def pending(self, fids: Collection[FID]) -> list[StoredWork]:
        """Return the pending rows of `fids`."""

    def counts(self) -> Counts:
        """Return how many rows there are, counted."""

    def stats(self, counts: Counts) -> Stats:
        """Return the sums, with these counts."""


class Backend(Protocol):
    """An index opened for reading."""

    def reading(self, viewer: Viewer | None, seconds: float | None = None) -> AbstractContextManager[Reading]:
        """Give one moment of the index, as `viewer` may see it; raises IndexUnavailable, also within.

        seconds: how long a statement, and a walk of a subtree, may take, where that is less than what the backend
            was opened with.
        """

    def close(self) -> None:
        """Close; closing twice is fine."""
