"""Pools of workers: what belongs to a pool in Redis, by its name.

A pool has a login that reaches the keys below `le:pool:NAME:` and nothing else; no login of another role that
workers have reaches them. Its queue is `pool-NAME`, and the ids of its jobs begin with that.

    key                       type   meaning
    le:pool:names             set    names of pools in this Redis, for who looks; written by the dispatcher
    le:pool:<name>:rq:...            RQ's keys of the pool (jobs/queues.py), with this prefix instead of `rq:`
    le:pool:<name>:results    list   results of the pool, as `le:result:waiting` (streams/results.py)
    le:pool:<name>:documents  list   results of the pool for indexers, as `le:document:waiting`
"""

from __future__ import annotations

import re
import uuid

import msgspec

from lustre_events.jobs.messages import Result

NAMES = "le:pool:names"
LOGIN = "le-pool-"
_QUEUE = "pool-"
_PART = "_"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")


def is_name(name: str) -> bool:
    """Whether a pool can have this name: of small letters, digits and hyphens, for keys, files and logins."""
    return _NAME.match(name) is not None


def queue_of(pool: str) -> str:
    """Return the queue of a pool."""
    return f"{_QUEUE}{pool}"


def pool_of(queue: str) -> str:
    """Return the pool that a queue belongs to; empty: it is one of the site's."""
    name = queue.removeprefix(_QUEUE)
    return name if name != queue and is_name(name) else ""


def new_job_id(queue: str) -> str:
    """Return a new id for a job of a queue; it names the pool."""
    fresh = uuid.uuid4().hex
    return f"{queue}{_PART}{fresh}" if pool_of(queue) else fresh


def pool_of_job(job_id: str) -> str:
    """Return the pool that a job was given to; empty: the site's workers."""
    queue, part, _ = job_id.partition(_PART)
    return pool_of(queue) if part else ""


def rq_prefix(pool: str) -> str:
    """Return the prefix of RQ's keys of a pool."""
    return f"le:pool:{pool}:rq"


def results_key(pool: str) -> str:
    """Return the key of a pool's results."""
    return f"le:pool:{pool}:results"


def documents_key(pool: str) -> str:
    """Return the key of a pool's results for indexers."""
    return f"le:pool:{pool}:documents"


def owes(pool: str, result: Result) -> bool:
    """Whether a result is of a job that was given to the pool (empty: to the site's workers)."""
    job = result.provenance.get("job")
    return isinstance(job, str) and pool_of_job(job) == pool


def as_owed(pool: str, result: Result) -> Result:
    """Return a result of a pool's worker as it counts: one that is not owed has no job, so it is dropped.

    What a pool says against an extractor is said of its own nodes: it suspends the extractor for nobody.
    """
    if not owes(pool, result):
        return msgspec.structs.replace(result, status="failed", document={}, provenance={})
    if pool and result.blame == "extractor":
        return msgspec.structs.replace(result, blame="worker")
    return result


def all_keys(pool: str) -> str:
    """Return the pattern of all keys of a pool."""
    return f"le:pool:{pool}:*"
