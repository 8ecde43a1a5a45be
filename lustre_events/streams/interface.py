"""What the reader, the dispatcher and the workers need of Redis, as interfaces with values.

`streams.redis` is the real one, `streams.memory` the fake for unit tests; tests/contract runs the same tests on
both. Three roles, three interfaces, three key prefixes (so that ACLs can separate them):

    key                                   type    written by   meaning; lifetime
    le:stream:mdts                        set     reader       MDTs that ever had a stream; for ever
    le:stream:epochs:<mdt>                list    reader       epochs of this MDT, oldest first; until drained
    le:stream:<mdt>:<epoch>               stream  reader       blocks, id <last index>-0; trimmed when committed
    le:reader:lease:<mdt>                 string  reader       token of the reader at work; the lease time
    le:reader:state:<mdt>                 hash    reader       mark, user, caught_up_*, counters; for ever
    le:dispatcher:committed:<mdt>         hash    dispatcher   epoch → index committed to the index; until drained
    le:dispatcher:state                   hash    dispatcher   counters and heartbeat for `status`; for ever
    le:results                            stream  worker       results not yet in the index; deleted when committed
    rq:*                                          RQ           queues, jobs, workers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from lustre_events.work import Result


class Block(msgspec.Struct, frozen=True, gc=False):
    """Whole raw records of one MDT, in order. `data` is uncompressed; it is never empty."""

    mdt: str
    epoch: int
    first_index: int
    last_index: int
    count: int
    data: bytes


class Tail(msgspec.Struct, frozen=True, gc=False):
    """Where an MDT's stream ends. `epoch` 0: there is no stream (a new epoch must begin)."""

    epoch: int
    last_index: int


class ReaderStream(Protocol):
    """One MDT's stream as its reader sees it. Every call may raise StreamUnavailable."""

    def lease(self, seconds: float) -> bool:
        """Take or renew the lease of this MDT; False: another reader holds it."""

    def release(self) -> None:
        """Give the lease back, if it is ours."""

    def tail(self) -> Tail:
        """Return the newest epoch and its last index; epoch 0 where its key is not there."""

    def append(self, block: Block, expected: Tail) -> Tail:
        """Store `block` behind `expected` and return the new tail; all or nothing.

        `expected` is what `tail` or the last `append` returned. A block whose epoch is not `expected.epoch`
        begins that epoch, whose key must not exist yet. Sending a block again after an unknown outcome is
        safe: one that is stored already (the tail is exactly at its last index) is not stored twice.
        Raises LeaseLost (the lease is not ours), StreamMoved (the tail is not `expected`), StreamFull.
        """

    def mark(self) -> int:
        """Return the greatest index that was (or was about to be) cleared on the MDT; 0: none."""

    def set_mark(self, index: int) -> None:
        """Keep the mark; written before each clear. Raises LeaseLost."""

    def stored(self) -> int:
        """Return the greatest index of this epoch that is known to be on Redis's disk; 0: none."""

    def committed(self) -> int:
        """Return the greatest index of this epoch that is committed to the index; 0: none."""

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the reader's state hash, for `status`."""


class RecordStreams(Protocol):
    """All MDTs' streams as the dispatcher sees them."""

    def mdts(self) -> list[str]:
        """Return the MDTs that have a stream, sorted."""

    def epochs(self, mdt: str) -> list[int]:
        """Return the epochs of an MDT, oldest first; consumers drain older ones first."""

    def read(
        self, positions: Mapping[tuple[str, int], int], limit_bytes: int, timeout_seconds: float
    ) -> list[Block]:
        """Return blocks behind the given position (an index) of each (mdt, epoch), in order per stream.

        A block may begin at or below the position; its records up to it were seen. At least one block
        where there is one, else about `limit_bytes` per stream. [] after the timeout.
        """

    def tail(self, mdt: str, epoch: int) -> int:
        """Return the last index that was appended to an epoch; 0 where its key is gone."""

    def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
        """Say that everything up to `position` is committed, and let Redis forget it."""

    def drop(self, mdt: str, epoch: int) -> None:
        """Forget a drained epoch that is not the newest."""

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the dispatcher's state hash, for `status`."""

    def state(self) -> dict[str, str]:
        """Return what the dispatcher published, for `status`."""

    def reader_state(self, mdt: str) -> dict[str, str]:
        """Return what the reader of an MDT published (`Reader.state` lists it), and its mark."""


class Results(Protocol):
    """What workers found, on its way to the index."""

    def put(self, results: Sequence[Result]) -> None:
        """Store results; when this returns the job may end. Raises StreamUnavailable, StreamFull."""

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Return up to `limit` of the oldest entries not yet acknowledged: (id, results)."""

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget entries that are committed to the index (or refused for good)."""
