"""What is done for subscriber groups by who may write their keys: the dispatcher, or a process without a login."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import cast

import msgspec

from lustre_events.errors import ConfigError, StreamDamaged
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, redis_errors
from lustre_events.streams.records import RedisRecordStreams

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
MOST_GROUPS = 100
_ASKED = 100
_ASKED_BYTES = 4_096


class LostRange(msgspec.Struct, frozen=True, gc=False):
    """Records that a group had not acknowledged when it was cut off: those with an index of `first` to `last`."""

    mdt: str
    epoch: int
    first_index: int
    last_index: int
    time_ns: int

    def __str__(self) -> str:
        return f"{self.mdt}: {self.first_index} to {self.last_index}"


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What a subscriber asks of the dispatcher: to join, or to accept ranges."""

    group: str
    from_start: bool = False
    accept: list[LostRange] = []


class GroupKeeper:
    """Makes groups, attaches them, and forgets what they have read. Every call may raise StreamUnavailable."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._streams = RedisRecordStreams(client)
        self._scripts = {name: load_script(client, name) for name in ("acknowledge", "asked", "join")}
        self._damaged: set[str] = set()

    def names(self) -> list[str]:
        """Return the groups, sorted."""
        with redis_errors(self._client):
            return sorted(name.decode() for name in cast("set[bytes]", self._client.smembers(keys.GROUPS)))

    def knows(self, group: str) -> bool:
        """Whether there is a group of that name."""
        with redis_errors(self._client):
            return bool(self._client.sismember(keys.GROUPS, group))

    def join(self, group: str, *, from_start: bool) -> bool:
        """Make a group; False: it exists already."""
        with redis_errors(self._client):
            return bool(self._scripts["join"]([keys.GROUPS, keys.MDTS], [group, "0" if from_start else "$"]))

    def accept(self, group: str, ranges: Iterable[LostRange]) -> None:
        """Forget lost ranges; one that has grown meanwhile stays."""
        with redis_errors(self._client):
            for each in ranges:
                field, value = f"{each.mdt} {each.epoch}", f"{each.first_index} {each.last_index} {each.time_ns}"
                if self._client.hget(keys.lost(group), field) == value.encode():
                    self._client.hdel(keys.lost(group), field)

    def forget(self, mdt: str, epoch: int) -> None:
        """Forget what is committed and what no group needs any more, and attach those that are not attached."""
        with redis_errors(self._client):
            self._scripts["acknowledge"](
                [keys.stream(mdt, epoch), keys.committed(mdt), keys.GROUPS, keys.epochs(mdt)],
                [mdt, epoch, "", "", 0],
            )

    def tend(self) -> None:
        """Do what subscribers have asked for, attach groups to new streams, forget what no group needs any more.

        For the dispatcher, every second or so. What cannot be understood is passed over.
        """
        with redis_errors(self._client):
            asked = cast("list[bytes]", self._scripts["asked"]([keys.ASKED], [_ASKED, _ASKED_BYTES]))
        for data in asked:
            try:
                self._carry_out(msgspec.json.decode(data, type=Asked))
            except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as exc:
                log.warning("a subscriber asks for what cannot be done: %s", exc, extra={"action": "refuse"})
        if self.names():
            for mdt in self._streams.mdts():
                self._forget_all(mdt)

    def _forget_all(self, mdt: str) -> None:
        try:
            for epoch in self._streams.epochs(mdt):
                self.forget(mdt, epoch)
        except StreamDamaged as exc:  # it must not hold up the others
            if mdt not in self._damaged:
                log.warning("%s: nothing is forgotten for groups: %s", mdt, exc, extra={"action": "wait"})
            self._damaged.add(mdt)
        else:
            self._damaged.discard(mdt)

    def _carry_out(self, asked: Asked) -> None:
        if not NAME.match(asked.group):
            raise ConfigError(f"{asked.group!r} is not a name for a group")
        if asked.accept:
            self.accept(asked.group, asked.accept)
        elif not self.knows(asked.group) and len(self.names()) >= MOST_GROUPS:
            raise ConfigError(f"there are {MOST_GROUPS} groups; remove one: lustre-events groups remove NAME")
        else:
            self.join(asked.group, from_start=asked.from_start)
