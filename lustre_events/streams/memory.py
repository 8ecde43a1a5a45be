"""Streams in this process: the fake for unit tests, held to the same contract as the ones in Redis.

One MemoryStore stands for one Redis. It can be told to fail: set `unavailable`, `full` or `lose_answers`, call
`steal_lease`; set `syncing` to False to stop its disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from lustre_events.domain.namespace import is_mdt
from lustre_events.errors import LeaseLost, StreamError, StreamFull, StreamMoved, StreamUnavailable
from lustre_events.jobs.messages import Result, decode_results, encode_results
from lustre_events.streams.interface import Block, Loss, Standing, Start, Tail
from lustre_events.streams.keys import make_token


@dataclass(slots=True)
class MemoryEpoch:
    """One epoch's stream: its blocks, and the last index that it ever had."""

    blocks: list[Block] = field(default_factory=list)
    last_index: int = 0
    synced_index: int = 0
    behind: dict[int, int] = field(default_factory=dict)
    """Last index of each block to the last index before it."""


@dataclass(slots=True)
class MemoryStore:
    """What is in the pretended Redis, open to tests. `clock` counts seconds for leases."""

    clock: Callable[[], float] = time.monotonic
    unavailable: bool = False
    full: bool = False
    lose_answers: int = 0
    """How many of the next appends are carried out and then answered with StreamUnavailable."""
    syncing: bool = True
    streams: dict[tuple[str, int], MemoryEpoch] = field(default_factory=dict)
    epochs: dict[str, list[int]] = field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    cleared_for: dict[str, str] = field(default_factory=dict)
    anchors: dict[str, tuple[int, str]] = field(default_factory=dict)
    losses: dict[str, list[Loss]] = field(default_factory=dict)
    memory_share: float = 0.0
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    dropped: dict[str, Tail] = field(default_factory=dict)
    reader_states: dict[str, dict[str, str]] = field(default_factory=dict)
    dispatcher_state: dict[str, str] = field(default_factory=dict)
    results: dict[str, bytes] = field(default_factory=dict)
    results_put: int = 0
    requests: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    """By id: the request, and the end of its time on `clock`."""
    requests_put: int = 0
    replies: dict[str, bytes] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def check(self) -> None:
        """Raise StreamUnavailable while `unavailable` is set."""
        if self.unavailable:
            raise StreamUnavailable("the memory store was told to be unavailable; tell it to work again")

    def check_room(self) -> None:
        """Raise StreamFull while `full` is set."""
        if self.full:
            raise StreamFull("the memory store was told to be full; tell it to have room again")

    def steal_lease(self, mdt: str, seconds: float = 3600.0) -> None:
        """Give an MDT's lease to another reader."""
        self.leases[mdt] = ("another reader", self.clock() + seconds)

    def holder(self, mdt: str) -> str:
        """Return the token of the reader at work; empty: none."""
        token, end = self.leases.get(mdt, ("", 0.0))
        return token if self.clock() < end else ""

    def tail(self, mdt: str) -> Tail:
        """Return the newest epoch and its last index."""
        epoch = self.epochs[mdt][-1] if self.epochs.get(mdt) else 0
        stream = self.streams.get((mdt, epoch))
        return Tail(epoch, stream.last_index) if stream else Tail(0, 0)

    def lose(self, loss: Loss) -> None:
        """Keep a loss; said again, it only gets its new end."""
        losses = self.losses.setdefault(loss.mdt, [])
        for number, known in enumerate(losses):
            if (known.epoch, known.first_index, known.reason) == (loss.epoch, loss.first_index, loss.reason):
                losses[number] = msgspec.structs.replace(known, last_index=loss.last_index)
                return
        losses.append(loss)


