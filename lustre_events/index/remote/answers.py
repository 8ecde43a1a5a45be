r"""The answers of `/api/v1` as types: the server's OpenAPI is made from them, and the client reads them back.

A hit and a file are the same JSON as `search --json` and `show --json` print. Names are text; a byte that is not
UTF-8 is a surrogate escape (`\udcff`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import Maker
from lustre_events.domain.namespace import OrderKey
from lustre_events.index.mount import Mount
from lustre_events.index.search import hits
from lustre_events.index.search.hints.hint import Hint as HintValue
from lustre_events.index.search.key_list import KeyInfo


class MatchAnswer(msgspec.Struct, frozen=True):
    """A value that the query matched, under its key, or a name (`extractor` is empty)."""

    extractor: str
    key: str
    text: str


class HitAnswer(msgspec.Struct, frozen=True):
    """One object that a search found. Facts are null while they are not known."""

    fid: str
    paths: list[str]
    type: str | None
    size: int | None
    mtime_ns: int | None
    uid: int | None
    gid: int | None
    mode: str | None
    mime: str | None
    documents: dict[str, dict[str, Any]]
    matched: list[MatchAnswer] = []

    def value(self, mount: Mount) -> hits.Hit:
        """Return it as the index gives it."""
        return hits.Hit(
            FID.parse(self.fid), _inside(self.paths, mount), self.type, self.size, self.mtime_ns, self.uid,
            self.gid, _mode(self.mode), self.mime, self.documents,
            tuple(hits.Match(each.extractor, each.key, each.text) for each in self.matched),
        )  # fmt: skip


class HintAnswer(msgspec.Struct, frozen=True):
    """Why nothing is found. `query` is a repaired one, which finds `files` (at most 1,001 are counted)."""

    text: str
    query: str | None = None
    files: int = 0

    def value(self) -> HintValue:
        """Return it as the index gives it."""
        return HintValue(self.text, self.query, self.files)


class PageAnswer(msgspec.Struct, frozen=True):
    """One page of a search, paths below `mount`. `cursor` gives the next; null: there are no more.

    `note` is a remark on its order.
    """

    hits: list[HitAnswer]
    cursor: str | None
    hints: list[HintAnswer]
    mount: str
    note: str | None = None


class CountAnswer(msgspec.Struct, frozen=True):
    """How many objects match."""

    count: int
    hints: list[HintAnswer]


class FacetAnswer(msgspec.Struct, frozen=True):
    """A value, how many objects have it, and the sum of their sizes."""

    value: str | int | float | None
    files: int
    bytes: int

    def file_facet(self) -> hits.Facet:
        """Return it as the index gives it."""
        return hits.Facet(self.value, self.files, self.bytes)


class FacetsAnswer(msgspec.Struct, frozen=True):
    """The most frequent values of each field that was asked for."""

    facets: dict[str, list[FacetAnswer]]
    hints: list[HintAnswer]


class HintsAnswer(msgspec.Struct, frozen=True):
    """Why a query finds nothing; empty where it finds something."""

    hints: list[HintAnswer]


class KeyAnswer(msgspec.Struct, frozen=True):
    """A field or key that a query can have. At least `files` have it; `*` stands for a part that files name."""

    name: str
    type: str
    unit: str
    extractors: tuple[str, ...]
    examples: tuple[str, ...]
    help: str
    files: int

    def value(self) -> KeyInfo:
        """Return it as the index gives it."""
        return KeyInfo(*msgspec.structs.astuple(self))


class KeysAnswer(msgspec.Struct, frozen=True):
    """Fields and keys, those that begin with the prefix first."""

    fields: list[KeyAnswer]


class CompletionsAnswer(msgspec.Struct, frozen=True):
    """How a query can be completed while it is typed."""

    queries: list[str]


class CauseAnswer(msgspec.Struct, frozen=True):
    """The last record about an object."""

    mdt: str
    epoch: int
    record: int
    time_ns: int


class FactsAnswer(msgspec.Struct, frozen=True):
    """What the index knows of an object besides its names; null: not known. `acl` is hexadecimal."""

    type: str | None
    size: int | None
    mtime_ns: int | None
    ctime_ns: int | None
    atime_ns: int | None
    uid: int | None
    gid: int | None
    mode: str | None
    nlink: int | None
    jobid: str | None
    mime: str | None
    released: int | None
    acl: str | None
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
    cause: CauseAnswer | None
    rights: int

    def value(self) -> hits.ObjectFacts:
        """Return them as the index gives them."""
        plain = {name: getattr(self, name) for name in self.__struct_fields__}
        cause = self.cause
        return hits.ObjectFacts(**plain | {
            "mode": _mode(self.mode),
            "jobid": None if self.jobid is None else self.jobid.encode("utf-8", "surrogateescape"),
            "acl": None if self.acl is None else bytes.fromhex(self.acl),
            "cause": b"" if cause is None
            else OrderKey(cause.time_ns, int(cause.mdt.removeprefix("MDT"), 16), cause.epoch, cause.record).pack(),
        })  # fmt: skip


class DocumentAnswer(msgspec.Struct, frozen=True):
    """The last good document of one extractor."""

    generation: int
    serial: int
    body: dict[str, Any]
    provenance: dict[str, Any]


class FailureAnswer(msgspec.Struct, frozen=True):
    """The last attempt of one extractor, which failed."""

    generation: int
    serial: int
    failure: dict[str, Any]


class PendingAnswer(msgspec.Struct, frozen=True):
    """Work that is wanted and not done yet."""

    generation: int
    due_ns: int
    attempts: int
    reason: str
    rule: str
    queue: str
    job: str | None
    error: str = ""


class FileAnswer(msgspec.Struct, frozen=True):
    """All that the index knows of one object; no paths where it is gone, unknown, or not for you to see.

    `left_out` are the globs of the site, or the directories, for which no search finds it. `made_by` is the run of
    an action whose container has made it, and null for all other files: `/runs/{key}` tells of that run.
    """

    fid: str
    paths: list[str]
    facts: FactsAnswer | None
    documents: dict[str, DocumentAnswer]
    failures: dict[str, FailureAnswer]
    pending: dict[str, PendingAnswer]
    left_out: list[str] = []
    made_by: Maker | None = None

    def value(self, mount: Mount) -> hits.ObjectView:
        """Return it as the index gives it."""
        return hits.ObjectView(
            FID.parse(self.fid),
            _inside(self.paths, mount),
            None if self.facts is None else self.facts.value(),
            tuple(hits.Document(name, **msgspec.structs.asdict(each)) for name, each in self.documents.items()),
            tuple(hits.Failure(name, **msgspec.structs.asdict(each)) for name, each in self.failures.items()),
            tuple(hits.PendingWork(name, **msgspec.structs.asdict(each)) for name, each in self.pending.items()),
            tuple(self.left_out),
            self.made_by,
        )


class GapAnswer(msgspec.Struct, frozen=True):
    """Records that are or may be missing, between two times; an index of 0, a time of null: not known."""

    mdt: str
    epoch: int
    first_index: int
    last_index: int
    after_ns: int | None
    before_ns: int | None
    reason: str
    sentence: str


class HistoryAnswer(msgspec.Struct, frozen=True):
    """What happened, the newest last: records as of `history --json`, each with a sentence.

    `before` deeds more were before these. `remarks` say what is left out, or beyond the reach of the history.
    """

    deeds: list[dict[str, Any]]
    before: int
    gaps: list[GapAnswer]
    remarks: list[str]


class FormerAnswer(msgspec.Struct, frozen=True):
    """What stood in a directory at a given time: `fid`, `name`, and whether that is `certain`, by name."""

    entries: list[dict[str, Any]]
    gaps: list[GapAnswer]
    remarks: list[str]


class FilesAnswer(msgspec.Struct, frozen=True):
    """The objects that were asked for, in that order, with paths below `mount`."""

    files: list[FileAnswer]
    mount: str


class SumsAnswer(msgspec.Struct, frozen=True):
    """Files and bytes of a tree, by the values of a field."""

    sums: list[FacetAnswer]


class TotalAnswer(msgspec.Struct, frozen=True):
    """How many objects, and the sum of their sizes."""

    files: int
    bytes: int


class ReportAnswer(msgspec.Struct, frozen=True):
    """What is below a path, paths below `mount`. Not `all_directories`: only the first were summed up.

    `sections` has the most frequent values of fields, and sizes and ages of files in ranges.
    """

    total: TotalAnswer
    sections: dict[str, list[FacetAnswer]]
    directories: list[FacetAnswer]
    all_directories: bool
    largest: list[HitAnswer]
    mount: str


class FailedFileAnswer(msgspec.Struct, frozen=True):
    """One failure of one file."""

    fid: str
    paths: list[str]
    extractor: str
    error: Any
    stderr: Any
    attempts: Any
    provenance: Any


class FailuresAnswer(msgspec.Struct, frozen=True):
    """Failed attempts on files that you may see. `cursor` gives the next page; null: there are no more."""

    failures: list[FailedFileAnswer]
    cursor: str | None


class AskedAnswer(msgspec.Struct, frozen=True):
    """What was given to the dispatcher: how many files, and how many of them are now work."""

    files: int
    rows: int


class ReprocessedAnswer(msgspec.Struct, frozen=True):
    """A portion of files that are extracted again: taken, now work, pending; and why they wait, or nothing.

    While there is `more`, ask again with `cursor`; where nothing was taken, a while later.
    """

    files: int
    taken: int
    rows: int
    pending: int
    waits: str
    cursor: str | None
    more: bool


class RefusalAnswer(msgspec.Struct, frozen=True):
    """Why there is no answer: one sentence, and the class of errors.py that it is.

    Where a query names a user or group that is not known, `hints` say which there are.
    """

    error: str
    kind: str
    hints: list[HintAnswer] = []


def _inside(paths: list[str], mount: Mount) -> tuple[bytes, ...]:
    return tuple(mount.inside(path.encode("utf-8", "surrogateescape")) or b"/" for path in paths)


def _mode(text: str | None) -> int | None:
    return None if text is None else int(text, 8)
