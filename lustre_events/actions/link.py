"""The dispatcher's link to the courier: deliveries out, sealed; answers in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from lustre_events.actions.delivery import Answer, Delivery, decode_answers, encode_delivery
from lustre_events.actions.seal import Seal
from lustre_events.errors import ConfigError
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


def _decoded(data: bytes) -> list[Answer]:
    try:
        return decode_answers(data)
    except ConfigError as exc:
        log.error(  # noqa: TRY400 - one sentence
            "an answer of the courier cannot be used: %s", exc, extra={"action": "refuse"}
        )
        return []