class MemoryReaderStream:
    """See `interface.ReaderStream`."""

    def __init__(self, store: MemoryStore, mdt: str, token: str = "") -> None:
        self._store = store
        self._mdt = mdt
        self._token = token or make_token()
        self._tail = Tail(0, 0)

    def lease(self, seconds: float) -> bool:
        """Take or renew the lease of this MDT; False: another reader holds it."""
        self._store.check()
        if self._store.holder(self._mdt) not in ("", self._token):
            return False
        self._store.leases[self._mdt] = (self._token, self._store.clock() + seconds)
        return True

    def release(self) -> None:
        """Give the lease back, if it is ours."""
        self._store.check()
        if self._store.holder(self._mdt) == self._token:
            del self._store.leases[self._mdt]

    def tail(self) -> Tail:
        """Return the newest epoch and its last index; epoch 0 where its key is not there."""
        self._store.check()
        self._tail = self._store.tail(self._mdt)
        return self._tail

    def standing(self) -> Standing:
        """Return what there is of this MDT; what `tail` says is then known too."""
        store, mdt, tail = self._store, self._mdt, self.tail()
        newest = store.epochs[mdt][-1] if store.epochs.get(mdt) else 0
        stream = store.streams.get((mdt, newest), MemoryEpoch())
        left_index = stream.behind.get(stream.blocks[0].last_index, 0) if stream.blocks else tail.last_index
        return Standing(
            tail, self.mark(), newest, store.committed.get((mdt, newest), 0), left_index,
            *store.anchors.get(mdt, (0, "")),
        )  # fmt: skip

    def append(self, block: Block, expected: Tail, digest: str = "") -> Tail:
        """Store `block` behind `expected`, or nothing; see `interface.ReaderStream.append`."""
        store, mdt, key = self._store, self._mdt, (self._mdt, block.epoch)
        behind = expected.last_index if block.epoch == expected.epoch else 0
        if not (behind < block.first_index <= block.last_index and block.count and block.data):
            raise StreamError(f"{mdt}: a block that cannot be stored behind index {behind}; report this")
        store.check()
        self._check_lease()
        after, begins = Tail(block.epoch, block.last_index), block.epoch != expected.epoch
        if store.tail(mdt) != after:
            if store.tail(mdt) != expected or (begins and key in store.streams):
                raise StreamMoved(f"{mdt}: the stream ends at {store.tail(mdt)}; read on from its end")
            store.check_room()
            with store.changed:
                stream = store.streams.setdefault(key, MemoryEpoch())
                if begins:
                    store.epochs.setdefault(mdt, []).append(block.epoch)
                stream.behind[block.last_index] = 0 if begins else expected.last_index
                stream.blocks.append(block)
                store.anchors[mdt] = (block.last_index, digest)
                stream.last_index = block.last_index
                store.changed.notify_all()
        self._tail = after
        if store.lose_answers:
            store.lose_answers -= 1
            raise StreamUnavailable(f"{mdt}: the memory store was told to lose the answer; send it again")
        return after

    def mark(self) -> int:
        """Return the greatest index that was (or was about to be) cleared on the MDT; 0: none."""
        self._store.check()
        return self._store.marks.get(self._mdt, 0)

    def set_mark(self, index: int) -> None:
        """Keep the mark; written before each clear. Raises LeaseLost."""
        self._store.check()
        self._check_lease()
        self._store.marks[self._mdt] = index

    def cleared_for(self) -> str:
        """Return for which changelog user a clear last worked, and how far."""
        self._store.check()
        return self._store.cleared_for.get(self._mdt, "")

    def set_cleared_for(self, user: str) -> None:
        """Keep that. Raises LeaseLost."""
        self._store.check()
        self._check_lease()
        self._store.cleared_for[self._mdt] = user

    def stored(self) -> int:
        """Return the greatest index of this epoch that is known to be on the pretended disk; 0: none."""
        self._store.check()
        stream = self._store.streams.get((self._mdt, self._tail.epoch))
        if stream is None:
            return 0
        if self._store.syncing:
            stream.synced_index = stream.last_index
        return min(stream.synced_index, self._tail.last_index)

    def committed(self) -> int:
        """Return the greatest index of this epoch that is committed to the index; 0: none."""
        self._store.check()
        return self._store.committed.get((self._mdt, self._tail.epoch), 0)

    def memory_share(self) -> float:
        """Return which share of its allowed memory the pretended Redis uses."""
        self._store.check()
        return self._store.memory_share

    def lose(self, loss: Loss) -> None:
        """Keep that records are missing. Said again, a loss only gets its new end."""
        self._store.check()
        self._store.lose(loss)

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the reader's state."""
        self._store.check()
        _merge(self._store.reader_states.setdefault(self._mdt, {}), state)

    def _check_lease(self) -> None:
        if self._store.holder(self._mdt) != self._token:
            raise LeaseLost(f"{self._mdt}: this reader's lease has ended; nothing was written")


