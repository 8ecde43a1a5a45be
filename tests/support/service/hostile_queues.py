"""What somebody with a worker's login can leave in Redis for whoever looks at the queues."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

WORKER = "<img src=x onerror=document.title='owned'>"
QUEUE = "<script>document.title='owned'</script>"
_DATE = "2026-01-01T00:00:00.000000Z"


def plant(client: redis.Redis, mark: Path) -> None:
    """Leave pickles that write `mark` wherever RQ reads one, names that are markup, and keys of the wrong type."""
    evil = b"cos\nsystem\n(S'echo x >> " + str(mark).encode() + b"'\ntR."
    fields: dict[Any, Any] = {"data": evil, "meta": evil, "result": evil, "created_at": _DATE, "origin": "default",
              "description": WORKER, "worker_name": WORKER}  # fmt: skip
    for name, status in (("x", "started"), ("y", "queued"), ("z", "failed")):
        client.hset(f"rq:job:{name}", mapping=fields | {"status": status})
        client.xadd(f"rq:results:{name}", {"type": 1, "created_at": 1, "return_value": base64.b64encode(evil)})
    client.rpush("rq:queue:default", "y", "gone", WORKER)
    client.zadd("rq:wip:default", {"x:e": 9e18})
    client.zadd("rq:failed:default", {"z": 9e18})
    client.sadd("rq:worker:w1:executions", "x:e")
    client.hset("rq:execution:x:e", mapping={"job_id": "x", "created_at": 1, "last_heartbeat": 1})
    for name in ("w1", WORKER):
        client.hset(f"rq:worker:{name}", mapping={"birth": _DATE, "queues": f"default,{QUEUE}", "state": "busy",
                    "current_job": "x", "hostname": WORKER, "meta": evil})  # fmt: skip
    client.sadd("rq:workers", "rq:worker:w1", f"rq:worker:{WORKER}", "rq:worker:gone")
    client.set("rq:queue:odd", "a string")
    client.sadd("rq:queues", "rq:queue:default", f"rq:queue:{QUEUE}", "rq:queue:odd")


def everything(client: redis.Redis) -> dict[bytes, Any]:
    """Return all that is in Redis."""
    read: dict[Any, Callable[[Any], Any]] = {
        b"string": client.get, b"hash": client.hgetall, b"set": client.smembers, b"stream": client.xrange,
        b"list": lambda key: client.lrange(key, 0, -1), b"zset": lambda key: client.zrange(key, 0, -1),
    }  # fmt: skip
    return {key: read[client.type(key)](key) for key in client.scan_iter()}
