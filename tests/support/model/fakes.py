"""Fakes that several tests share: a clock, a source with a script, blocks of small records."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lustre_events.changelog.record import ChangelogRecord, RecordType, encode_record, iter_records
from lustre_events.errors import ChangelogBroken, ChangelogRefused, ChangelogUserUnknown, LustreEventsError
from lustre_events.streams.interface import Block

MDT = "lustre-MDT0000"


class FakeClock:
    """Seconds that pass only when told; `sleep` is how a loop under test waits."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now

    def time_ns(self) -> int:
        """Return the wall clock that goes with it."""
        return int(self.now * 1_000_000_000)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass, and remember how much."""
        self.slept.append(seconds)
        self.now += seconds


def records(*indexes: int, name: bytes = b"name", time_ns: int = 1) -> bytes:
    """Return one raw record per index."""
    return b"".join(
        encode_record(ChangelogRecord(index=index, type=RecordType.CREAT, time_ns=time_ns, name=name))
        for index in indexes
    )


def block(epoch: int, *indexes: int, mdt: str = MDT) -> Block:
    """Return a block of one record per index."""
    return Block(mdt, epoch, indexes[0], indexes[-1], len(indexes), records(*indexes))


def indexes_of(blocks: Iterable[Block]) -> list[int]:
    """Return the index of every record in blocks, in order."""
    return [record.index for found in blocks for record in iter_records(found.data)]


class FakeSource:
    """An MDT's changelog in this process: what `add` gives, readable from any index, with users and marks.

    `failures` are raised by the next calls of the method that they are listed under; `on_read` and `on_clear`
    are called before anything else happens there. `ignores_start` makes `open` begin at the oldest record.
    """

    def __init__(self, mdt: str = MDT, *, clock: FakeClock | None = None, ends: bool = False) -> None:
        self.mdt = mdt
        self.clock = clock
        self.ends = ends
        self.log: list[tuple[int, bytes]] = []
        self.users: dict[str, int] = {"cl1": 0}
        self.clears: list[int] = []
        self.opened: list[int] = []
        self.reads = 0
        self.woken = 0
        self.last_index = 0
        self.time_ns = 1
        self.handle = 0
        self.lag_seconds = 0.0
        self.tells_users = True
        self.failures: dict[str, list[LustreEventsError]] = {"open": [], "read": [], "clear": [], "peek": []}
        self.on_read: Callable[[], None] = lambda: None
        self.on_clear: Callable[[int], None] = lambda index: None
        self.ignores_start = False
        self._at: int | None = None

    def add(self, *indexes: int) -> None:
        """Let the MDT write records."""
        self.log += [(index, records(index, time_ns=self.time_ns)) for index in indexes]
        self.last_index = max([self.last_index, *indexes])

    def restart_index(self, *indexes: int) -> None:
        """Restart the MDT without a user: it forgets everything and counts anew; then `cl1` is registered."""
        self.log, self.last_index, self.users = [], 0, {"cl1": 0}
        self.time_ns += 1
        if self._at is not None:
            self._at = 0
            self.failures["read"].append(ChangelogBroken(f"{self.mdt}: restarted"))
        self.add(*indexes)

    def open(self, start_index: int) -> None:
        """Begin at the first record not below `start_index`."""
        self._fail("open")
        self.opened.append(start_index)
        self.handle += 1
        start_index = 0 if self.ignores_start else start_index
        self._at = next((n for n, (index, _) in enumerate(self.log) if index >= start_index), len(self.log))

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:
        """Return records up to the limit, at least one; time passes where there is none."""
        self.reads += 1
        self.on_read()
        self._fail("read")
        assert self._at is not None, "read before open"
        found = b""
        while self._at < len(self.log):
            record = self.log[self._at][1]
            if found and len(found) + len(record) > limit_bytes:
                break
            found += record
            self._at += 1
        if not found and self.clock is not None and not self.ended:
            self.clock.advance(timeout_seconds)
        return found

    def peek(self, start_index: int) -> bytes:
        """Return the header of the first record not below `start_index`."""
        self._fail("peek")
        return next((record[:64] for index, record in self.log if index >= start_index), b"")

    def knows(self, user: str) -> bool | None:
        """Return whether the user is there, if it can be told."""
        return user in self.users if self.tells_users else None

    def clear(self, user: str, index: int) -> None:
        """Move a user's mark, with the error codes of a real MDT."""
        self.on_clear(index)
        self._fail("clear")
        if index == 0 or index > self.last_index:
            raise ChangelogRefused(f"{self.mdt}: there is no record {index} to clear")
        if user not in self.users or index < self.users[user]:
            raise ChangelogUserUnknown(f"{self.mdt}: no user {user}, or its mark is above {index}")
        self.clears.append(index)
        self.users[user] = index
        self.purge()

    def purge(self) -> None:
        """Forget the records that every user has cleared; without users, all of them."""
        slowest = min(self.users.values(), default=self.last_index)
        kept = [(index, raw) for index, raw in self.log if index > slowest]
        if self._at is not None:
            self._at = max(0, self._at - (len(self.log) - len(kept)))
        self.log = kept

    def close(self) -> None:
        """Close."""
        self._at = None

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    @property
    def ended(self) -> bool:
        """Whether it is a recording, and at its end."""
        return self.ends and self._at == len(self.log)

    def _fail(self, what: str) -> None:
        if self.failures[what]:
            raise self.failures[what].pop(0)
