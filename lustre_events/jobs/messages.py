"""What travels between dispatcher and workers: jobs and results, as versioned JSON.

File names are bytes; in JSON they are percent-encoded, which is readable for ordinary names and exact for all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError

VERSION = 2
"""In version 1 items had no `recall`, `cause`, `after`, and results no `blame`, `elsewhere`; both are read."""
STAT = "stat"
"""The built-in extractor: the facts of an object, read without a container."""
HEAL = "heal"
"""Built in: the names that an object has by the file system itself."""
SCAN = "scan"
"""Built in: what is in a directory, by name, with the facts of each object."""
ASKS = frozenset({HEAL, SCAN})
"""Questions about the file system itself, not about the content of a file."""
BUILT_IN = frozenset({STAT}) | ASKS
TAGS = "xattr"
"""The document of an object's tags, which `stat` returns with the facts."""
BUILTIN_QUEUE = "builtin"
"""Where their jobs wait, never behind containers; a worker on each node serves it alone."""

ACTIONS_QUEUE = "actions"
"""Where runs of actions wait for file workers: one worker on each node that is set up for them serves it alone."""
TRANSFERS_QUEUE = "transfers"
"""Where runs of `transfer` wait: a copy may take hours, and containers and jobs do not wait behind it."""
_INSTANCE = re.compile(rf"({BUILTIN_QUEUE}|{ACTIONS_QUEUE}|{TRANSFERS_QUEUE})(-[0-9]+)?")
ACTION = "action"
"""The one key of such a job; its value is a sealed delivery in base64."""

STATUSES = ("ok", "failed", "gone", "released")
"""What a Result's `status` can be."""

LONGEST_HINT = 16 << 10
"""Longer paths are left out: thousands of nested directories would fill Redis."""

JOB_FUNCTION = "workers.jobs.run"
"""What RQ calls; the service names the workers by this string only. Its one argument is an encoded Job."""


def queue_of_instance(instance: str) -> str:
    """Return the queue that a worker serves by its name alone: `transfers-2` is one more of `transfers`.

    Empty: the name says nothing, and [worker] queue counts.
    """
    found = _INSTANCE.fullmatch(instance)
    return found[1] if found else ""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The last change of a file when its work was given out: number of the MDT, epoch, and index of the record."""

    mdt: int
    epoch: int
    record: int

    def provenance(self) -> dict[str, Any]:
        """Return the form that documents have of it."""
        return {"mdt": f"MDT{self.mdt:04x}", "epoch": self.epoch, "record": self.record}


class JobItem(msgspec.Struct, frozen=True, gc=False):
    """One file of a job. `path` is where the index last saw it, relative to the mount point; a hint only.

    `recall`: the file's rule allows to read it even if HSM has released its content to tape, which recalls it.
    `cause` is None where no record has told of the file (a scan found it). `after`: `scan` goes on behind this
    name.
    """

    fid: FID
    generation: int
    path: bytes
    recall: bool = False
    cause: Cause | None = None
    after: bytes = b""


class Job(msgspec.Struct, frozen=True, gc=False):
    """One extractor over a batch of files of one owner (uid; -1 where it does not matter).

    `extractor` is the identity of its manifest: `tables` for one of the site, `alice/tables` for one of the user
    alice, who has it in her own folder (`own_extractors.load_user`). That one runs as alice only, on files that she
    may read.

    `to_indexers`: its results are for indexers, which write documents; a worker that does not know this gives them
    to the dispatcher, which takes them as well.
    """

    id: str
    extractor: str
    serial: int
    owner: int
    items: tuple[JobItem, ...]
    to_indexers: bool = False


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one extractor found in one file.

    `status` is `ok` (document), `failed` (error, stderr; tried again until its tries are used up), `gone` (the file
    is not there any more; normal) or `released` (HSM has its content on tape only and the item says no `recall`, so
    it was not read: a document of this content stays, and a restore asks again). `stat` puts the facts into
    `document`, by their column names, with `released` among them.

    `blame` says whose fault a failure is. `extractor`: no file could have been extracted (no image or a refused
    one, the runtime failed, the extractor is not installed, not approved, or of a user that this worker cannot be):
    such a job counts for the breaker, not against its files. `worker`: it gives the file back, which it may not
    read; that counts against nobody. `file`: anything else.

    `final`: the program says that another try at the same content would fail alike, so there is none.

    `elsewhere`: by the file system the object has not the name that the job said.
    """

    fid: FID
    extractor: str
    serial: int
    generation: int
    status: str
    document: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    error: str = ""
    stderr: str = ""
    blame: Literal["file", "extractor", "worker"] = "file"
    elsewhere: bool = False
    final: bool = False

    def failure(self, attempts: int) -> dict[str, Any]:
        """Return what is kept of a failure, the last of a number of attempts."""
        kept = {"error": self.error, "stderr": self.stderr, "attempts": attempts}
        return kept | ({"final": True} if self.final else {})


