"""What the dispatcher needs of an index, as an interface with values: SQLite and PostgreSQL implement it.

The dispatcher is the index's only writer, but for the documents that indexers write (`DocumentWriter`). All it
does in one step happens in one `Transaction`, which begins by checking that no other dispatcher has taken over.
Every call takes or gives many objects at once: at tens of thousands of records a second there is no time for one
query per record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Literal, NamedTuple, Protocol

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import Hold, Run, RunsWanted
from lustre_events.domain.namespace import Link, Move, Place
from lustre_events.domain.pending import PendingRow
from lustre_events.jobs.messages import DocumentPortion, Result


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """How far one epoch of one MDT's stream is in the index, and the effective time reached (namespace.py).

    `first_index` and `first_ns`: the first index and the least time that it has brought (spans.py); 0: any.
    """

    mdt: str
    epoch: int
    position: int = 0
    eff_time: int = 0
    first_index: int = 0
    first_ns: int = 0


class ObjectRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the dispatcher keeps of an object. `id` is the index's own; 0: it is not stored yet.

    `generation` is raised by every change of content or attributes, `content` is the generation of the last
    change of content (0: none was seen). `type` is one of f d l p s b c; None: not known yet. `uid` None: facts
    not known yet; `known` is the generation of the facts (0: there are none). `cause` is the packed key
    of the last record about it (empty: there was none). `rights` is the generation of the last change that may have
    taken rights away: older facts grant none.
    """

    fid: FID
    id: int = 0
    generation: int = 0
    content: int = 0
    type: str | None = None
    uid: int | None = None
    jobid: bytes | None = None
    cause: bytes = b""
    known: int = 0
    rights: int = 0
    size: int | None = None


Signed64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


