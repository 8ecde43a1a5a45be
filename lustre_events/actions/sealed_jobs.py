"""Jobs sealed for one pool: with the pool's key, its name and the time until which they hold.

Who has a pool's login of Redis can put anything into its queue. A worker of the pool opens what the dispatcher has
sealed for that pool, and nothing else: no job that was made up, none of another pool, and none of long ago.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from lustre_events.actions.seal import Seal
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import Job, decode_job, encode_job

HOLDS_SECONDS = 86_400
"""How long a job may wait in its queue, and run."""
_HEADER = b"job of a pool 1\0"


class _Inner(msgspec.Struct):
    pool: str
    until_ns: int
    job: dict[str, Any]


class JobExpired(ConfigError):
    """The dispatcher has sealed this job, too long ago. `job` is what it was."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} has waited for longer than {HOLDS_SECONDS} s, so it is given back")
        self.job = job


class PoolSeal:
    """Seals jobs for a pool, and opens them."""

    def __init__(self, pool: str, seal: Seal) -> None:
        self._pool = pool
        self._seal = seal

    def sealed(self, job: Job, now_ns: int) -> dict[str, Any]:
        """Return what RQ carries of a job. The extractor's name outside is a hint, for who looks."""
        inner = _Inner(self._pool, now_ns + HOLDS_SECONDS * SECOND_NS, encode_job(job))
        data = self._seal.sealed(_HEADER + msgspec.json.encode(inner))
        return {"pool": self._pool, "extractor": job.extractor, "sealed": base64.b64encode(data).decode()}

    def opened(self, payload: Any, now_ns: int) -> Job:
        """Return the job in what RQ carried.

        Raises:
            ConfigError: the dispatcher has not sealed it for this pool.
            JobExpired: it has, too long ago.
        """
        try:
            text = payload["sealed"]
            data = self._seal.opened(base64.b64decode(text, validate=True))
            if not data.startswith(_HEADER):
                raise ConfigError("it is not a job")
            inner = msgspec.json.decode(data.removeprefix(_HEADER), type=_Inner)
        except (ConfigError, msgspec.MsgspecError, binascii.Error, TypeError, KeyError, ValueError) as exc:
            raise ConfigError(
                f"not sealed by this site's dispatcher for the pool {self._pool}; look who has the login "
                f"of this pool, and whether [worker] pool_key is the key that the dispatcher has ({exc})"
            ) from exc
        if inner.pool != self._pool:
            raise ConfigError(f"sealed for the pool {inner.pool}, not for {self._pool}")
        job = decode_job(inner.job)
        if now_ns > inner.until_ns:
            raise JobExpired(job)
        return job