MOST_OF_PORTION = 1_000
"""Most results of a DocumentPortion: a worker of ours puts a hundred into one."""


class DocumentPortion(msgspec.Struct, frozen=True, gc=False):
    """Results that a worker of a pool ("": of the site) has put together for indexers.

    `id` is the portion's own, whoever reads it again; `entry` is where it is in Redis.
    """

    id: str
    results: Sequence[Result]
    pool: str = ""
    entry: str = ""


def encode_job(job: Job) -> dict[str, Any]:
    """Return what RQ carries: only JSON types, only ASCII."""
    return {
        "v": VERSION,
        "id": job.id,
        "extractor": job.extractor,
        "serial": job.serial,
        "owner": job.owner,
        "items": [_item(item) for item in job.items],
        **({"to_indexers": True} if job.to_indexers else {}),
    }


def decode_job(data: Any) -> Job:
    """Return the job that `encode_job` made.

    Raises:
        ConfigError: it is not a job of a version that this worker understands.
    """
    try:
        version = msgspec.convert(data, _Versioned).v
        if version not in _KNOWN:
            raise ConfigError(f"a job of version {version}: this worker understands version {VERSION}; upgrade it")
        job: _Job | _JobOf1 = msgspec.convert(data, _Job) if version > 1 else msgspec.convert(data, _JobOf1)
        items = tuple(
            JobItem(FID.parse(fid), generation, unquote_to_bytes(path), recall, cause, unquote_to_bytes(after))
            for fid, generation, path, recall, cause, after in map(_whole, job.items)
        )
    except (msgspec.MsgspecError, ValueError) as exc:
        raise ConfigError(f"not a job of ours: {exc}") from exc
    to_indexers = isinstance(job, _Job) and job.to_indexers
    return Job(job.id, job.extractor, job.serial, job.owner, items, to_indexers)


def encode_results(results: list[Result]) -> bytes:
    """Return results as JSON bytes."""
    rows = [{**msgspec.structs.asdict(result), "fid": str(result.fid)} for result in results]
    return msgspec.json.encode({"v": VERSION, "results": rows})


def decode_results(data: bytes) -> list[Result]:
    """Return the results that `encode_results` made.

    Raises:
        ConfigError: they are not results of a version that this dispatcher understands.
    """
    try:
        try:
            found = _RESULTS.decode(data)
            version = found.v
        except msgspec.ValidationError:
            version = msgspec.json.decode(data, type=_Versioned).v
            if version in _KNOWN:
                raise
        if version not in _KNOWN:
            raise ConfigError(f"results of version {version}: this dispatcher understands version {VERSION}")
        return [_result(row) for row in found.results]
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"not results of ours: {exc}") from exc


_KNOWN = (1, VERSION)


def _item(item: JobItem) -> list[Any]:
    cause = None if item.cause is None else msgspec.structs.asdict(item.cause)
    hint = item.path if len(item.path) <= LONGEST_HINT else b""
    path, after = quote_from_bytes(hint), quote_from_bytes(item.after)
    return [str(item.fid), item.generation, path, item.recall, cause, after]


def _whole(item: _Item | _ItemOf1) -> _Item:
    return item if len(item) > 3 else (*item, False, None, "")


class _Versioned(msgspec.Struct):
    v: int


_ItemOf1 = tuple[str, int, str]
_Item = tuple[str, int, str, bool, Cause | None, str]


class _JobOf1(msgspec.Struct):
    id: str
    extractor: str
    serial: int
    owner: int
    items: list[_ItemOf1]


class _Job(msgspec.Struct):
    id: str
    extractor: str
    serial: int
    owner: int
    items: list[_Item]
    to_indexers: bool = False


class _Row(msgspec.Struct, kw_only=True, gc=False):
    """A Result, as it travels."""

    fid: str
    extractor: str
    serial: int
    generation: int
    status: str
    document: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    error: str = ""
    stderr: str = ""
    blame: Literal["file", "extractor", "worker"] = "file"
    elsewhere: bool = False
    final: bool = False


class _Results(msgspec.Struct):
    v: int
    results: list[_Row]


_RESULTS = msgspec.json.Decoder(_Results)


def _result(row: _Row) -> Result:
    if row.status not in STATUSES:
        raise ConfigError(f"a result of status {row.status!r}: known are {', '.join(STATUSES)}")
    return Result(
        fid=FID.parse(row.fid), extractor=row.extractor, serial=row.serial, generation=row.generation,
        status=row.status, document=row.document, provenance=row.provenance, error=row.error, stderr=row.stderr,
        blame=row.blame, elsewhere=row.elsewhere, final=row.final,
    )  # fmt: skip
