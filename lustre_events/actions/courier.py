"""The courier: sends what the dispatcher hands out, and says how it went. It has neither files nor the index.

Deliveries come from one list in Redis. Each endpoint has senders in threads of its own, as many as may be busy
at the same time, so one that hangs slows nobody else. The courier keeps nothing: what it has when it ends is sent
again by whoever comes next, with the same keys, when the lease has ended.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from lustre_events.actions.delivery import Answer, Delivery, decode_delivery, encode_answers
from lustre_events.actions.endpoints.interface import MakeSender, Sender, without_secrets
from lustre_events.actions.run_transitions import ENDPOINT, UNTRIED, Attempt
from lustre_events.actions.seal import Seal
from lustre_events.config.nearest import nearest
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError, LustreEventsError

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MARGIN_NS = 2 * SECOND_NS
"""An attempt must be able to end so long before its lease does."""
ANSWER_WAIT_SECONDS = 1.0
LATE = "the courier got it too late to send it; compare the clocks of courier and dispatcher"
LATE_NS = 10 * SECOND_NS
"""What came too late comes again behind this time: with a clock that is wrong it would go round and round."""


class Deliveries(Protocol):
    """Where deliveries come from and answers go. Every call may raise StreamError."""

    def take(self, timeout_seconds: float) -> bytes | None:
        """Return the oldest delivery, waiting for one; None: there is none."""

    def answer(self, data: bytes) -> None:
        """Store answers."""


class _Lane:
    """One endpoint: its senders, one for each thread, made when they are needed."""

    def __init__(self, endpoint: Endpoint, make: MakeSender) -> None:
        self.endpoint = endpoint
        self._make = make
        self._idle: queue.SimpleQueue[Sender] = queue.SimpleQueue()
        self.threads = ThreadPoolExecutor(endpoint.at_once, thread_name_prefix=f"endpoint-{endpoint.name}")

    def send(self, delivery: Delivery) -> list[Attempt]:
        try:
            sender = self._idle.get_nowait()
        except queue.Empty:
            sender = self._make(self.endpoint)
        try:
            return without_secrets(self.endpoint, sender.send(delivery.events))
        finally:
            self._idle.put(sender)

    def close(self) -> None:
        self.threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()


class Courier:
    """Takes deliveries until it is stopped.

    Args:
        deliveries: where they come from.
        seal: what proves that the dispatcher made them.
        endpoints: what may be sent to; asked again for each delivery, so that a changed file counts.
        senders: how to send, by the kind of an endpoint.
        beat: called about once a second with what was done, for whoever watches over this process.
        clock: the time in ns since the epoch.
    """

    def __init__(  # noqa: PLR0917 - adapters arrive as arguments
        self,
        deliveries: Deliveries,
        seal: Seal,
        endpoints: Callable[[], Mapping[str, Endpoint]],
        senders: Mapping[str, MakeSender],
        beat: Callable[[str], None] = lambda _status: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._deliveries = deliveries
        self._seal = seal
        self._endpoints = endpoints
        self._senders = senders
        self._beat = beat
        self._clock = clock
        self._stop = threading.Event()
        self._lanes: dict[Endpoint, _Lane] = {}
        self.sent = 0
        self.refused = 0

    def run(self) -> None:
        """Take and send until `stop` is called. Raises StreamError that no repetition helps."""
        try:
            while not self._stop.is_set():
                try:
                    data = self._deliveries.take(POLL_SECONDS)
                except LustreEventsError as exc:
                    if not exc.retryable:
                        raise
                    log.warning("%s; trying again", exc, extra={"action": "retry"})
                    self._beat(f"waits: {exc}")
                    self._stop.wait(ANSWER_WAIT_SECONDS)
                    continue
                if data is not None:
                    self.take(data)
                self._beat(f"{self.sent} events sent, {self.refused} deliveries refused")
        finally:
            for lane in self._lanes.values():
                lane.close()

    def stop(self) -> None:
        """Make `run` return once what is being sent is sent."""
        self._stop.set()

    def take(self, data: bytes) -> None:
        """Take one delivery: to its endpoint's threads, if the dispatcher has made it and it is in time."""
        try:
            delivery = decode_delivery(self._seal.opened(data))
        except ConfigError as exc:
            self.refused += 1
            log.error("%s", exc, extra={"action": "refuse"})  # noqa: TRY400 - one sentence
            return
        endpoint = self._endpoints().get(delivery.endpoint)
        if endpoint is None or endpoint.kind not in self._senders:
            near = nearest(delivery.endpoint, self._endpoints() or ("none",))
            why = f"the courier has no endpoint {delivery.endpoint!r}{near}; give it the dispatcher's file"
            self._answer(delivery, [Attempt(ENDPOINT, error=why)] * len(delivery.events))
            return
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = _Lane(endpoint, self._senders[endpoint.kind])
        lane.threads.submit(self._send, lane, delivery)

    def _send(self, lane: _Lane, delivery: Delivery) -> None:
        latest_ns = delivery.expires_ns - MARGIN_NS - int(lane.endpoint.timeout_seconds * SECOND_NS)
        if self._clock() > latest_ns:
            log.warning(
                "a delivery to %s came too late to be sent within its lease; it will be handed out again",
                lane.endpoint.name, extra={"action": "skip"},
            )  # fmt: skip
            self._answer(delivery, [Attempt(UNTRIED, error=LATE, retry_after_ns=LATE_NS)] * len(delivery.events))
            return
        try:
            attempts = lane.send(delivery)
        except Exception:
            log.exception("sending to %s failed because of a bug in lustre-events", lane.endpoint.name)
            return  # the lease ends
        self.sent += len(attempts)
        self._answer(delivery, attempts)

    def _answer(self, delivery: Delivery, attempts: list[Attempt]) -> None:
        """Say how it went; where Redis does not take that until the lease ends, it is sent again."""
        data = encode_answers([
            Answer(
                event.run, delivery.attempt, each.outcome, each.status, each.error[:500], each.retry_after_ns,
                each.together,
            )
            for event, each in zip(delivery.events, attempts, strict=True)
        ])  # fmt: skip
        while self._clock() < delivery.expires_ns:
            try:
                self._deliveries.answer(data)
            except LustreEventsError as exc:
                log.warning("%s; trying again", exc, extra={"action": "retry"})
                if self._stop.wait(ANSWER_WAIT_SECONDS):
                    return
            else:
                return
