"""A courier that kills itself behind a sending, before it can say so.

`python -m tests.support.service.mortal_courier URL ENDPOINT COUNT`

ENDPOINT is one as JSON; COUNT says at which sending it dies, 0 that it lives.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence

from lustre_events.actions.courier import Courier
from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints import SENDERS, Sender
from lustre_events.actions.run_transitions import Attempt
from lustre_events.actions.seal import Seal
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.streams.connection import connect
from lustre_events.streams.deliveries import CourierQueue

KEY = Seal(b"k" * 32)
left = 0


class MortalSender:
    """Sends, and dies behind the last time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._inner: Sender = SENDERS[endpoint.kind](endpoint)

    def send(self, batch: Sequence[Parcel]) -> list[Attempt]:
        """Send, and die if it is the time."""
        global left  # noqa: PLW0603 - one per process
        found = self._inner.send(batch)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def check(self) -> str:
        """See Sender."""
        return self._inner.check()

    def close(self) -> None:
        """See Sender."""
        self._inner.close()


def main() -> None:
    """Take deliveries until the end."""
    global left  # noqa: PLW0603 - one per process
    url, given, count = sys.argv[1:]
    left = int(count)
    table = json.loads(given)
    endpoint = Endpoint(**{**table, "to": tuple(table["to"])})
    senders = dict.fromkeys(SENDERS, MortalSender)
    Courier(CourierQueue(connect(url, 20)), KEY, lambda: {endpoint.name: endpoint}, senders).run()


if __name__ == "__main__":
    main()
