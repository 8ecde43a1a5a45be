"""Whether what was appended is on Redis's disk yet, concluded from INFO.

Redis with `appendfsync everysec` answers before its append-only file (AOF) is on the disk. The rule: two quiet
moments, 3 s apart or more.
- In the first, no fsync is under way. So what was executed before it is written to the file in the same turn
  of Redis's loop, and the next fsync, at most one second later, covers it (aof.c, flushAppendOnlyFile: a
  write waits only for an fsync under way, and an idle server fsyncs too).
- In the second, no fsync is under way either: the one that covers it has begun before and has ended.
In between nothing may have cast doubt: the same process (run_id), every write and fsync successful, no write
forced past a slow fsync (aof_delayed_fsync), no rewrite of the AOF (which closes the file in the background).

WAITAOF (Redis 7.2, Valkey) would be made for this, but cannot be relied on: with a slow disk it was seen to
answer 2 s before the fsync had ended (Valkey 9.1), and redis/redis#13793 describes the same of Redis 7.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import msgspec

QUIET_SECONDS = 3.0
"""One second until the next fsync, two for which Redis may put off a write, see above."""


class PersistenceInfo(msgspec.Struct, frozen=True, gc=False):
    """What INFO said in one moment; the fields are named there."""

    run_id: str
    aof_enabled: bool
    write_status_ok: bool
    pending_fsyncs: int
    delayed_fsyncs: int
    rewrites: int
    rewriting: bool

    @classmethod
    def of_info(cls, info: Mapping[str, object]) -> PersistenceInfo:
        """Return the sample of INFO's sections `server` and `persistence`."""

        def number(field: str) -> int:
            return int(str(info.get(field, 0)))

        return cls(
            run_id=str(info.get("run_id", "")),
            aof_enabled=number("aof_enabled") == 1,
            write_status_ok=info.get("aof_last_write_status") == "ok",
            pending_fsyncs=number("aof_pending_bio_fsync"),
            delayed_fsyncs=number("aof_delayed_fsync"),
            rewrites=number("aof_rewrites"),
            rewriting=number("aof_rewrite_in_progress") == 1,
        )

    def quiet(self) -> bool:
        """Whether in this moment nothing was on its way to the disk, and nothing is wrong."""
        return self.aof_enabled and self.write_status_ok and not self.pending_fsyncs and not self.rewriting

    def no_doubt_since(self, earlier: PersistenceInfo) -> bool:
        """Whether nothing happened since `earlier` that makes a conclusion from it doubtful."""
        return (
            self.aof_enabled
            and self.write_status_ok
            and self.run_id == earlier.run_id
            and self.delayed_fsyncs == earlier.delayed_fsyncs
            and self.rewrites == earlier.rewrites
        )


class FsyncWatch:
    """The rule over samples of INFO."""

    def __init__(self, look: Callable[[], tuple[PersistenceInfo, int]], clock: Callable[[], float]) -> None:
        """Begin with nothing known.

        Args:
            look: returns a sample of INFO and the stream's last index, both of the same moment: what Redis lost
                at a restart in between must not be taken for stored.
            clock: counts seconds.
        """
        self._look = look
        self._clock = clock
        self._moments: deque[tuple[float, int, PersistenceInfo]] = deque()
        self._stored = 0

    def observe(self) -> int:
        """Look once, and return the greatest index known to be on the disk; 0: none."""
        before = self._clock()
        sample, last_index = self._look()
        if self._moments and not sample.no_doubt_since(self._moments[-1][2]):
            self._moments.clear()
        if not sample.quiet():
            return self._stored
        while self._moments and before - self._moments[0][0] >= QUIET_SECONDS:
            self._stored = max(self._stored, self._moments.popleft()[1])
        if last_index > self._stored:
            self._moments.append((self._clock(), last_index, sample))
        return self._stored
