"""How lost records are kept in Redis: one hash per MDT, whose fields say what and whose values say until where."""

from __future__ import annotations

from typing import cast

from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, redis_errors
from lustre_events.streams.interface import Loss

_ACCEPTED = b"accepted"

STREAM_GONE = "the stream vanished from Redis before they were committed"
"""Why records are lost, as their reader says it, who cannot see the index; the dispatcher can."""


def lose(client: Client, loss: Loss) -> None:
    """Keep a loss, also when Redis's memory is full. Raises as `redis_errors`."""
    with redis_errors(client):
        load_script(client, "lose")([keys.continuity(loss.mdt)], [_field(loss), loss.last_index, loss.time_ns])


def withdraw(client: Client, loss: Loss) -> None:
    """Forget a loss that was none. Raises as `redis_errors`."""
    with redis_errors(client):
        client.hdel(keys.continuity(loss.mdt), _field(loss))


def _field(loss: Loss) -> str:
    return f"{loss.epoch}:{loss.first_index}:{loss.reason}"


def continuity(client: Client, mdt: str) -> list[Loss]:
    """Return the losses of an MDT, oldest first. Raises as `redis_errors`."""
    with redis_errors(client):
        fields = cast("dict[bytes, bytes]", client.hgetall(keys.continuity(mdt)))
        accepted_ns = int(fields.pop(_ACCEPTED, 0))
        losses = []
        for name, value in fields.items():
            epoch, first_index, reason = name.decode().split(":", 2)
            last_index, time_ns = map(int, value.split())
            accepted = time_ns <= accepted_ns
            losses.append(Loss(mdt, int(epoch), int(first_index), last_index, time_ns, reason, accepted))
    return sorted(losses, key=lambda loss: loss.time_ns)


def accept(client: Client, mdt: str, until_ns: int | None = None) -> int:
    """Accept the losses that there are now, or were up to a time (ns), and return how many are new among them.

    Raises as `redis_errors`.
    """
    losses = [loss for loss in continuity(client, mdt) if until_ns is None or loss.time_ns <= until_ns]
    new = sum(not loss.accepted for loss in losses)
    if new:
        with redis_errors(client):
            client.hset(keys.continuity(mdt), _ACCEPTED.decode(), str(losses[-1].time_ns))
    return new
