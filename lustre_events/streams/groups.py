"""Subscriber groups: other programs that read the record streams, as Redis consumer groups over all of them.

A group is registered under its name (`le:group:names`) and attached to every stream, also to those that begin
later. Where Redis knows roles only the dispatcher does both, and forgets what is read (group_keeper.py): a
subscriber asks for it (`le:group:asked`), and may make and remove no key, so it can put nothing where others keep
what they need.

What a group has not acknowledged is kept for it up to a limit behind the dispatcher's commit; beyond that
acknowledge.lua, which alone trims, cuts it off and notes the range (`le:group:lost:<group>`). Nobody waits for
a group: neither the reader nor the dispatcher.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import msgspec
import redis

from lustre_events.errors import ConfigError, GroupUnknown, StreamDamaged, StreamUnavailable
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, redis_errors
from lustre_events.streams.group_keeper import NAME, Asked, GroupKeeper, LostRange
from lustre_events.streams.interface import Block, EpochKey
from lustre_events.streams.records import RedisRecordStreams, block_of

log = logging.getLogger(__name__)

_NO_STREAM = ("NOGROUP", "UNBLOCKED", "no such key")
"""Errors that say: the stream or the group is not there any more."""
_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_LOOK_BLOCKS = 4
"""Blocks asked for at once, per stream."""

_Entry = tuple[bytes | None, dict[bytes, bytes] | None]
"""Redis 6.2 gives nothing at all for an entry that is gone, later versions its id."""


class GroupPosition(msgspec.Struct, frozen=True, gc=False):
    """How far a group is in one stream.

    `delivered_index`: the last index given to one of its consumers; `behind`: indexes from there to the stream's
    end; `unacknowledged`: blocks that were delivered and not acknowledged.
    """

    mdt: str
    epoch: int
    delivered_index: int
    behind: int
    unacknowledged: int
    consumers: int


class GroupStream(msgspec.Struct, frozen=True, gc=False):
    """A stream that a group is attached to; `now`: it is the one to read next of its MDT."""

    epoch_key: EpochKey
    now: bool


class RedisGroups:
    """The subscriber groups of one Redis. Every call may raise StreamUnavailable."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._keeper = GroupKeeper(client)
        self._said: set[tuple[EpochKey, bytes]] = set()
        self._streams = RedisRecordStreams(client)
        self._scripts = {name: load_script(client, name) for name in ("leave",)}
        # Whoever has a login has that of a role; without logins everybody may do everything.
        self._direct = client.get_connection_kwargs().get("username") in {None, "", "default"}

    def names(self) -> list[str]:
        """Return the groups, sorted."""
        return self._keeper.names()

    def join(self, group: str, *, from_start: bool) -> bool:
        """Make a group that begins behind the newest block, or at the oldest one kept; False: it exists already.

        Raises:
            ConfigError: that is not a name for a group.
            StreamFull: no memory left.
            StreamUnavailable: also where no dispatcher does it in time; it will when it comes back.
        """
        if not NAME.match(group):
            raise ConfigError(
                f"{group!r} is not a name for a group; use up to 64 letters, digits, '.', '_' and '-'"
            )
        if self._direct:
            return self._keeper.join(group, from_start=from_start)
        if self._keeper.knows(group):
            return False
        self._ask(Asked(group, from_start=from_start), lambda: self._keeper.knows(group))
        return True

    def remove(self, group: str) -> None:
        """Remove a group: nothing is kept for it any more. Raises GroupUnknown."""
        with redis_errors(self._client):
            found = self._scripts["leave"]([keys.GROUPS, keys.MDTS, keys.lost(group)], [group])
        if not found:
            raise self._unknown(group)

    def readings(self, group: str) -> list[GroupStream]:
        """Return the streams of a group by MDT, older epochs first. Raises GroupUnknown, StreamFull."""
        if not self._keeper.knows(group):
            raise self._unknown(group)
        return [each for mdt in self._streams.mdts() for each in self._readings_of(group, mdt)]

    def _readings_of(self, group: str, mdt: str) -> list[GroupStream]:
        """Return a group's streams of one MDT, older epochs first; nothing newer is read than what it waits for.

        Plain commands, each of its own moment: who subscribes runs no scripts. A stream that began since the group
        was made gets it at its start: here, where that is allowed, or else by the dispatcher.
        """
        try:
            epochs = self._streams.epochs(mdt)
        except StreamDamaged:
            return []  # somebody's list who may write here
        found: list[GroupStream] = []
        reading = False
        for epoch in epochs:
            if not self._is_stream(mdt, epoch):
                continue
            state = self._place(group, mdt, epoch)
            if state is None:
                reading = True
            else:
                now = not reading and (epoch == epochs[-1] or state)
                reading = reading or now
                found.append(GroupStream((mdt, epoch), now))
        return found

    def _is_stream(self, mdt: str, epoch: int) -> bool:
        with redis_errors(self._client):
            return self._client.type(keys.stream(mdt, epoch)) == b"stream"

    def _place(self, group: str, mdt: str, epoch: int) -> bool | None:
        """Return whether there is something new for a group in a stream; None: it is not attached to it (yet)."""
        key = keys.stream(mdt, epoch)
        try:
            row = next((row for row in self._attached(mdt, epoch) if row["name"] == group.encode()), None)
            if row is None and self._direct:
                with redis_errors(self._client):
                    self._client.xgroup_create(key, group, "0")
                return True
            if row is None:
                return None
            lag = row.get("lag")
            if isinstance(lag, int):
                return lag > 0
            behind = cast("bytes", row["last-delivered-id"]).decode()
            with redis_errors(self._client):
                return bool(self._client.xrange(key, f"({behind}", count=1))
        except StreamDamaged:
            return None

    def fresh(
        self, group: str, consumer: str, epoch_keys: Sequence[EpochKey], timeout_seconds: float
    ) -> list[Block]:
        """Return blocks that no consumer of the group was given, waiting for the first; [] after the timeout."""
        if not epoch_keys:
            return []
        return self._read(group, consumer, dict.fromkeys(epoch_keys, ">"), max(1, int(1000 * timeout_seconds)))

    def unacknowledged(self, group: str, consumer: str, epoch_key: EpochKey, behind: int) -> list[Block]:
        """Return the next blocks, behind an index, that this consumer was given and did not acknowledge."""
        return self._read(group, consumer, {epoch_key: f"{behind}-0"}, None)

    def claim(self, group: str, consumer: str, epoch_key: EpochKey, idle_seconds: float) -> list[Block]:
        """Take over blocks that a consumer was given that long ago and did not acknowledge: it may be gone."""
        with redis_errors(self._client):
            try:
                answer = self._client.xautoclaim(
                    keys.stream(*epoch_key), group, consumer, int(1000 * idle_seconds), count=_LOOK_BLOCKS
                )
            except redis.ResponseError as exc:
                if str(exc).startswith(_NO_STREAM):
                    return []
                raise
        return self._blocks(group, epoch_key, cast("list[_Entry]", answer[1]))

    def acknowledge(self, group: str, blocks: Iterable[Block]) -> None:
        """Say that blocks are processed, and let Redis forget those that nobody needs any more."""
        ids: dict[EpochKey, list[str]] = {}
        for block in blocks:
            ids.setdefault((block.mdt, block.epoch), []).append(f"{block.last_index}-0")
        for (mdt, epoch), acknowledged in ids.items():
            key = keys.stream(mdt, epoch)
            with redis_errors(self._client):
                self._client.xack(key, group, *acknowledged)
            if self._direct:
                self._keeper.forget(mdt, epoch)

    def lost(self, group: str) -> list[LostRange]:
        """Return what the group was cut off from and has not accepted."""
        with redis_errors(self._client):
            rows = cast("dict[bytes, bytes]", self._client.hgetall(keys.lost(group)))
            found = []
            for epoch_key, value in rows.items():
                mdt, epoch = epoch_key.decode().rsplit(" ", 1)
                first, last, time_ns = map(int, value.split())
                found.append(LostRange(mdt, int(epoch), first, last, time_ns))
        return sorted(found, key=lambda each: (each.mdt, each.epoch))

    def accept(self, group: str, ranges: Iterable[LostRange]) -> None:
        """Forget ranges that the group knows of; one that has grown meanwhile stays."""
        known = list(ranges)
        if self._direct:
            self._keeper.accept(group, known)
        elif known:
            self._ask(Asked(group, accept=known), lambda: not set(known).intersection(self.lost(group)))

    def _ask(self, asked: Asked, done: Callable[[], bool]) -> None:
        """Ask the dispatcher, and wait until it is done."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        with redis_errors(self._client):
            self._client.rpush(keys.ASKED, msgspec.json.encode(asked))
        while not done():
            if time.monotonic() >= deadline:
                raise StreamUnavailable(
                    f"no dispatcher has taken the request of group {asked.group} within {_ANSWER_SECONDS:g} s; "
                    "check that it runs, and try again"
                )
            time.sleep(_LOOK_SECONDS)

    def places(self, group: str) -> list[GroupPosition]:
        """Return how far a group is in every stream, for `status`."""
        found = []
        for mdt in self._streams.mdts():
            for epoch in self._streams.epochs(mdt):
                facts = self._streams.facts(mdt, epoch)
                rows = [row for row in self._attached(mdt, epoch) if row["name"] == group.encode()]
                # A stream that begins later is the group's from its start: it is attached at the next opportunity.
                row = rows[0] if rows else {"last-delivered-id": b"0-0", "pending": 0, "consumers": 0}
                delivered = int(cast("bytes", row["last-delivered-id"]).partition(b"-")[0])
                behind = facts.last_index - max(delivered, facts.first_index - 1)
                waiting, consumers = cast("int", row["pending"]), cast("int", row["consumers"])
                found.append(GroupPosition(mdt, epoch, delivered, behind, waiting, consumers))
        return found

    def _attached(self, mdt: str, epoch: int) -> list[dict[str, bytes | int]]:
        with redis_errors(self._client):
            try:
                return cast("list[dict[str, bytes | int]]", self._client.xinfo_groups(keys.stream(mdt, epoch)))
            except redis.ResponseError as exc:
                if str(exc).startswith(_NO_STREAM):
                    return []
                raise

    def _read(
        self, group: str, consumer: str, epoch_keys: Mapping[EpochKey, str], block_ms: int | None
    ) -> list[Block]:
        names = {keys.stream(*epoch_key).encode(): epoch_key for epoch_key in epoch_keys}
        with redis_errors(self._client):
            try:
                answer = self._client.xreadgroup(
                    group,
                    consumer,
                    {keys.stream(*epoch_key): behind for epoch_key, behind in epoch_keys.items()},
                    count=_LOOK_BLOCKS,
                    block=block_ms,
                )
            except redis.ResponseError as exc:
                if str(exc).startswith(_NO_STREAM):  # a stream or the group went: `readings` knows
                    return []
                raise
        streams = cast("list[tuple[bytes, list[_Entry]]]", answer or [])
        found = {names[key]: self._blocks(group, names[key], entries) for key, entries in streams}
        return [block for epoch_key in epoch_keys for block in found.get(epoch_key, [])]

    def _blocks(self, group: str, epoch_key: EpochKey, entries: Sequence[_Entry]) -> list[Block]:
        """Return the blocks of entries; those whose data is gone are not waited for."""
        gone = [entry_id for entry_id, fields in entries if entry_id and not fields]
        if gone:
            with redis_errors(self._client):
                self._client.xack(keys.stream(*epoch_key), group, *gone)
        found = []
        for entry_id, fields in entries:
            if not entry_id or not fields:
                continue
            try:
                found.append(block_of(epoch_key, entry_id, fields))
            except StreamDamaged as exc:  # it stays unacknowledged, and holds up nothing
                if (epoch_key, entry_id) not in self._said:
                    log.warning("group %s skips what is not a block: %s", group, exc, extra={"action": "skip"})
                self._said.add((epoch_key, entry_id))
        return found

    @staticmethod
    def _unknown(group: str) -> GroupUnknown:
        return GroupUnknown(
            f"there is no subscriber group {group}: it was removed, or Redis has lost its data; "
            "read the file system, then subscribe again"
        )