LustreText = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[ -~]*\Z")]


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What `stat` found, by the names of the index's columns. Times are ns since the epoch.

    `mime` is the type by content; `released`: HSM has the content, reading would recall it; `acl` is
    system.posix_acl_access as the kernel gives it (None: there is none; empty: it could not be read, or is not
    well-formed). What follows is of Lustre (domain/layout.py), and not known elsewhere.
    """

    type: Literal["f", "d", "l", "p", "s", "b", "c"]
    size: Signed64
    mtime_ns: Signed64
    ctime_ns: Signed64
    atime_ns: Signed64
    uid: Signed64
    gid: Signed64
    mode: Signed64
    nlink: Signed64
    mime: Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[ -~]*\Z")] | None = None
    released: bool = False
    acl: Annotated[bytes, msgspec.Meta(max_length=1 << 16)] | None = None
    mdt: Signed64 | None = None
    stripe_count: Signed64 | None = None
    stripe_size: Signed64 | None = None
    mirror_count: Signed64 | None = None
    projid: Signed64 | None = None
    pool: LustreText | None = None
    layout: LustreText | None = None
    hsm: LustreText | None = None


class Identity(msgspec.Struct, frozen=True, gc=False):
    """An installed extractor: a new version or digest (of its program and image) gives it a new serial.

    `most_jobs`: how many of its jobs may be out at once; 0: any number.
    """

    name: str
    version: str
    digest: str
    most_jobs: int = 0


class ExtractorState(msgspec.Struct, frozen=True, gc=False):
    """An extractor as the index knows it. `suspended`: why its work waits, or None.

    `disabled`: it gets no new work either. `failing` counts the jobs in a row that failed through no file's
    fault; a suspension with `failing` above 0 is the breaker's, one with 0 is a person's.
    """

    name: str
    version: str
    digest: str
    serial: int
    suspended: str | None = None
    disabled: bool = False
    failing: int = 0

    @property
    def works(self) -> bool:
        """Whether its work is handed out."""
        return self.suspended is None and not self.disabled


class Lane(msgspec.Struct, frozen=True, order=True, gc=False):
    """Pending rows of one priority for one queue."""

    queue: str
    priority: int


class OwnerWork(NamedTuple):
    """What one owner has in a lane for an extractor. Owners take turns."""

    extractor: str
    owner: int


OWNERLESS = "('stat', 'heal', 'scan')"
"""In SQL: the built-in extractors, whose jobs are for files of any owner."""

WorkKey = tuple[FID, str]
"""A FID and the name of an extractor."""


class Walk(msgspec.Struct, frozen=True, gc=False):
    """A directory whose files are to be asked about again, behind the name `after`, so deep below the first."""

    fid: FID
    after: bytes = b""
    depth: int = 0


class ScanState(msgspec.Struct, frozen=True, gc=False):
    """A walk of the file system below `fid`: what was listed, what is left, what could not be read (FID, why)."""

    id: int
    fid: FID
    began_ns: int
    directories: int
    files: int
    left: int
    unreadable: tuple[tuple[FID, str], ...]


class DocumentOutcome(msgspec.Struct, frozen=True, gc=False):
    """What indexers made of one portion of results, for the dispatcher to take.

    `results` are the good ones of the portion without their documents, which are written, and failures: those whose
    documents the database did not take. `dropped` of it did not count. Neither: the portion could not be read.
    """

    id: int
    results: Sequence[Result]
    dropped: int = 0


class Transaction(Protocol):
    """One step of the dispatcher: all of it is written, or nothing. Every call may raise IndexUnavailable."""

    def advance(self, before: Cursor, after: Cursor) -> None:
        """Move a cursor. Raises LeaseLost if it does not stand at `before` (position 0: it may be new)."""

    def set_links(self, links: Iterable[Link]) -> None:
        """Write links, each place once; one that has a higher stamp already stays.

        Of one stamp a name counts more than its removal.
        """

    def take_names(self, fids: Collection[FID]) -> list[Link]:
        """Remove all names of `fids`, and return them."""

    def take_children(self, parents: Collection[FID], limit: int) -> list[Link]:
        """Remove up to `limit` names in directories, tombstones too, and return them; fewer: there are no more."""

    def links(self, places: Collection[Place]) -> dict[Place, Link]:
        """Return what is written of those of `places` that are known, tombstones too."""

    def links_between(self, parent: FID, after: bytes, last: bytes | None) -> list[Link]:
        """Return the links of a directory behind `after` up to `last` (None: to the end), tombstones too."""

    def links_of(self, fids: Collection[FID]) -> dict[FID, list[Link]]:
        """Return the present names of those of `fids` that have one."""

    def linked(self, fids: Collection[FID]) -> set[FID]:
        """Return those of `fids` that have a name."""

    def paths(self, fids: Collection[FID]) -> dict[FID, list[bytes]]:
        """Return all paths of each of `fids`, relative to the root; [] where none is known.

        Only those of a bearable length, and no more links than are bearable are looked at for them (paths.LONGEST).
        """

    def places(self, fids: Collection[FID]) -> tuple[dict[FID, list[bytes]], dict[FID, list[bytes]]]:
        """Return `paths`, and the last parts of all paths of `fids`, also where directories above are not known."""

    def objects(self, fids: Collection[FID]) -> dict[FID, ObjectRow]:
        """Return those of `fids` that are stored."""

    def put_objects(self, rows: Iterable[ObjectRow]) -> None:
        """Write generations (also of rights), type, jobid and cause; rows with id 0 are new. Facts stay."""

    def add_objects(self, found: Iterable[tuple[ObjectRow, Facts]]) -> None:
        """Write new objects together with their facts, which are of the rows' generation."""

    def put_moves(self, moves: Iterable[Move]) -> None:
        """Remember migrations, until they are swept; of one FID the latest one. They are open (`open_moves`)."""

    def any_moved(self) -> bool:
        """Return whether any migration is remembered."""

    def moved(self, fids: Collection[FID]) -> dict[FID, FID]:
        """Return the present FID of those of `fids` that have another one, over any number of migrations."""

    def open_moves(self, limit: int) -> list[FID]:
        """Return up to `limit` old FIDs under which the index may still have names."""

    def close_moves(self, fids: Collection[FID]) -> None:
        """Remember that no name is left under these old FIDs."""

    def move_object(self, source: FID, target: FID) -> None:
        """Give all of `source` (documents, facts, generation, pending rows) to `target`, if it is stored.

        Where `target` is stored too its changes count as later ones than all of `source`'s.
        """

    def remove_objects(self, fids: Collection[FID]) -> int:
        """Remove objects with their documents and pending rows; return how many objects were stored."""

    def pending(self, works: Collection[WorkKey]) -> dict[WorkKey, PendingRow]:
        """Return those rows that are pending."""

    def put_pending(self, rows: Iterable[PendingRow]) -> None:
        """Write pending rows, over those that are there."""

    def put_leases(self, rows: Iterable[PendingRow]) -> None:
        """Write `due_ns`, `job` and `handed_out_ns` of rows that are pending."""

    def remove_pending(self, works: Iterable[WorkKey]) -> None:
        """Remove pending rows."""

    def documents(self, fids: Collection[FID]) -> dict[WorkKey, int]:
        """Return the generation of each good document of `fids`."""

    def begun(self, fids: Collection[FID]) -> dict[FID, int]:
        """Return when (ns) a worker began the oldest good document of each of `fids`, where that is known.

        The file was read after that time. Tags do not count: `stat` tells them with the facts.
        """

    def put_facts(self, found: Iterable[tuple[ObjectRow, int, Facts]]) -> None:
        """Write the facts of stored objects, each with its generation; where newer ones are stored these stay."""

    def put_documents(self, found: Iterable[tuple[ObjectRow, Result]]) -> None:
        """Write the documents that were found in stored objects; where a newer one is stored it stays."""

    def remove_outcomes(self, ids: Iterable[int]) -> None:
        """Forget outcomes that are taken."""

    def put_failures(self, failures: Iterable[tuple[ObjectRow, Result, int]]) -> None:
        """Keep failed attempts, each the last of a number of tries, beside the last good documents."""

    def lanes(self) -> list[Lane]:
        """Return the lanes that have pending rows, per queue the greatest priority first."""

    def due(
        self, lane: Lane, extractors: Collection[str], now_ns: int, limit: int, skip: int = 0
    ) -> list[PendingRow]:
        """Return up to `limit` rows of `extractors` that are due, the oldest first, without the `skip` oldest."""

    def owners(self, lane: Lane, extractors: Collection[str], after: int, limit: int) -> list[OwnerWork]:
        """Return whose rows a lane has: per extractor up to `limit` owners behind the uid `after`."""

    def due_of(self, lane: Lane, shares: Collection[OwnerWork], now_ns: int, limit: int) -> list[PendingRow]:
        """Return up to `limit` rows of each of these that are due, the oldest first."""

    def forgive(self, extractor: str) -> None:
        """Forget the attempts of all pending rows of an extractor."""

    def reprocessing(self, extractor: str, limit: int) -> int:
        """Return how many rows of an extractor are pending for the reason `reprocess`, counted up to `limit`."""

    def marked(self, name: bytes, each: int, most: int) -> list[FID]:
        """Return up to `most` directories with a file of this name that root or the directory's owner owns.

        Of one owner at most `each`.
        """

    def put_left_out(self, globs: Iterable[str], directories: Mapping[str, FID]) -> None:
        """Set what no search finds, with all below it: globs from the root on, and directories by their paths."""

    def put_states(self, states: Iterable[ExtractorState]) -> None:
        """Write `suspended`, `disabled` and `failing` of registered extractors."""

    def facts(self, fids: Collection[FID]) -> dict[FID, tuple[int, Facts]]:
        """Return the generation and the facts of those of `fids` that `stat` has seen."""

    def remove_outdated(self, works: Iterable[WorkKey]) -> None:
        """Remove the documents and failures of extractors for objects."""

    def remove_failures(self, works: Iterable[WorkKey]) -> int:
        """Forget failed attempts, not the good documents beside them; return how many there were."""

    def sweep(self, stamp: bytes, limit: int) -> int:
        """Remove tombstones and remembered migrations with smaller stamps, about `limit`; return how many.

        That of a directory stays while the directory is there: its old FID may be that of a stripe, and named yet.
        """

    def free_keys(self, after: int, limit: int) -> int:
        """Remove the unused of `limit` keys behind the id `after`; return the id reached, 0: there are no more."""

    def nameless(self, after: int, limit: int) -> tuple[list[FID], int]:
        """Return those of `limit` objects behind the id `after` without a name, and the id reached; 0: the end."""

    def parents(self, fids: Collection[FID]) -> set[FID]:
        """Return those of `fids` in which there is a name."""

    def children(self, parent: FID, after: bytes, limit: int) -> list[tuple[bytes, FID]]:
        """Return up to `limit` names in a directory, behind the name `after`, in order."""

    def walk(self) -> Walk | None:
        """Return the directory that is to be looked at next."""

    def put_walks(self, walks: Iterable[Walk]) -> None:
        """Write walks, over those of the same directories."""

    def remove_walk(self, fid: FID) -> None:
        """Forget a walk that is done."""

    def oldest_ask(self) -> int:
        """Return the earliest `handed_out_ns` of the `heal` and `scan` rows that a job holds; 0: there is none."""

    def begin_scan(self, fid: FID, now_ns: int, keep: int) -> int:
        """Remember a new scan and return its id; of the older ones remember only the newest `keep`."""

    def count_scan(self, scan: int, directories: int, files: int) -> None:
        """Add to what a scan has listed."""

    def put_unreadable(self, scan: int, fid: FID, error: str) -> None:
        """Remember a directory that a scan could not read."""

    def scan(self, scan: int, limit: int) -> ScanState | None:
        """Return a scan with up to `limit` of the directories that it could not read; None: it is not remembered.

        What is left are the pending rows of the extractor `scan` that have its id.
        """

    def put_runs(self, runs: Iterable[Run]) -> None:
        """Write runs of actions, over those that are there."""

    def remove_runs(self, ids: Iterable[str]) -> None:
        """Forget runs."""

    def runs(self, ids: Collection[str]) -> dict[str, Run]:
        """Return those of the runs that are stored."""

    def open_runs(self, fids: Collection[FID]) -> list[Run]:
        """Return the runs of objects that have not ended."""

    def move_runs(self, source: FID, target: FID) -> None:
        """Give the runs of an object, and what has fired for it, to its new FID."""

    def rules_with_runs(self, state: str) -> list[str]:
        """Return the rules that have runs in a state."""

    def due_runs(self, state: str, rule: str, now_ns: int, limit: int) -> list[Run]:
        """Return up to `limit` runs of a rule in a state that are due, the oldest first."""

    def count_runs(self, state: str, rule: str, limit: int) -> int:
        """Return how many runs of a rule are in a state, counted up to `limit`."""

    def crowded(self, rule: str, places: Collection[bytes], since_ns: int, most: int) -> set[bytes]:
        """Return those of the places for which `most` runs of a rule, or more, were made since a time."""

    def find_runs(self, wanted: RunsWanted, limit: int) -> list[Run]:
        """Return up to `limit` runs that are wanted, the newest first."""

    def forget_runs(self, before_ns: int, limit: int) -> int:
        """Forget up to `limit` runs that ended before a time, except dead ones; return how many."""

    def fired(self, fids: Collection[FID], rules: Collection[str]) -> dict[tuple[FID, str], int]:
        """Return for which content of objects these rules have fired. It goes and moves with the object."""

    def put_fired(self, fired: Mapping[tuple[FID, str], int]) -> None:
        """Remember for which content of objects rules have fired: the newest counts."""

    def forget_fired(self, fid: FID, prefix: str, until: int) -> None:
        """Forget what has fired for an object: names that begin with `prefix`, and contents up to `until`."""

    def activated(self) -> dict[str, int]:
        """Return since when rules of actions are active."""

    def put_activated(self, since_ns: Mapping[str, int]) -> None:
        """Remember since when rules are active; all others are no longer active."""

    def holds(self) -> list[Hold]:
        """Return which rules and endpoints are held."""

    def put_hold(self, hold: Hold) -> None:
        """Hold a rule or an endpoint; the newest reason counts."""

    def remove_hold(self, kind: str, name: str) -> bool:
        """Release a rule or an endpoint; return whether it was held."""

    def count(self, counters: Mapping[str, int]) -> None:
        """Add to the counters."""


