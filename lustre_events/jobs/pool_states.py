"""How pools of workers are, as the dispatcher sees them.

It alone has the logins of pools with a Redis of their own. It publishes this as `pools` of its state in the site's
Redis, for whoever looks.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

SITE = "(site)"
"""Who forged answers of pools, where that was a worker of the site; no pool can have this name."""


class PoolState(msgspec.Struct, frozen=True):
    """One pool. `own`: it has a Redis of its own.

    `trouble` tells why it gets no jobs (that Redis is away, keys are not RQ's); empty: it does. Meanwhile the
    numbers are of the last look; `looked_ns` tells when that was, 0: never. `refused` counts answers since the
    dispatcher started that the pool did not owe, or that cannot be read.
    """

    own: bool = False
    trouble: str = ""
    looked_ns: int = 0
    waiting: int = 0
    running: int = 0
    failed: int = 0
    workers: int = 0
    refused: int = 0


def published(states: Mapping[str, PoolState]) -> str:
    """Return states as text."""
    return msgspec.json.encode(states).decode()


def read_states(text: str) -> dict[str, PoolState]:
    """Return what `published` made; nothing where the text is none of its."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, PoolState])
    except msgspec.MsgspecError:
        return {}
