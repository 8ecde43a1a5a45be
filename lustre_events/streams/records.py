"""All MDTs' streams in Redis as the dispatcher sees them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from lustre_events.domain.namespace import is_mdt
from lustre_events.errors import StreamDamaged
from lustre_events.streams import keys
from lustre_events.streams.codec import decompress
from lustre_events.streams.connection import Client, load_script, printable_text, publish, redis_errors
from lustre_events.streams.continuity import accept, continuity, lose, withdraw
from lustre_events.streams.interface import Block, EpochKey, Loss, Start, Tail

_FIRST_COUNT = 4
_MOST_COUNT = 64
"""Entries asked for at once. Their size is not known before, so it begins small and doubles."""

_NUMBERS = re.compile(r"(records|blocks|bytes)_|.*_(ns|index|share|epoch|lost)\Z|(epoch|mark)\Z")
"""The fields of a reader's state that are numbers."""
_WHOLE = re.compile(r"-?[0-9]{1,20}\Z")
_SHARE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?\Z")

_Entry = tuple[bytes, dict[bytes, bytes]]


class StreamFacts(msgspec.Struct, frozen=True, gc=False):
    """What is kept of one epoch. `first_index` is behind `last_index` where nothing is."""

    last_index: int = 0
    first_index: int = 1
    blocks: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Found:
    """What one `read` has found so far, and behind which index it goes on in each stream."""

    limit_bytes: int
    wanted: dict[EpochKey, int]
    blocks: dict[EpochKey, list[Block]] = field(default_factory=dict)
    _size: dict[EpochKey, int] = field(default_factory=dict)

    def add(self, epoch_key: EpochKey, entries: Sequence[_Entry]) -> None:
        """Take entries of a stream up to its limit, at least one. Raises StreamDamaged."""
        for entry_id, fields in entries:
            block = block_of(epoch_key, entry_id, fields)
            self._size[epoch_key] = self._size.get(epoch_key, 0) + len(block.data)
            if self._size[epoch_key] > self.limit_bytes and epoch_key in self.blocks:
                break
            self.blocks.setdefault(epoch_key, []).append(block)
            self.wanted[epoch_key] = block.last_index

    def leave_out_ended(self, answer: Mapping[EpochKey, Sequence[_Entry]], count: int) -> None:
        """Go on only with the streams that gave `count` entries and have room for more."""
        self.wanted = {
            epoch_key: self.wanted[epoch_key]
            for epoch_key, entries in answer.items()
            if len(entries) == count and self._size[epoch_key] < self.limit_bytes
        }


