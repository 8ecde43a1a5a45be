"""A reader between a fake source and streams in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lustre_events.config.settings import ReaderSettings
from lustre_events.reader import Reader
from lustre_events.streams.memory import MemoryEpoch, MemoryReaderStream, MemoryStore
from tests.support.model.fakes import MDT, FakeClock, FakeSource, indexes_of

MANY_TURNS = 3000


@dataclass
class World:
    """A source, a store and as many readers as a test wants."""

    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.source = FakeSource(clock=self.clock)
        self.store = MemoryStore(clock=self.clock)

    def reader(self, source: FakeSource | None = None, **settings: object) -> Reader:
        """Return a reader with a lease of its own."""
        return Reader(
            source or self.source,
            MemoryReaderStream(self.store, MDT),
            ReaderSettings(**settings),  # type: ignore[arg-type]
            clock=self.clock,
            time_ns=self.clock.time_ns,
            sleep=self.clock.sleep,
        )

    def run(self, reader: Reader, until: Callable[[], bool], **hooks: Callable[[], object]) -> None:
        """Run `reader` until the condition holds; hooks are called at the n-th read or wait (`turn_3=...`)."""
        turns = 0

        def tick() -> None:
            nonlocal turns
            turns += 1
            hook = hooks.get(f"turn_{turns}")
            if hook is not None:
                hook()
            if until() or turns > MANY_TURNS:
                reader.stop()

        def sleep(seconds: float) -> None:
            self.clock.sleep(seconds)
            tick()

        self.source.on_read = tick
        reader._sleep = sleep
        reader.run()
        assert turns <= MANY_TURNS, "the condition never held"

    def stored(self) -> list[list[int]]:
        """Return the indexes in the streams, epoch by epoch."""
        gone = MemoryEpoch()
        epochs = self.store.epochs.get(MDT, [])
        return [indexes_of(self.store.streams.get((MDT, epoch), gone).blocks) for epoch in epochs]

    def all_stored(self, *indexes: int) -> Callable[[], bool]:
        """Return the condition that the only epoch has just these."""
        return lambda: self.stored() == [list(indexes)]