class IndexWriter(Protocol):
    """An index opened for writing."""

    def take_over(self) -> None:
        """Become the index's one writer; the former one gets LeaseLost."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin; commit durably at the end, or undo everything if an exception comes.

        Raises LeaseLost (another writer has taken over), IndexUnavailable.
        """

    def cursors(self) -> dict[tuple[str, int], Cursor]:
        """Return all cursors by (MDT, epoch)."""

    def register(self, extractors: Sequence[Identity]) -> dict[str, ExtractorState]:
        """Make extractors known and return them by name; a new version or digest raises the serial.

        It also lifts the suspension of a breaker and forgets what it has counted.
        """

    def counters(self) -> dict[str, int]:
        """Return the sums of all counts so far."""

    def count_runs(
        self, states: Collection[str], most: int, rules: Collection[str] | None = None
    ) -> dict[str, dict[str, int]]:
        """Return how many runs of actions are committed, by rule and state; no lock is held meanwhile.

        Of all rules about `most` are counted in each state, and of a rule that has any at least one; of `rules`,
        if they are named, `most` of each.
        """

    def outcomes(self, limit: int) -> list[DocumentOutcome]:
        """Return up to `limit` of the oldest outcomes that the dispatcher has not taken."""

    def close(self) -> None:
        """Close; closing twice is fine."""


class DocumentWriter(Protocol):
    """An index that good documents are written into beside the dispatcher, by any number of processes.

    `refused` counts the documents that the database did not take.
    """

    refused: int

    def write(self, portions: Sequence[DocumentPortion], beat: Callable[[], None] = lambda: None) -> int:
        """Write the documents of portions, and an outcome for each, all or nothing; return how many were written.

        `beat` is called before each document that has to be written alone: that may take long.

        A portion whose outcome is still there is passed over. A result counts only if it is good, and while its job
        holds its row. A document that the database does not take becomes a failure, and the others are written.
        Raises IndexUnavailable, IndexTooNew.
        """

    def close(self) -> None:
        """Close; closing twice is fine."""
