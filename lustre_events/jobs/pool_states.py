"""The states of worker pools, as the dispatcher sees them.

It alone has the logins of pools with a Redis of their own. It publishes them as `pools` in its state in the site's
Redis, for all who want to look.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

SITE = "(site)"
"""The name under which forged answers by workers of the site are counted; no pool can have it."""


class PoolState(msgspec.Struct, frozen=True):
    """One pool. `own`: it has a Redis of its own.

    `trouble` tells why it gets no jobs (that Redis is away, keys are not RQ's); empty: it does. Meanwhile the
    numbers are of the last look; `looked_ns` is its time, 0: never. `refused` counts answers since the dispatcher
    started that the pool was not asked for, or that cannot be read.
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
    """Return what `published` made; nothing where the text is not its own."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, PoolState])
    except msgspec.MsgspecError:
        return {}