class RedisRecordStreams:
    """The record streams of one Redis; see `interface.RecordStreams`."""

    def __init__(self, client: Client, subscriber_max_lag: int = 0) -> None:
        """`subscriber_max_lag`: how many records `acknowledge` keeps for a group that has not read them."""
        self._client = client
        self._subscriber_max_lag = subscriber_max_lag
        self._scripts = {
            name: load_script(client, name) for name in ("acknowledge", "drop", "facts", "start", "tail")
        }
        self.strangers: Sequence[str] = ()
        self.damaged: Mapping[EpochKey, str] = {}
        self._longest_block_ms = int(1000 * float(client.get_connection_kwargs().get("socket_timeout") or 1) / 2)

    def mdts(self) -> list[str]:
        """Return the MDTs that have a stream, sorted. What is not an MDT's name is left out."""
        with redis_errors(self._client):
            members = cast("set[bytes]", self._client.smembers(keys.MDTS))
        names = {member: member.decode("ascii", "replace") for member in members}
        self.strangers = sorted(printable_text(member) for member, name in names.items() if not is_mdt(name))
        return sorted(filter(is_mdt, names.values()))

    def readers(self) -> list[str]:
        """Return the MDTs that ever had a reader, sorted, though none of their records may have come yet."""
        with redis_errors(self._client):
            members = cast("set[bytes]", self._client.smembers(keys.READERS))
        return sorted(filter(is_mdt, (member.decode("ascii", "replace") for member in members)))

    def epochs(self, mdt: str) -> list[int]:
        """Return the epochs of an MDT, oldest first; consumers drain older ones first."""
        with redis_errors(self._client):
            return [int(epoch) for epoch in self._client.lrange(keys.epochs(mdt), 0, -1)]

    def read(self, positions: Mapping[EpochKey, int], limit_bytes: int, timeout_seconds: float) -> list[Block]:
        """Return blocks behind the given positions, in order per stream; see `interface.RecordStreams.read`.

        Raises StreamUnavailable.
        """
        self.damaged = {}
        try:
            return self._read(positions, limit_bytes, timeout_seconds)
        except StreamDamaged:
            found, damaged = [], {}
            for epoch_key, position in positions.items():
                try:
                    found += self._read({epoch_key: position}, limit_bytes, 0.0)
                except StreamDamaged as exc:
                    damaged[epoch_key] = str(exc)
            self.damaged = damaged
            healthy = {epoch_key: position for epoch_key, position in positions.items() if epoch_key not in damaged}
            return found or self._wait(healthy, limit_bytes, timeout_seconds)

    def _wait(self, positions: Mapping[EpochKey, int], limit_bytes: int, timeout_seconds: float) -> list[Block]:
        """Wait for blocks of streams that were all right a moment ago."""
        try:
            return self._read(positions, limit_bytes, timeout_seconds)
        except StreamDamaged:
            return []  # the next one was just appended: it is looked at by the next `read`

    def _read(self, positions: Mapping[EpochKey, int], limit_bytes: int, timeout_seconds: float) -> list[Block]:
        deadline = time.monotonic() + timeout_seconds
        found = _Found(limit_bytes, dict(positions))
        count = _FIRST_COUNT
        while found.wanted:
            left_ms = 0 if found.blocks else int(1000 * (deadline - time.monotonic()))
            answer = self._xread(found.wanted, count, min(left_ms, self._longest_block_ms))
            if not answer and left_ms <= 0:
                break
            try:
                for epoch_key, entries in answer.items():
                    found.add(epoch_key, entries)
            except StreamDamaged:
                if not found.blocks:
                    raise
                break  # what is good comes first
            if found.blocks:
                found.leave_out_ended(answer, count)
            count = min(2 * count, _MOST_COUNT)
        if not positions:
            time.sleep(max(0.0, timeout_seconds))
        return _in_order(positions, found.blocks)

    def tail(self, mdt: str, epoch: int) -> int:
        """Return the last index that was appended to an epoch; 0 where its key is gone."""
        with redis_errors(self._client):
            last_id = self._scripts["tail"]([keys.stream(mdt, epoch)])
            return int(last_id.partition(b"-")[0]) if last_id is not None else 0

    def start(self, mdt: str, epoch: int) -> Start:
        """Return where an epoch's stream begins."""
        with redis_errors(self._client):
            left, first, dropped = self._scripts["start"]([keys.stream(mdt, epoch), keys.dropped(mdt)])
            epoch_dropped, _, index = dropped.partition(b" ")
            # An entry of an older version does not say behind what it was appended: no doubt can be raised then.
            return Start(int(left or 0), int(first or 0), Tail(int(epoch_dropped or 0), int(index or 0)))

    def lose(self, loss: Loss) -> None:
        """Keep that records are missing. Said again, a loss only gets its new end."""
        lose(self._client, loss)

    def withdraw(self, loss: Loss) -> None:
        """Forget a loss that was none."""
        withdraw(self._client, loss)

    def acknowledge(self, mdt: str, epoch: int, position: int) -> None:
        """Say that everything up to `position` is committed, and let Redis forget it.

        What a subscriber group within its limit has not acknowledged stays; a group beyond it is cut off.
        """
        with redis_errors(self._client):
            self._scripts["acknowledge"](
                [keys.stream(mdt, epoch), keys.committed(mdt), keys.GROUPS, keys.epochs(mdt)],
                [mdt, epoch, position, self._subscriber_max_lag, time.time_ns()],
            )

    def drop(self, mdt: str, epoch: int) -> bool:
        """Forget an acknowledged epoch that is not the newest; False: it has to stay."""
        with redis_errors(self._client):
            answer = self._scripts["drop"](
                [keys.epochs(mdt), keys.stream(mdt, epoch), keys.committed(mdt), keys.dropped(mdt)], [epoch]
            )
        return bool(answer)

    def facts(self, mdt: str, epoch: int) -> StreamFacts:
        """Return what is in an epoch's stream, for `status`; zeros where its key is gone."""
        key = keys.stream(mdt, epoch)
        with redis_errors(self._client):
            found = self._scripts["facts"]([], [key])
            size = self._client.memory_usage(key, samples=5)
            if found is None:
                return StreamFacts()
            last_index = int(found[0].partition(b"-")[0])
            return StreamFacts(last_index, int(found[2] or last_index + 1), int(found[1]), int(size or 0))

    def newest_first(self, mdt: str, epoch: int) -> Iterator[Block]:
        """Yield the blocks of an epoch that are kept, the newest one first."""
        end = "+"
        while True:
            with redis_errors(self._client):
                entries = cast(
                    "list[_Entry]", self._client.xrevrange(keys.stream(mdt, epoch), max=end, min="-", count=1)
                )
            if not entries:
                return
            block = block_of((mdt, epoch), *entries[0])
            yield block
            end = f"({block.last_index}-0"

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the dispatcher's state hash, for `status`."""
        publish(self._client, keys.DISPATCHER_STATE, state)

    def state(self) -> dict[str, str]:
        """Return what the dispatcher published."""
        return self._hash(keys.DISPATCHER_STATE)

    def reader_state(self, mdt: str) -> dict[str, str]:
        """Return what the reader of an MDT published, and its mark; numbers that are none are left out."""
        found = self._hash(keys.reader_state(mdt))
        return {name: value for name, value in found.items() if not _NUMBERS.match(name) or _is_number(name, value)}

    def continuity(self, mdt: str) -> list[Loss]:
        """Return what was lost of an MDT's records, oldest first; [] is what one wants to see."""
        return continuity(self._client, mdt)

    def accept(self, mdt: str, until_ns: int | None = None) -> int:
        """Say that all losses so far (up to a time) are known and dealt with; return how many of them are new."""
        return accept(self._client, mdt, until_ns)

    def _hash(self, key: str) -> dict[str, str]:
        with redis_errors(self._client):
            fields = cast("dict[bytes, bytes]", self._client.hgetall(key))
        return {printable_text(name): value.decode("utf-8", "backslashreplace") for name, value in fields.items()}

    def _xread(self, wanted: Mapping[EpochKey, int], count: int, block_ms: int) -> dict[EpochKey, Sequence[_Entry]]:
        epoch_keys = {keys.stream(*epoch_key).encode(): epoch_key for epoch_key in wanted}
        with redis_errors(self._client):
            answer = self._client.xread(
                {keys.stream(*epoch_key): f"{index}-0" for epoch_key, index in wanted.items()},
                count=count,
                block=block_ms if block_ms > 0 else None,  # 0 would wait for ever
            )
        streams = cast("list[tuple[bytes, list[_Entry]]]", answer or [])
        return {epoch_keys[key]: entries for key, entries in streams}


def _is_number(name: str, value: str) -> bool:
    pattern = _SHARE if name.endswith("_share") else _WHOLE
    return pattern.match(value) is not None


def _in_order(epoch_keys: Iterable[EpochKey], found: Mapping[EpochKey, list[Block]]) -> list[Block]:
    return [block for epoch_key in epoch_keys for block in found.get(epoch_key, [])]


def block_of(epoch_key: EpochKey, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Block:
    """Return the block of a stream entry. Raises StreamDamaged: it is, or of a later version."""
    mdt, epoch = epoch_key
    where = f"block {entry_id.decode()} of {keys.stream(mdt, epoch)}"
    try:
        codec, first, count = fields[b"codec"].decode(), int(fields[b"first"]), int(fields[b"count"])
        compressed = fields[b"data"]
        last = int(entry_id.partition(b"-")[0])
    except (KeyError, ValueError) as exc:
        raise StreamDamaged(f"{where} is damaged: {exc!r}; look at it with redis-cli XRANGE") from exc
    if not 0 < first <= last:
        raise StreamDamaged(f"{where} is damaged: its records are {first} to {last}; look with redis-cli XRANGE")
    return Block(mdt, epoch, first, last, count, decompress(codec, compressed, where))
