"""The rule that tells from INFO what is on Redis's disk, on samples and on a model of Redis's AOF."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.streams.durability import FsyncWatch, PersistenceInfo
from tests.support.model.fakes import FakeClock
from tests.support.profiles import examples
from tests.support.rows import each_row

QUIET = PersistenceInfo(
    run_id="a",
    aof_enabled=True,
    write_status_ok=True,
    pending_fsyncs=0,
    delayed_fsyncs=0,
    rewrites=0,
    rewriting=False,
)


class Script:
    """A watch over samples that a test gives one by one."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self._now: tuple[PersistenceInfo, int] = (QUIET, 0)
        self._watch = FsyncWatch(lambda: self._now, self.clock)

    def look(self, last_index: int, after_seconds: float = 0.0, **changes: object) -> int:
        """Return what is stored, as of a sample that differs from a quiet one in `changes`."""
        self.clock.advance(after_seconds)
        self._now = (msgspec.structs.replace(QUIET, **changes), last_index)
        return self._watch.observe()


def test_two_quiet_moments_three_seconds_apart() -> None:
    """What the stream had in the first of two quiet moments is on the disk in the second, 3 s later."""
    script = Script()

    assert script.look(10) == 0
    assert script.look(20, 2.9) == 0
    assert script.look(30, 0.1) == 10
    assert script.look(40, 2.9) == 20
    assert script.look(40, 5.0) == 40


@each_row(
    "doubt",
    [
        {"run_id": "b"},
        {"write_status_ok": False},
        {"delayed_fsyncs": 1},
        {"rewrites": 1},
        {"aof_enabled": False},
    ],
)
def test_any_doubt_begins_anew(doubt: dict[str, object]) -> None:
    """After a restart, a failed write, a forced write or a rewrite the 3 s begin again."""
    script = Script()
    script.look(10)

    assert script.look(10, 1.0, **doubt) == 0
    assert script.look(10, 2.0) == 0
    assert script.look(10, 2.9) == 0
    assert script.look(10, 3.0) == 10


@pytest.mark.parametrize("busy", [{"pending_fsyncs": 1}, {"rewriting": True}])
def test_a_busy_moment_proves_nothing(busy: dict[str, object]) -> None:
    """While an fsync or a rewrite is under way nothing can be concluded, but earlier moments stay good."""
    script = Script()
    script.look(10)

    assert script.look(20, 3.0, **busy) == 0
    assert script.look(20, 0.5) == 10
    assert script.look(20, 2.9) == 10
    assert script.look(20, 0.1) == 20


def test_what_redis_lost_is_not_stored() -> None:
    """After a restart only what the stream has then can become stored."""
    script = Script()
    script.look(10)

    assert script.look(8, 3.0, run_id="b") == 0
    assert script.look(8, 3.0, run_id="b") == 8


def test_fields_of_info() -> None:
    """The fields are read by their names in INFO; what is missing counts as not safe."""
    info = {
        "run_id": "x",
        "aof_enabled": 1,
        "aof_last_write_status": "ok",
        "aof_pending_bio_fsync": 2,
        "aof_delayed_fsync": 3,
        "aof_rewrites": 4,
        "aof_rewrite_in_progress": 1,
    }

    assert PersistenceInfo.of_info(info) == PersistenceInfo("x", True, True, 2, 3, 4, True)
    assert not PersistenceInfo.of_info({}).quiet()


class ModelRedis:
    """How Redis with `appendfsync everysec` brings writes to the disk (aof.c, flushAppendOnlyFile)."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.executed = self.written = self.submitted = self.synced = 0
        self.fsync_ends = 0.0
        self.fsync_seconds = 0.01
        self.last_fsync = 1000
        self.postponed_at = 0
        self.delayed = self.life = 0

    @property
    def fsync_runs(self) -> bool:
        """Whether an fsync is under way."""
        return self.submitted > self.synced

    def turn(self) -> None:
        """One turn of the event loop."""
        if self.fsync_runs and self.now >= self.fsync_ends:
            self.synced = self.submitted
        second = int(self.now)
        if self.executed == self.written:
            if self.written > self.submitted and second > self.last_fsync and not self.fsync_runs:
                self.fsync(second)
            return
        if self.fsync_runs:
            if not self.postponed_at:
                self.postponed_at = second
            if second - self.postponed_at < 2:
                return
            self.delayed += 1
        self.postponed_at = 0
        self.written = self.executed
        if second > self.last_fsync:
            self.fsync(second)

    def fsync(self, second: int) -> None:
        """Begin an fsync in the background, unless one runs."""
        if not self.fsync_runs:
            self.submitted = self.written
            self.fsync_ends = self.now + self.fsync_seconds
        self.last_fsync = second

    def power_loss(self) -> None:
        """Lose all that is not on the disk."""
        self.executed = self.written = self.submitted = self.synced
        self.postponed_at = self.delayed = 0
        self.life += 1

    def sample(self) -> tuple[PersistenceInfo, int]:
        """Return what INFO and the stream say."""
        return PersistenceInfo(
            str(self.life), True, True, int(self.fsync_runs), self.delayed, 0, False
        ), self.executed


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "look", "write and look", "look and write", "power_loss"]),
        st.sampled_from([0.05, 0.3, 1.0, 2.0, 3.0]),
        st.sampled_from([0.01, 0.9, 2.5, 7.0]),
    ),
    min_size=3,
    max_size=8,
)


@examples(1500)
@given(steps=STEPS)
def test_never_more_than_the_disk_has(steps: list[tuple[str, float, float]]) -> None:
    """However slow the disk and whatever the times of writes and looks: what is called stored is on the disk."""
    model = ModelRedis()
    watch = FsyncWatch(model.sample, lambda: model.now)
    for what, seconds, fsync_seconds in steps:
        model.fsync_seconds = fsync_seconds
        if what == "power_loss":
            model.power_loss()
        for act in what.split(" and "):
            model.executed += act == "write"
            model.turn()
            if act == "look":
                assert watch.observe() <= model.synced
        for _ in range(round(seconds * 20)):
            model.now += 0.05
            model.turn()


def test_a_quiet_disk_is_always_reached() -> None:
    """With a healthy disk everything is stored within a few looks."""
    model = ModelRedis()
    watch = FsyncWatch(model.sample, lambda: model.now)
    model.executed = 5
    for _ in range(100):
        model.now += 0.05
        model.turn()
        watch.observe()

    assert watch.observe() == 5
