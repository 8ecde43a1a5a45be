"""An MDT's stream in Redis as its reader writes it: what interface.py promises, over redis-py.

keys.py lists the keys. A block is one stream entry: id `<last index>-0`, fields `codec`, `first`, `count`
and `data`. Every change that must not happen twice or in part is a script (the .lua files beside this
module), safe to send again when the answer was lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import cast

from lustre_events.errors import LeaseLost, StreamError, StreamMoved
from lustre_events.streams import keys
from lustre_events.streams.codec import compress
from lustre_events.streams.connection import (
    Client,
    load_script,
    publish,
    redis_errors,
)
from lustre_events.streams.continuity import lose
from lustre_events.streams.durability import FsyncWatch, PersistenceInfo
from lustre_events.streams.interface import Block, Loss, Standing, Tail
from lustre_events.streams.keys import make_token

NO_TAIL = Tail(0, 0)
_SCRIPTS = ("append", "lease", "mark", "release", "standing", "tail")


class RedisReaderStream:
    """One MDT's stream as its reader sees it; see `interface.ReaderStream`."""

    def __init__(
        self,
        client: Client,
        mdt: str,
        *,
        codec: str = "zstd",
        token: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`token` names the holder of the lease; empty: a new one. `clock` counts seconds for `stored`."""
        self._client = client
        self._mdt = mdt
        self._codec = codec
        self._token = token or make_token()
        self._clock = clock
        self._scripts = {name: load_script(client, name) for name in _SCRIPTS}
        self._tail = NO_TAIL
        self._disk = self._watch()

    def lease(self, seconds: float) -> bool:
        """Take or renew the lease of this MDT; False: another reader holds it."""
        with redis_errors(self._client):
            answer = self._scripts["lease"]([keys.lease(self._mdt)], [self._token, int(seconds * 1000)])
        return bool(answer)

    def release(self) -> None:
        """Give the lease back, if it is ours."""
        with redis_errors(self._client):
            self._scripts["release"]([keys.lease(self._mdt)], [self._token])

    def tail(self) -> Tail:
        """Return the newest epoch and its last index; epoch 0 where its key is not there."""
        with redis_errors(self._client):
            newest = self._client.lindex(keys.epochs(self._mdt), -1)
            if newest is None:
                return self._now_at(NO_TAIL)
            epoch = int(newest)
            last_id = self._scripts["tail"]([keys.stream(self._mdt, epoch)])
        return self._now_at(Tail(epoch, _index(last_id)) if last_id is not None else NO_TAIL)

    def standing(self) -> Standing:
        """Return what there is of this MDT; what `tail` says is then known too."""
        mdt = self._mdt
        with redis_errors(self._client):
            newest, last_id, mark, anchor, committed, behind = self._scripts["standing"](
                [keys.epochs(mdt), keys.reader_state(mdt)], [mdt]
            )
        epoch, committed_index = int(newest or 0), int(committed or 0)
        tail = self._now_at(Tail(epoch, _index(last_id)) if last_id else NO_TAIL)
        # An entry of an older version does not say behind what it was appended: no doubt can be raised then.
        left_index = tail.last_index if behind == b"-" else int(behind or committed_index)
        anchor_index, _, digest = anchor.decode().partition(" ")
        return Standing(tail, int(mark or 0), epoch, committed_index, left_index, int(anchor_index or 0), digest)

    def append(self, block: Block, expected: Tail, digest: str = "") -> Tail:
        """Store `block` behind `expected`, or nothing; see `interface.ReaderStream.append`."""
        behind = expected.last_index if block.epoch == expected.epoch else 0
        if not (behind < block.first_index <= block.last_index and block.count and block.data):
            raise StreamError(
                f"{self._mdt}: a block of {block.count} records from index {block.first_index} to "
                f"{block.last_index} cannot be stored behind index {behind}; report this with the MDT's records"
            )
        with redis_errors(self._client):
            answer = self._scripts["append"](
                [
                    keys.lease(self._mdt),
                    keys.epochs(self._mdt),
                    keys.MDTS,
                    keys.stream(self._mdt, block.epoch),
                    keys.reader_state(self._mdt),
                ],
                [
                    self._token,
                    self._mdt,
                    expected.epoch,
                    expected.last_index,
                    block.epoch,
                    self._codec,
                    block.first_index,
                    block.last_index,
                    block.count,
                    compress(self._codec, block.data),
                    digest,
                ],
            )
        if answer[0] == b"LEASE":
            raise self._lease_lost()
        if answer[0] == b"MOVED":
            raise StreamMoved(
                f"{self._mdt}: the stream ends at epoch {answer[1].decode()}, id {answer[2].decode()} instead of "
                f"epoch {expected.epoch}, id {expected.last_index}-0; nothing was stored, read on from its end"
            )
        return self._now_at(Tail(block.epoch, block.last_index))

    def mark(self) -> int:
        """Return the greatest index that was (or was about to be) cleared on the MDT; 0: none."""
        with redis_errors(self._client):
            return int(self._client.hget(keys.reader_state(self._mdt), "mark") or 0)

    def set_mark(self, index: int) -> None:
        """Keep the mark; written before each clear. Raises LeaseLost."""
        self._keep("mark", index)

    def cleared_for(self) -> str:
        """Return for which changelog user a clear last worked; see `interface.ReaderStream.cleared_for`."""
        with redis_errors(self._client):
            user = self._client.hget(keys.reader_state(self._mdt), "cleared_for") or ""
        return user.decode() if isinstance(user, bytes) else user

    def set_cleared_for(self, user: str) -> None:
        """Keep that. Raises LeaseLost."""
        self._keep("cleared_for", user)

    def _keep(self, field: str, value: int | str) -> None:
        with redis_errors(self._client):
            kept = self._scripts["mark"](
                [keys.lease(self._mdt), keys.reader_state(self._mdt)], [self._token, field, value]
            )
        if not kept:
            raise self._lease_lost()

    def stored(self) -> int:
        """Return the greatest index of this epoch that is known to be on Redis's disk; 0: none.

        Call it every few seconds: it takes two looks, 3 s apart, to know (durability.py).
        """
        if self._tail.epoch == 0:
            return 0
        with redis_errors(self._client):
            return min(self._disk.observe(), self._tail.last_index)

    def committed(self) -> int:
        """Return the greatest index of this epoch that is committed to the index; 0: none."""
        with redis_errors(self._client):
            return int(self._client.hget(keys.committed(self._mdt), str(self._tail.epoch)) or 0)

    def memory_share(self) -> float:
        """Return which share of its allowed memory Redis uses, 0 to about 1; 0 where there is no limit."""
        with redis_errors(self._client):
            info = cast("dict[str, int]", self._client.info("memory"))
        limit = int(info.get("maxmemory", 0))
        return int(info["used_memory"]) / limit if limit else 0.0

    def lose(self, loss: Loss) -> None:
        """Keep that records are missing. Said again, a loss only gets its new end."""
        lose(self._client, loss)

    def publish(self, state: Mapping[str, int | str]) -> None:
        """Merge counters and facts into the reader's state hash, for `status`."""
        publish(self._client, keys.reader_state(self._mdt), state, (keys.READERS, self._mdt))

    def _now_at(self, tail: Tail) -> Tail:
        if tail.epoch != self._tail.epoch:
            self._disk = self._watch()
        self._tail = tail
        return tail

    def _lease_lost(self) -> LeaseLost:
        return LeaseLost(
            f"{self._mdt}: this reader's lease has ended; another reader may be at work, so nothing was written"
        )

    def _watch(self) -> FsyncWatch:
        return FsyncWatch(self._look, self._clock)

    def _look(self) -> tuple[PersistenceInfo, int]:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.info("server", "persistence")
            self._scripts["tail"]([keys.stream(self._mdt, self._tail.epoch)], client=pipe)
            info, last_id = pipe.execute()
        return PersistenceInfo.of_info(info), _index(last_id) if last_id is not None else 0


def _index(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])