class MemoryRecordStreams:
    """See `interface.RecordStreams`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.strangers: Sequence[str] = ()
        self.damaged: Mapping[tuple[str, int], str] = {}

    def mdts(self) -> list[str]:
        """Return the MDTs that have a stream, sorted. What is not an MDT's name is left out."""
        self._store.check()
        self.strangers = sorted(name for name in self._store.epochs if not is_mdt(name))
        return sorted(filter(is_mdt, self._store.epochs))

    def epochs(self, mdt: str) -> list[int]:
        """Return the epochs of an MDT, oldest first."""
        self._store.check()
        return list(self._store.epochs.get(mdt, []))

    def read(
        self, positions: Mapping[tuple[str, int], int], limit_bytes: int, timeout_seconds: float
    ) -> list[Block]:
        """Return blocks behind the given positions; see `interface.RecordStreams.read`."""
        self._store.check()
        with self._store.changed:
            self._store.changed.wait_for(lambda: bool(self._behind(positions, limit_bytes)), timeout_seconds)
            return self._behind(positions, limit_bytes)

    def tail(self, mdt: str, epoch: int) -> int:
        """Return the last index that was appended to an epoch; 0 where its key is gone."""
        self._store.check()
        stream = self._store.streams.get((mdt, epoch))
        return stream.last_index if stream else 0

    def start(self, mdt: str, epoch: int) -> Start:
        """Return where an epoch's stream begins."""
        self._store.check()
        stream, dropped = self._store.streams.get((mdt, epoch)), self._store.dropped.get(mdt, Tail(0, 0))
        if stream is None:
            return Start(dropped=dropped)
        if not stream.blocks:
            return Start(stream.last_index, 0, dropped)
        first = stream.blocks[0]
        return Start(stream.behind.get(first.last_index, 0), first.first_index, dropped)

    def lose(self, loss: Loss) -> None:
        """Keep that records are missing. Said again, a loss only gets its new end."""
        self._store.check()
        self._store.lose(loss)

    def withdraw(self, loss: Loss) -> None:
        """Forget a loss that was none."""
        self._store.check()
        self._store.losses[loss.mdt].remove(loss)

    def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
        """Say that everything up to `position` is committed, and forget it."""
        self._store.check()
        self._store.committed[(mdt, epoch)] = position
        stream = self._store.streams.get((mdt, epoch))
        if stream is not None:
            stream.blocks = [block for block in stream.blocks if block.last_index > position]

    def drop(self, mdt: str, epoch: int) -> bool:
        """Forget an acknowledged epoch that is not the newest; False: it has to stay."""
        self._store.check()
        stream = self._store.streams.get((mdt, epoch))
        if epoch not in self._store.epochs.get(mdt, [])[:-1] or (stream is not None and stream.blocks):
            return False
        self._store.epochs[mdt].remove(epoch)
        self._store.streams.pop((mdt, epoch), None)
        self._store.dropped[mdt] = Tail(epoch, self._store.committed.pop((mdt, epoch), 0))
        return True

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the dispatcher's state."""
        self._store.check()
        _merge(self._store.dispatcher_state, state)

    def state(self) -> dict[str, str]:
        """Return what the dispatcher published."""
        self._store.check()
        return dict(self._store.dispatcher_state)

    def reader_state(self, mdt: str) -> dict[str, str]:
        """Return what the reader of an MDT published, and its mark."""
        self._store.check()
        mark = {"mark": str(self._store.marks[mdt])} if mdt in self._store.marks else {}
        return self._store.reader_states.get(mdt, {}) | mark

    def continuity(self, mdt: str) -> list[Loss]:
        """Return what was lost of an MDT's records, oldest first."""
        self._store.check()
        return sorted(self._store.losses.get(mdt, []), key=lambda loss: loss.time_ns)

    def accept(self, mdt: str, until_ns: int | None = None) -> int:
        """Say that all losses so far (up to a time) are known and dealt with; return how many of them are new."""
        losses = self.continuity(mdt)
        new = [loss for loss in losses if not loss.accepted and (until_ns is None or loss.time_ns <= until_ns)]
        self._store.losses[mdt] = [
            msgspec.structs.replace(loss, accepted=loss.accepted or loss in new) for loss in losses
        ]
        return len(new)

    def _behind(self, positions: Mapping[tuple[str, int], int], limit_bytes: int) -> list[Block]:
        found = []
        for epoch_key, position in positions.items():
            size = 0
            for block in self._store.streams.get(epoch_key, MemoryEpoch()).blocks:
                if block.last_index <= position:
                    continue
                if size and size + len(block.data) > limit_bytes:
                    break
                size += len(block.data)
                found.append(block)
        return found


class MemoryResults:
    """See `interface.Results`. Results go through JSON, as they do in Redis."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.more = False

    def put(self, results: Sequence[Result]) -> None:
        """Store results. Raises StreamUnavailable, StreamFull."""
        self._store.check()
        self._store.check_room()
        if results:
            self._store.results_put += 1
            self._store.results[f"{self._store.results_put}-0"] = encode_results(list(results))

    def read(self, limit: int) -> list[tuple[str, list[Result]]]:
        """Return up to `limit` of the oldest entries not yet acknowledged: (id, results)."""
        self._store.check()
        found = list(self._store.results.items())[:limit]
        self.more = len(found) >= limit
        return [(entry_id, decode_results(data)) for entry_id, data in found]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget entries."""
        self._store.check()
        for entry_id in ids:
            self._store.results.pop(entry_id, None)


def _merge(into: dict[str, str], state: Mapping[str, int | str]) -> None:
    into.update({name: str(value) for name, value in state.items()})
