"""What travels between dispatcher and workers: jobs and results, as versioned JSON.

File names are bytes; in JSON they are percent-encoded, which is readable for ordinary names and exact for all.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from lustre_events.errors import ConfigError
from lustre_events.fid import FID

VERSION = 1
STAT = "stat"
"""The built-in extractor: the facts of an object, read without a container."""

STATUSES = ("ok", "failed", "gone")
"""What a Result's `status` can be."""

JOB_FUNCTION = "workers.jobs.run"
"""What RQ calls; the service names the workers by this string only. Its one argument is an encoded Job."""


class JobItem(msgspec.Struct, frozen=True, gc=False):
    """One file of a job. `path` is where the index last saw it, relative to the mount point; a hint only."""

    fid: FID
    generation: int
    path: bytes


class Job(msgspec.Struct, frozen=True, gc=False):
    """One extractor over a batch of files of one owner (uid; -1 where it does not matter)."""

    id: str
    extractor: str
    serial: int
    owner: int
    items: tuple[JobItem, ...]


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one extractor found in one file.

    `status` is `ok` (document), `failed` (error, stderr; tried again until its tries are used up) or `gone`
    (the file is not there any more; normal). `stat` puts the facts into `document`, by their column names.
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


def encode_job(job: Job) -> dict[str, Any]:
    """Return what RQ carries: only JSON types, only ASCII."""
    return {
        "v": VERSION,
        "id": job.id,
        "extractor": job.extractor,
        "serial": job.serial,
        "owner": job.owner,
        "items": [[str(item.fid), item.generation, quote_from_bytes(item.path)] for item in job.items],
    }


def decode_job(data: Any) -> Job:
    """Return the job that `encode_job` made.

    Raises:
        ConfigError: it is no job of a version that this worker understands.
    """
    try:
        version = msgspec.convert(data, _Versioned).v
        if version != VERSION:
            raise ConfigError(f"a job of version {version}: this worker understands version {VERSION}; upgrade it")
        job = msgspec.convert(data, _Job)
        items = tuple(JobItem(FID.parse(fid), generation, unquote_to_bytes(p)) for fid, generation, p in job.items)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise ConfigError(f"not a job of ours: {exc}") from exc
    return Job(job.id, job.extractor, job.serial, job.owner, items)


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
        version = msgspec.json.decode(data, type=_Versioned).v
        if version != VERSION:
            raise ConfigError(f"results of version {version}: this dispatcher understands version {VERSION}")
        rows = msgspec.json.decode(data, type=_Results).results
        return [_result(row) for row in rows]
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"not results of ours: {exc}") from exc


class _Versioned(msgspec.Struct):
    v: int


class _Job(msgspec.Struct):
    id: str
    extractor: str
    serial: int
    owner: int
    items: list[tuple[str, int, str]]


class _Results(msgspec.Struct):
    results: list[dict[str, Any]]


def _result(row: dict[str, Any]) -> Result:
    fid = FID.parse(msgspec.convert(row["fid"], str))
    result = msgspec.convert({**row, "fid": msgspec.structs.asdict(fid)}, Result)
    if result.status not in STATUSES:
        raise ConfigError(f"a result of status {result.status!r}: known are {', '.join(STATUSES)}")
    return result
