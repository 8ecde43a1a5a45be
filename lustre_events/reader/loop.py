"""The reader: one MDT's records from its source into its stream, and the clearing behind them.

It decodes nothing: it finds where records end and moves blocks of them. At most one block is in memory; what
is not stored is still on the MDT, so in any doubt the block is dropped and read again. The stream is the
checkpoint: after every doubt the reader asks it for its tail and reads on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict

from lustre_events.changelog.record import digest
from lustre_events.changelog.users import OwnUser
from lustre_events.config.settings import ReaderSettings
from lustre_events.errors import (
    ChangelogBroken,
    ChangelogUnavailable,
    LeaseLost,
    LustreEventsError,
    StreamDamaged,
    StreamError,
    StreamFull,
    StreamMoved,
    StreamUnavailable,
)
from lustre_events.reader.backpressure import Backpressure
from lustre_events.reader.clearing import Clearing
from lustre_events.reader.continuity import Continuity
from lustre_events.reader.gathering import Counters, Gathering
from lustre_events.reader.lease import Lease
from lustre_events.reader.publishing import Publishing, State
from lustre_events.reader.resume import Opening
from lustre_events.sources.interface import Source
from lustre_events.streams.interface import Block, ReaderStream, Tail

_log = logging.getLogger(__name__)
_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 5.0
_SLICE_SECONDS = 0.1
"""`stop` only sets a flag (it may run in a signal handler, where no lock may be taken): waits look at it."""


class Reader:
    """The loop of one MDT. `run` in one thread; `stop` from anywhere, also from a signal handler.

    A turn (`_work`) has these steps: take the lease, open, keep the lease, clear, publish, look for room, gather,
    store. What a step needs is in a part of its own (lease.py, resume.py, clearing.py ...); the state here is that
    of their meeting: whether the changelog is open, the block in hand, and what is waited for.
    """

    def __init__(
        self,
        source: Source,
        stream: ReaderStream,
        settings: ReaderSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
        beat: Callable[[str], None] = lambda _status: None,
        own_user: OwnUser | None = None,
    ) -> None:
        """Take the adapters. `clock` counts seconds, `time_ns` is the wall clock, `sleep` is how it waits.

        `beat` is called at every turn, every few seconds at least: it tells systemd that this process lives.
        `own_user` looks for the changelog user, which may get another id while the reader lives; None: it does not.
        """
        self._source = source
        self._stream = stream
        self._settings = settings
        self._clock = clock
        self._time_ns = time_ns
        self._sleep = sleep
        self._beat = beat
        continuity = Continuity(stream, source.mdt, time_ns, clears_committed=settings.clear_after == "committed")
        self._lease = Lease(stream, source.mdt, settings.lease_seconds, clock)
        self._clearing = Clearing(source, stream, settings, clock, continuity, own_user=own_user)
        self._opening = Opening(source, stream, settings, clock, clearing=self._clearing, continuity=continuity)
        self._backpressure = Backpressure(stream, settings.memory_share, clock)
        self._gathering = Gathering(source, settings, clock)
        self._publishing = Publishing(stream, clock)
        self.counters = Counters()
        self._stopping = False

        self._open = self._was_open = False
        self._tail = Tail(0, 0)
        self._block: Block | None = None
        self._digest = ""

        self._waiting = ""
        self._trouble = False
        self._backoff = _FIRST_BACKOFF_SECONDS

    def stop(self) -> None:
        """Let `run` return soon, with what it holds stored if Redis takes it."""
        self._stopping = True
        self._source.wake()

    def run(self) -> None:
        """Read and store until `stop`, or until a source that ends has ended and all of it is stored and cleared.

        Raises:
            ChangelogError: the changelog cannot be opened at the beginning (later it is tried again), or there
                is no library for it.
            RecordDecodeError: what the source gave are not records; they stay on the MDT.
            StreamError: Redis refuses in a way that waiting does not end.
        """
        try:
            while not self._stopping and not self._finished():
                self._turn()
                self._beat(self._status())
        finally:
            self._leave()

    def _status(self) -> str:
        """Return the status line for systemd."""
        counters, clearing = self.counters, self._clearing
        return self._waiting or (
            f"reading; stored {counters.records_stored} records up to {self._tail.last_index}, "
            f"cleared up to {clearing.cleared_index}"
        )

    def state(self) -> State:
        """Return what `status` shows, as published in the reader's state hash; indexes are of `epoch`."""
        block, clearing = self._block, self._clearing
        return {
            **asdict(self.counters),
            "records_held": block.count if block else 0,
            "blocks_held": 1 if block else 0,
            "epoch": self._tail.epoch,
            "read_index": block.last_index if block else self._tail.last_index,
            "stored_index": self._tail.last_index,
            "safe_index": clearing.safe_index,
            "cleared_index": clearing.cleared_index,
            "user": clearing.user,
            "user_lost": int(clearing.user_lost),
            "memory_share": f"{self._backpressure.share:.3f}",
            "waiting": self._waiting,
            "updated_ns": self._time_ns(),
            **self._publishing.state(),
        }

    def _finished(self) -> bool:
        return (
            self._open
            and self._source.ended
            and self._block is None
            and self._gathering.empty
            and self._clearing.done(self._tail)
        )

    def _turn(self) -> None:
        try:
            self._work()
        except StreamMoved as exc:
            self._start_over(exc)
        except LeaseLost as exc:
            self._lease.held = False
            self._start_over(exc)
        except (ChangelogBroken, ChangelogUnavailable) as exc:
            if not self._was_open and isinstance(exc, ChangelogUnavailable):
                raise
            self._start_over(exc)
        except (StreamUnavailable, StreamDamaged, StreamFull) as exc:
            self._trouble = not isinstance(exc, StreamFull)
            self._say_waiting(str(exc))
        else:
            self._trouble = False
            self._backoff = _FIRST_BACKOFF_SECONDS
            return
        self._pause(self._backoff)
        self._backoff = min(2 * self._backoff, _LAST_BACKOFF_SECONDS)

    def _work(self) -> None:
        if not self._lease.held and not self._take_lease():
            return
        if not self._open:
            self._tail = self._opening.open()
            self._open = self._was_open = True
        if self._lease.keep():
            self._opening.check(self._tail)
        # Before a new epoch's first block, what is safe in the old one says nothing about the MDT's records.
        between = self._opening.begins_epoch and self._tail.epoch
        if self._clearing.due() and not between:
            self._opening.probe(at_once=True)
            self._clearing.step(self._tail, hurry=self._source.ended)
        self._publish(at_once=False)
        if self._block is None and not self._has_room():
            return
        if self._block is None:
            self._gather()
        if self._block is not None:
            self._store(self._block)
        self._waiting = ""

    def _take_lease(self) -> bool:
        if self._lease.take():
            return True
        if not self._waiting:
            _log.info(
                "%s: another reader is at work; this one waits as its standby",
                self._source.mdt,
                extra={"action": "standby", "mdt": self._source.mdt},
            )
        self._waiting = "standby: another reader is at work"
        self._pause(self._lease.seconds / 3)
        return False

    def _has_room(self) -> bool:
        reason = self._backpressure.reason()
        if not reason:
            return True
        self._say_waiting(reason)
        self._pause(_SLICE_SECONDS)
        return False

    def _say_waiting(self, reason: str) -> None:
        if not self._waiting:
            _log.warning("waiting: %s", reason, extra={"action": "wait", "mdt": self._source.mdt})
        self._waiting = reason

    def _gather(self) -> None:
        begun_ns = self._time_ns()
        gathered = self._gathering.next()
        if gathered is None:
            if not self._stopping:  # a wake would look like the end
                self._publishing.caught_up(self._tail, begun_ns - round(self._source.lag_seconds * 1e9))
            self._opening.probe(at_once=False)
            if self._source.ended and not self._finished():
                self._pause(_SLICE_SECONDS)
            return
        span, data = gathered
        epoch = self._epoch_for(span.first_index)
        self._digest = digest(memoryview(data)[span.last_offset :])
        self._opening.passed()
        self._block = Block(self._source.mdt, epoch, span.first_index, span.last_index, span.count, data)
        self.counters.records_read += span.count
        self.counters.blocks_read += 1
        self.counters.bytes_read += span.size

    def _epoch_for(self, first_index: int) -> int:
        tail, begins = self._tail, self._opening.begins_epoch
        if tail.epoch and first_index > tail.last_index and not begins:
            return tail.epoch
        if tail.epoch and not begins:
            self._opening.begin_index(tail)
        epoch = max(self._time_ns(), tail.epoch + 1)
        _log.log(
            logging.WARNING if tail.epoch else logging.INFO,
            "a new epoch of %s begins with record %d", self._source.mdt, first_index,
            extra={"action": "epoch", "mdt": self._source.mdt, "epoch": epoch, "first": first_index},
        )  # fmt: skip
        return epoch

    def _store(self, block: Block) -> None:
        self._tail = self._stream.append(block, self._tail, self._digest)
        self._block, self._opening.begins_epoch = None, False
        self.counters.records_stored += block.count
        self.counters.blocks_stored += 1
        self.counters.bytes_stored += len(block.data)
        _log.info(
            "stored %d records of %s up to %d",
            block.count,
            block.mdt,
            block.last_index,
            extra={"action": "store", "mdt": block.mdt, "last_index": block.last_index, "records": block.count},
        )

    def _start_over(self, why: LustreEventsError) -> None:
        """Drop what was read and close: the next turn reads on from where the stream is."""
        _log.warning("starting over: %s", why, extra={"action": "resume", "mdt": self._source.mdt})
        if self._block is not None:
            self.counters.records_dropped += self._block.count
            self.counters.blocks_dropped += 1
        self._block, self._open = None, False
        self._gathering.forget()
        self._source.close()

    def _publish(self, *, at_once: bool) -> None:
        self._publishing.publish(self.state, self.counters.records_stored, at_once=at_once)

    def _leave(self) -> None:
        self._source.close()
        if not self._lease.held or self._trouble:
            return  # Redis does not answer: the lease ends by itself
        try:
            self._publish(at_once=True)
            self._stream.release()
        except StreamError as exc:
            _log.warning("leaving: %s", exc, extra={"action": "leave", "mdt": self._source.mdt})

    def _pause(self, seconds: float) -> None:
        deadline = self._clock() + seconds
        while not self._stopping and (left_seconds := deadline - self._clock()) > 0:
            self._sleep(min(left_seconds, _SLICE_SECONDS))
