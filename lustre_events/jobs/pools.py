"""Pools of workers: what belongs to a pool in Redis, by its name.

A pool has a login that reaches the keys below `le:pool:NAME:` and nothing else; no login of another role that
workers have reaches them. Its queue is `pool-NAME`, and the ids of its jobs begin with that.

    key                       type   meaning
    le:pool:names             set    names of pools in this Redis, for who looks; written by the dispatcher
    le:pool:<name>:rq:...            RQ's keys of the pool (jobs/queues.py), with this prefix instead of `rq:`
    le:pool:<name>:results    list   results of the pool, as `le:result:waiting` (streams/results.py)
"""

from __future__ import annotations

import re
import uuid

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


def all_keys(pool: str) -> str:
    """Return the pattern of all keys of a pool."""
    return f"le:pool:{pool}:*"
