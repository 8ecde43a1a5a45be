"""What the reader, the dispatcher and the workers need of Redis, as interfaces with values.

The modules beside this one are the real ones, `streams.memory` has the fakes for unit tests; tests/contract runs
the same tests on both. The names and meanings of keys: keys.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from lustre_events.jobs.messages import DocumentPortion, Result
from lustre_events.jobs.requests import ANSWER_SECONDS, Reply, Request


class Block(msgspec.Struct, frozen=True, gc=False):
    """Whole raw records of one MDT, in order. `data` is uncompressed; it is never empty."""

    mdt: str
    epoch: int
    first_index: int
    last_index: int
    count: int
    data: bytes


EpochKey = tuple[str, int]
"""An MDT and one of its epochs: a stream."""


class Tail(msgspec.Struct, frozen=True, gc=False):
    """Where an MDT's stream ends. `epoch` 0: there is no stream (a new epoch must begin)."""

    epoch: int
    last_index: int


class Start(msgspec.Struct, frozen=True, gc=False):
    """Where an epoch's stream begins: the last index that left it (0: it is whole), the first one in it (0: none).

    `dropped` is the newest epoch of this MDT that was drained and forgotten, and
    how far it was committed.
    """

    left_index: int = 0
    first_index: int = 0
    dropped: Tail = Tail(0, 0)


class Loss(msgspec.Struct, frozen=True, gc=False):
    """Records of an MDT that are missing, or may be: they never came into its stream, or left it unread.

    `last_index` 0: the end is not known (yet). `accepted`: somebody has seen it, and reconciled or let it be.
    """

    mdt: str
    epoch: int
    first_index: int
    last_index: int
    time_ns: int
    reason: str
    accepted: bool = False


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What Redis has of one MDT, all of one moment: where a reader that begins, or is in doubt, goes on.

    `newest_epoch` and `committed` (its index, 0: none) remain when the epoch's key is gone and `tail` says 0.
    `left_index`: the last index that is no longer in the stream. Records up to there must be committed, or they
    were thrown away. `anchor_index` and `anchor_digest` are of the last record that was appended.
    """

    tail: Tail
    mark: int
    newest_epoch: int
    committed: int
    left_index: int
    anchor_index: int
    anchor_digest: str


class ReaderStream(Protocol):
    """One MDT's stream as its reader sees it. Every call may raise StreamUnavailable."""

    def lease(self, seconds: float) -> bool:
        """Take or renew the lease of this MDT; False: another reader holds it."""

    def release(self) -> None:
        """Give the lease back, if it is ours."""

    def tail(self) -> Tail:
        """Return the newest epoch and its last index; epoch 0 where its key is not there."""

    def standing(self) -> Standing:
        """Return what there is of this MDT; what `tail` says is then known too."""

    def append(self, block: Block, expected: Tail, digest: str = "") -> Tail:
        """Store `block` behind `expected` and return the new tail; all or nothing.

        `digest` (record.digest) is of the block's last record; it becomes the anchor.

        `expected` is what `tail` or the last `append` returned. A block whose epoch is not `expected.epoch`
        begins that epoch, whose key must not exist yet. Sending a block again after an unknown outcome is
        safe: one that is stored already (the tail is exactly at its last index) is not stored twice.
        Raises LeaseLost (the lease is not ours), StreamMoved (the tail is not `expected`), StreamFull.
        """

    def mark(self) -> int:
        """Return the greatest index that was (or was about to be) cleared on the MDT; 0: none."""

    def set_mark(self, index: int) -> None:
        """Keep the mark; written before each clear. Raises LeaseLost."""

    def cleared_for(self) -> str:
        """Return the id of the changelog user whose clear last worked on this MDT; "" for none.

        Behind a blank the index up to which it was cleared, where the mark has gone on without it.
        """

    def set_cleared_for(self, user: str) -> None:
        """Keep that. Raises LeaseLost."""

    def stored(self) -> int:
        """Return the greatest index of this epoch that is known to be on Redis's disk; 0: none."""

    def committed(self) -> int:
        """Return the greatest index of this epoch that is committed to the index; 0: none."""

    def memory_share(self) -> float:
        """Return which share of its allowed memory Redis uses, 0 to about 1; 0 where there is no limit."""

    def lose(self, loss: Loss) -> None:
        """Keep that records are missing. Said again, a loss only gets its new end."""

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the reader's state hash, for `status`."""


