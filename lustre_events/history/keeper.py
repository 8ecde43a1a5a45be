"""The keeper: a subscriber of its own that writes every record of all MDTs into the history.

Nobody waits for it. It acknowledges what is on the disk; what is not when it is killed comes again, and is written
once, since a segment says how far it reaches. With a full disk it takes nothing more and tries again: the streams
hold its records up to `[dispatcher] subscriber_max_lag`. Beyond that it is cut off, and the history says what is
missing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from lustre_events.changelog.record import decode_record
from lustre_events.errors import GroupCutOff, StreamError, StreamUnavailable
from lustre_events.history.joining import Joining
from lustre_events.history.losses import LossBook
from lustre_events.history.segment_writer import SegmentWriter
from lustre_events.streams.group_keeper import LostRange
from lustre_events.streams.interface import Block, Loss

log = logging.getLogger(__name__)

GROUP = "history"
FLUSH_SECONDS = 10.0
"""The longest lag of the history on a quiet MDT."""
FLUSH_BYTES = 4 << 20
RETRY_SECONDS = 5.0
TRIM_SECONDS = 600.0
REPORT_SECONDS = 10.0
"""How often it publishes its progress, and looks for losses that were marked."""
_WAIT_SECONDS = 1.0


class Records(Protocol):
    """Where records come from: streams.subscription.Subscription."""

    def read(self, timeout_seconds: float = ...) -> list[Block]: ...  # noqa: D102
    def ack(self, *blocks: Block) -> None: ...  # noqa: D102
    def lost(self) -> list[LostRange]: ...  # noqa: D102
    def accept_loss(self, ranges: Sequence[LostRange] | None = None) -> None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102


class Service(Protocol):
    """The rest of the service: streams.history_state.HistoryState."""

    def losses(self) -> list[Loss]: ...  # noqa: D102
    def publish(self, state: Mapping[str, str]) -> None: ...  # noqa: D102


class Keeper:
    """Reads and writes until `stop`.

    Args:
        records: the subscription.
        writer: the folder.
        book: keeps what was marked as lost, in the same folder.
        joining: knows in front of which blocks records may be missing, since the group is new.
        service: says what was marked as lost, and is told how far this is; None: nobody.
        beat: called at every turn with the line that `systemctl status` shows.
        clock: seconds; `time_ns` is the wall clock.
    """

    def __init__(
        self,
        records: Records,
        writer: SegmentWriter,
        book: LossBook,
        joining: Joining,
        *,
        service: Service | None = None,
        beat: Callable[[str], None] = lambda _status: None,
        clock: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._records = records
        self._writer = writer
        self._book = book
        self._service = service
        self._joining = joining
        self._met: set[str] = set()
        self._beat = beat
        self._clock = clock
        self._time_ns = time_ns
        self._sleep = sleep
        self._held: list[Block] = []
        self._held_bytes = 0
        self._held_since = 0.0
        self._trimmed_at = self._reported_at = float("-inf")
        self._waiting = ""
        self._stopping = False
        self.written = 0

    def run(self) -> None:
        """Keep the history until `stop`; what is held then is written. Raises StreamError, ConfigError."""
        while not self._stopping:
            self.step(_WAIT_SECONDS)
        self.flush()

    def stop(self) -> None:
        """Let `run` return soon; also from a signal handler."""
        self._stopping = True
        self._records.stop()

    def step(self, timeout_seconds: float) -> None:
        """Take what has come, and write where it is time."""
        if not self._waiting:
            self._take(timeout_seconds)
        if self._waiting or (self._held and self._due()):
            self.flush()
        self._trim()
        self._report()
        self._beat(self._waiting or f"wrote {self.written} records")

    def _due(self) -> bool:
        return self._held_bytes >= FLUSH_BYTES or self._clock() - self._held_since >= FLUSH_SECONDS

    def _take(self, timeout_seconds: float) -> None:
        try:
            blocks = self._records.read(timeout_seconds)
        except GroupCutOff:
            self._note_loss()
            return
        except StreamUnavailable as exc:
            log.warning("waiting: %s", exc, extra={"action": "wait"})
            self._sleep(_WAIT_SECONDS)
            return
        if blocks and not self._held:
            self._held_since = self._clock()
        for block in blocks:
            self._check_gap(block)
            self._writer.add(block)
            self._held_bytes += len(block.data)
        self._held += blocks

    def _check_gap(self, block: Block) -> None:
        """Note what is missing in front of the first block of an MDT behind which a new group has begun.

        A new epoch may go on behind the last one, have its records again, or have begun to count anew.
        """
        first = block.mdt not in self._met and self._joining.is_first(block.mdt)
        known = self._writer.found(block.mdt) if first else None
        self._met.add(block.mdt)
        if known is None:
            return
        key = (block.mdt, block.epoch)
        if block.first_index > known.last_index + 1:
            self._writer.lose(key, known.last_index + 1, block.first_index - 1, self._time_ns())
        elif block.epoch != known.epoch and block.first_index <= known.last_index:
            record, _ = decode_record(block.data)
            if record.time_ns > known.last_ns:
                self._writer.lose_some(key, self._time_ns())

    def _note_loss(self) -> None:
        """Write down what the group was cut off from, and go on behind it."""
        ranges = self._records.lost()
        for each in ranges:
            log.error("records of %s are missing in the history", each, extra={"action": "lose", "mdt": each.mdt})
            self._writer.lose((each.mdt, each.epoch), each.first_index, each.last_index, each.time_ns)
        if self.flush():
            self._records.accept_loss(ranges)

    def flush(self) -> bool:
        """Write and acknowledge what is held; False: it cannot be written now."""
        try:
            self.written += self._writer.flush(self._time_ns())
            self._joining.began(self._met)
        except OSError as exc:
            if not self._waiting:
                log.error(  # noqa: TRY400 - the disk is full, and everybody knows where
                    "the history is not written: %s; its records wait in Redis", exc, extra={"action": "wait"}
                )
            self._waiting = f"waiting: {exc.strerror or exc}"
            self._trimmed_at = float("-inf")
            self._sleep(RETRY_SECONDS)
            return False
        if self._waiting:
            log.info("the history is written again", extra={"action": "write"})
        self._waiting = ""
        self._acknowledge(self._held)
        self._held, self._held_bytes = [], 0
        return True

    def _acknowledge(self, blocks: Collection[Block]) -> None:
        try:
            self._records.ack(*blocks) if blocks else None
        except StreamUnavailable as exc:  # they come again, and are written once
            log.warning("cannot acknowledge: %s", exc, extra={"action": "wait"})

    def _trim(self) -> None:
        now = self._clock()
        if now - self._trimmed_at < TRIM_SECONDS:
            return
        self._trimmed_at = now
        try:
            self._writer.trim(self._time_ns())
        except OSError as exc:
            log.warning("old history is not removed: %s", exc, extra={"action": "trim"})

    def _report(self) -> None:
        """Publish how far the history is, and keep losses that were marked since."""
        now, now_ns = self._clock(), self._time_ns()
        if self._service is None or now - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = now
        try:
            self._service.publish({"updated_ns": str(now_ns), **self._state()})
            self._book.note(self._service.losses(), self._writer.oldest_ns(now_ns))
        except (OSError, StreamError) as exc:
            log.warning("the history cannot publish its progress or read what was lost: %s", exc,
                        extra={"action": "report"})  # fmt: skip

    def _state(self) -> dict[str, str]:
        size, begins_ns, ends_ns = self._writer.extent()
        return {
            "bytes": str(size), "most_bytes": str(self._writer.most_bytes), "oldest_ns": str(begins_ns),
            "newest_ns": str(ends_ns), "records": str(self.written), "waiting": self._waiting,
        }  # fmt: skip
