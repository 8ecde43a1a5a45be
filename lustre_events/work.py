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
        if data["v"] != VERSION:
            raise ConfigError(
                f"a job of version {data['v']!r}: this worker understands version {VERSION}; upgrade it"
            )
        items = tuple(
            JobItem(FID.parse(fid), int(generation), unquote_to_bytes(path))
            for fid, generation, path in data["items"]
        )
        return Job(str(data["id"]), str(data["extractor"]), int(data["serial"]), int(data["owner"]), items)
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"not a job of ours: {exc!r}") from exc


class _Envelope(msgspec.Struct):
    v: int
    results: list[dict[str, Any]]


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
        envelope = msgspec.json.decode(data, type=_Envelope)
        if envelope.v != VERSION:
            raise ConfigError(f"results of version {envelope.v}: this dispatcher understands version {VERSION}")
        return [msgspec.convert({**row, "fid": _fid_fields(row["fid"])}, Result) for row in envelope.results]
    except (msgspec.MsgspecError, KeyError, AttributeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"not results of ours: {exc}") from exc


def _fid_fields(text: str) -> dict[str, int]:
    fid = FID.parse(text)
    return {"seq": fid.seq, "oid": fid.oid, "ver": fid.ver}