class RecordStreams(Protocol):
    """All MDTs' streams as the dispatcher sees them.

    `strangers` are the names among them that no MDT has, as of the last `mdts`; `damaged` says what is wrong with
    the streams that the last `read` left alone.
    """

    strangers: Sequence[str]
    damaged: Mapping[tuple[str, int], str]

    def mdts(self) -> list[str]:
        """Return the MDTs that have a stream, sorted. What is not an MDT's name is left out."""

    def epochs(self, mdt: str) -> list[int]:
        """Return the epochs of an MDT, oldest first; consumers drain older ones first."""

    def read(
        self, positions: Mapping[tuple[str, int], int], limit_bytes: int, timeout_seconds: float
    ) -> list[Block]:
        """Return blocks behind the given position (an index) of each (mdt, epoch), in order per stream.

        A block may begin at or below the position; its records up to it were seen. At least one block
        where there is one, else about `limit_bytes` per stream. [] after the timeout. A stream of another kind, or
        one that goes on with a damaged block, holds up none of the others.
        """

    def tail(self, mdt: str, epoch: int) -> int:
        """Return the last index that was appended to an epoch; 0 where its key is gone."""

    def start(self, mdt: str, epoch: int) -> Start:
        """Return where an epoch's stream begins."""

    def lose(self, loss: Loss) -> None:
        """Keep that records are missing, as `ReaderStream.lose` does."""

    def withdraw(self, loss: Loss) -> None:
        """Forget a loss that was none."""

    def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
        """Say that everything up to `position` is committed, and let Redis forget it."""

    def drop(self, mdt: str, epoch: int) -> bool:
        """Forget an acknowledged epoch that is not the newest; False: a subscriber group still needs it."""

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the dispatcher's state hash, for `status`."""

    def state(self) -> dict[str, str]:
        """Return what the dispatcher published, for `status`."""

    def reader_state(self, mdt: str) -> dict[str, str]:
        """Return what the reader of an MDT published (`Reader.state` lists it), and its mark."""

    def continuity(self, mdt: str) -> list[Loss]:
        """Return what was lost of an MDT's records, oldest first; [] is what one wants to see."""

    def accept(self, mdt: str, until_ns: int | None = None) -> int:
        """Say that all losses so far (up to a time) are known and dealt with; return how many of them are new."""


class ResultSink(Protocol):
    """Where workers store what they found."""

    def put(self, results: Sequence[Result]) -> None:
        """Store results; when this returns the job may end.

        Raises StreamUnavailable, and StreamFull, whose `left` says what was not stored.
        """


class Results(ResultSink, Protocol):
    """What workers found, on its way to the index. `more`: the last `read` may have left some out."""

    more: bool

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Return up to `limit` of the oldest entries not yet acknowledged: (id, results)."""

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget entries that are committed to the index (or refused for good)."""


class DocumentPortions(Protocol):
    """Results for indexers, as one indexer sees them. Every call may raise StreamError.

    `more`: after the last `read` there may be further ones. `sharing`: how many indexers there are.
    """

    more: bool
    sharing: int

    def read(self) -> list[DocumentPortion]:
        """Return some portions that are not acknowledged, without waiting; [] where there are none."""

    def acknowledge(self, portions: Sequence[DocumentPortion]) -> None:
        """Forget portions that are written."""


class DocumentBacklog(Protocol):
    """Results for indexers, as the dispatcher sees them. `wanted`: there are indexers."""

    wanted: bool

    def takes(self, queue: str) -> bool:
        """Whether the results of this queue's jobs are for indexers."""

    def waiting(self) -> Mapping[str, int]:
        """Return how many portions of each pool ("": of the site) are not acknowledged. Raises StreamError."""


class Requests(Protocol):
    """What people ask of the dispatcher. Every call may raise StreamUnavailable."""

    def ask(
        self, action: str, arguments: Mapping[str, Any], timeout_seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        """Return the dispatcher's answer. Asking again after an unknown outcome is safe.

        Raises ConfigError (the dispatcher refused; the sentence is its own), StreamFull, and StreamUnavailable
        where no dispatcher answers in time: the request is taken back then, and never carried out later (only if
        the dispatcher had it in hand at that very moment it is carried out and the answer is lost).
        """

    def read(self, limit: int) -> list[Request]:
        """Return up to `limit` of the oldest requests that wait; those whose time is over are forgotten."""

    def answer(self, replies: Sequence[Reply]) -> None:
        """Give answers, and forget the requests; a request that has its answer already keeps it."""
