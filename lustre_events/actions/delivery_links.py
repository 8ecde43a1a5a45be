"""The dispatcher's links to courier and file workers: deliveries out, sealed; answers in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from lustre_events.actions.delivery import Answer, Delivery, decode_answers, encode_delivery
from lustre_events.actions.seal import ANSWER, Seal
from lustre_events.domain.rules.file_workers import queue_of, work_of
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.jobs.queues import RqQueues
from lustre_events.streams.deliveries import DeliveryQueue

log = logging.getLogger(__name__)


class CourierLink(Protocol):
    """What the dispatcher needs of the courier. Every call may raise StreamUnavailable."""

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries."""

    def waiting(self) -> int:
        """Return how many deliveries no courier has taken."""

    def answers(self) -> list[tuple[str, list[Answer]]]:
        """Return answers that are not acknowledged, by the ids of their entries."""

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget answers that are committed."""


class NoLink:
    """No courier: nothing goes out, so nothing comes back."""

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """See CourierLink."""

    def waiting(self) -> int:
        """See CourierLink."""
        return 0

    def answers(self) -> list[tuple[str, list[Answer]]]:
        """See CourierLink."""
        return []

    def acknowledge(self, ids: Sequence[str]) -> None:
        """See CourierLink."""


class SealedLink:
    """See CourierLink: over Redis."""

    def __init__(self, queue: DeliveryQueue, seal: Seal) -> None:
        self._queue = queue
        self._seal = seal

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries."""
        self._queue.put([self._seal.sealed(encode_delivery(each)) for each in deliveries])

    def waiting(self) -> int:
        """Return how many deliveries no courier has taken."""
        return self._queue.waiting()

    def answers(self) -> list[tuple[str, list[Answer]]]:
        """Return answers that are not acknowledged; an entry that cannot be read has none."""
        return [(entry_id, _decoded(data)) for entry_id, data in self._queue.answers()]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget answers that are committed."""
        self._queue.acknowledge(ids)


class WorkersLink:
    """See CourierLink: to file workers, whose deliveries are sealed jobs of RQ."""

    def __init__(self, jobs: RqQueues, queue: DeliveryQueue, seal: Seal, clock: Callable[[], int]) -> None:
        self._jobs = jobs
        self._queue = queue
        self._seal = seal
        self._clock = clock

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries; each is worth nothing when its lease has ended."""
        for queue in sorted({queue_of(each.endpoint) for each in deliveries}):
            self._jobs.enqueue_actions(
                queue, [self._job(each) for each in deliveries if queue_of(each.endpoint) == queue]
            )

    def _job(self, delivery: Delivery) -> tuple[str, bytes, int]:
        seconds = max(1, (delivery.expires_ns - self._clock()) // SECOND_NS)
        return work_of(delivery.endpoint), self._seal.sealed(encode_delivery(delivery)), seconds

    def waiting(self) -> int:
        """Return 0: what nobody takes ends by itself, and a few of each action are out at most."""
        return 0

    def answers(self) -> list[tuple[str, list[Answer]]]:
        """Return answers that are not acknowledged; an entry that no worker has sealed has none."""
        opened = self._seal.of(ANSWER).opened
        return [(entry_id, _decoded(data, opened)) for entry_id, data in self._queue.answers()]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget answers that are committed."""
        self._queue.acknowledge(ids)


class BothLinks:
    """See CourierLink: runs of containers and jobs go to file workers, all others to the courier."""

    def __init__(self, courier: CourierLink, workers: CourierLink) -> None:
        self._courier = courier
        self._workers = workers
        self._of_workers: set[str] = set()
        """Ids of entries that file workers have given."""

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries."""
        self._workers.put([each for each in deliveries if work_of(each.endpoint)])
        self._courier.put([each for each in deliveries if not work_of(each.endpoint)])

    def waiting(self) -> int:
        """Return how many deliveries no courier has taken."""
        return self._courier.waiting()

    def answers(self) -> list[tuple[str, list[Answer]]]:
        """Return answers that are not acknowledged: each names an attempt, which only who got it has seen."""
        of_workers = self._workers.answers()
        self._of_workers |= {entry_id for entry_id, _ in of_workers}
        return [*self._courier.answers(), *of_workers]

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Forget answers that are committed."""
        self._courier.acknowledge([each for each in ids if each not in self._of_workers])
        self._workers.acknowledge([each for each in ids if each in self._of_workers])
        self._of_workers.difference_update(ids)


def _decoded(data: bytes, opened: Callable[[bytes], bytes] = bytes) -> list[Answer]:
    try:
        return decode_answers(opened(data))
    except ConfigError as exc:
        log.error("an answer cannot be used: %s", exc, extra={"action": "refuse"})  # noqa: TRY400 - one sentence
        return []
