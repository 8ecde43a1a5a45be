"""Subscribing: how another program gets every changelog record, of all MDTs, while the service runs.

    from lustre_events import subscribe

    with subscribe("audit", "redis://mds1:6379/0") as subscription:
        for event in subscription.records():
            write(event.mdt, event.record)
            subscription.ack()

A group gets every record that is stored after it was made (or, with `from_start`, after the oldest one that is
still in Redis), at least once: what was not acknowledged comes again after a crash. `(mdt, epoch, index)` names
a record for ever, so a program that must not do a thing twice keeps the last of them. Within an MDT records come
in order, older epochs first; several processes of one group, each with a consumer name of its own, share the
blocks, and then the order is lost.

A group that falls further behind than `[dispatcher] subscriber_max_lag` is cut off: `GroupCutOff` says which
records it has lost, again with every read until `accept_loss` is called. It is never waited for.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from lustre_events.changelog.record import ChangelogRecord, iter_records
from lustre_events.config import places
from lustre_events.errors import ConfigError, GroupCutOff
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.group_keeper import LostRange
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.interface import Block, EpochKey

__all__ = ["Block", "Event", "LostRange", "Subscription", "subscribe"]

TIMEOUT_SECONDS = 5.0
_WAIT_SECONDS = 1.0


class Event(msgspec.Struct, frozen=True, gc=False):
    """One record, and where it comes from; its index is `record.index`."""

    mdt: str
    epoch: int
    record: ChangelogRecord


def subscribe(
    group: str,
    url: str | None = None,
    *,
    consumer: str = "",
    from_start: bool = False,
    claim_seconds: float = 60.0,
) -> Subscription:
    """Join a group, which is made if there is none of that name, and return the reading end.

    Args:
        group: the name; what it has read is remembered under it until it is removed (lustre-events groups remove).
        url: redis://HOST:PORT/DB or unix:///PATH; None: [redis] url of the settings (LUSTRE_EVENTS_CONFIG).
        consumer: the name of this process within the group; empty: the name of the host.
        from_start: a new group begins at the oldest record in Redis instead of behind the newest.
        claim_seconds: a block that another consumer got this long ago and did not acknowledge is taken over.

    Raises:
        ConfigError: no URL, or a wrong name.
        StreamUnavailable: Redis does not answer.
    """
    client = connect(_url() if url is None else url, TIMEOUT_SECONDS)
    groups = RedisGroups(client)
    groups.join(group, from_start=from_start)
    return Subscription(client, groups, group, consumer or socket.gethostname(), claim_seconds)


def _url() -> str:
    path = os.environ.get("LUSTRE_EVENTS_CONFIG")
    url = places.settings(Path(path) if path else None).redis.url
    if not url:
        raise ConfigError("no Redis is named; give its URL, or set [redis] url in the file LUSTRE_EVENTS_CONFIG")
    return url


class Subscription:
    """One consumer of a group; made by `subscribe`. Not thread-safe but for `stop`.

    Every method that reads raises StreamUnavailable (try again), GroupCutOff (see `accept_loss`), GroupUnknown
    (the group was removed) and StreamError (a damaged block).
    """

    def __init__(
        self,
        client: Client,
        groups: RedisGroups,
        group: str,
        consumer: str,
        claim_seconds: float,
    ) -> None:
        self._client = client
        self._groups = groups
        self._group = group
        self._consumer = consumer
        self._claim_seconds = claim_seconds
        self._claim_at = time.monotonic()
        self._resumed: set[EpochKey] = set()
        self._resuming: dict[EpochKey, int] = {}
        self._held: dict[tuple[str, int, int], Block] = {}
        self._complete: set[tuple[str, int, int]] = set()
        self._stopping = False

    def read(self, timeout_seconds: float = _WAIT_SECONDS) -> list[Block]:
        """Return the next blocks of raw records, per MDT in order; [] when none came in time.

        First come those that this consumer had not acknowledged when it ended. The next `ack` without
        arguments acknowledges all of them.
        """
        deadline = time.monotonic() + timeout_seconds
        blocks: list[Block] = []
        while not blocks and not self._stopping:
            left_seconds = deadline - time.monotonic()
            blocks = self._next(min(max(0.0, left_seconds), _WAIT_SECONDS))
            if left_seconds <= 0:
                break
        self._complete.update(map(_key, blocks))
        return blocks

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of raw records until `stop`, waiting for new ones."""
        while not self._stopping:
            for block in self._next(_WAIT_SECONDS):
                self._complete.add(_key(block))
                yield block

    def records(self) -> Iterator[Event]:
        """Yield decoded records until `stop`, waiting for new ones.

        `ack` after any of them is right: only blocks that are through are acknowledged.

        Raises:
            RecordDecodeError: a record cannot be read, e.g. it has an extension of a newer Lustre.
        """
        while not self._stopping:
            for block in self._next(_WAIT_SECONDS):
                for record in iter_records(block.data):
                    if record.index == block.last_index:
                        self._complete.add(_key(block))
                    yield Event(block.mdt, block.epoch, record)

    def ack(self, *blocks: Block) -> None:
        """Say that blocks are processed; without arguments: all whose last record was handed out."""
        done = list(blocks) or [self._held[key] for key in self._complete if key in self._held]
        if not done:
            return
        self._groups.acknowledge(self._group, done)
        for block in done:
            self._held.pop(_key(block), None)
            self._complete.discard(_key(block))

    def lost(self) -> list[LostRange]:
        """Return the records that the group was cut off from and has not accepted."""
        return self._groups.lost(self._group)

    def accept_loss(self, ranges: Sequence[LostRange] | None = None) -> None:
        """Go on behind lost ranges (None: all that `lost` returns), e.g. when the file system was read instead."""
        self._groups.accept(self._group, self.lost() if ranges is None else ranges)

    def stop(self) -> None:
        """Let the iterators end within a second; from any thread or signal handler."""
        self._stopping = True

    def close(self) -> None:
        """Close the connection. The group stays, and what was not acknowledged comes again."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _next(self, timeout_seconds: float) -> list[Block]:
        lost = self._groups.lost(self._group)
        if lost:
            raise GroupCutOff(
                f"group {self._group} fell too far behind and lost records of {'; '.join(map(str, lost))}; "
                "compare with the file system, then call accept_loss()"
            )
        readings = self._groups.readings(self._group)
        epoch_keys = [each.epoch_key for each in readings]
        found = self._left_over(epoch_keys)
        if not found:
            found = self._from_others(epoch_keys)
        if not found:
            found = self._groups.fresh(
                self._group, self._consumer, [each.epoch_key for each in readings if each.now], timeout_seconds
            )
            if not found and not readings:
                time.sleep(timeout_seconds)
        self._held.update((_key(block), block) for block in found)
        return found

    def _left_over(self, epoch_keys: Sequence[EpochKey]) -> list[Block]:
        """Return what this consumer got before it was started and did not acknowledge."""
        for epoch_key in epoch_keys:
            while epoch_key not in self._resumed:
                behind = self._resuming.get(epoch_key, 0)
                found = self._groups.unacknowledged(self._group, self._consumer, epoch_key, behind)
                if found:
                    self._resuming[epoch_key] = found[-1].last_index
                    found = [block for block in found if _key(block) not in self._held]
                    if found:
                        return found
                else:
                    self._resumed.add(epoch_key)
        return []

    def _from_others(self, epoch_keys: Sequence[EpochKey]) -> list[Block]:
        """Return what consumers that seem to be gone did not acknowledge; looks now and then."""
        now = time.monotonic()
        if now < self._claim_at:
            return []
        self._claim_at = now + self._claim_seconds / 2
        found = [
            block
            for epoch_key in epoch_keys
            for block in self._groups.claim(self._group, self._consumer, epoch_key, self._claim_seconds)
        ]
        return [block for block in found if _key(block) not in self._held]


def _key(block: Block) -> tuple[str, int, int]:
    return block.mdt, block.epoch, block.last_index
