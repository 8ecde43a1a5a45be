"""What is written of the history, and what is left of it after crashes, full disks and damage."""

from __future__ import annotations

import contextlib
import random
import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.record import ChangelogRecord
from lustre_events.errors import ConfigError, GroupCutOff
from lustre_events.history.archive import Archive, Coverage
from lustre_events.history.gaps import FOREVER_NS
from lustre_events.history.joining import Joining
from lustre_events.history.keeper import FLUSH_SECONDS, REPORT_SECONDS, Keeper
from lustre_events.history.losses import LossBook, read
from lustre_events.history.segment_writer import SegmentWriter
from lustre_events.history.segments import frames_in, opened, repack, segments_in
from lustre_events.streams.group_keeper import LostRange
from lustre_events.streams.interface import Block, Loss
from tests.support.history import DAY_NS, NOW_NS, block_of, keep
from tests.support.model.fakes import FakeClock
from tests.support.model.model import MDTS
from tests.support.profiles import examples
from tests.support.records import builders as b
from tests.support.rows import each_row

MDT = MDTS[0]
LOG = [b.create(number, name=b"%d" % number, index=number, time_ns=10**18 + number) for number in range(1, 200)]


def indexes(folder: Path) -> list[int]:
    """Return the index of every record in a history, in the order of the segments."""
    return [each.record.index for each in Archive(folder).everything()]


def write(folder: Path, blocks: Sequence[Block], now_ns: int = NOW_NS) -> None:
    """Write blocks, flushing after each, as one process does."""
    writer = SegmentWriter(folder, 90, 1 << 40)
    for block in blocks:
        writer.add(block)
        writer.flush(now_ns)
    writer.close()


def cut(log: Sequence[ChangelogRecord], size: int) -> list[Block]:
    """Return a log as blocks of a size."""
    return [block_of(MDT, log[at : at + size]) for at in range(0, len(log), size)]


def test_blocks_that_come_again_are_written_once(tmp_path: Path) -> None:
    """Blocks that were not acknowledged come again, perhaps cut in another way: each record is there once."""
    write(tmp_path, cut(LOG[:100], 7))
    write(tmp_path, cut(LOG[40:], 11))

    assert indexes(tmp_path) == [record.index for record in LOG]


@pytest.mark.long
def test_a_crash_at_any_byte_loses_nothing_that_comes_again(tmp_path: Path) -> None:
    """Wherever a crash cuts the last segment, what is whole stays and what comes again completes it."""
    write(tmp_path / "whole", cut(LOG[:60], 20))
    (segment,) = segments_in(tmp_path / "whole")
    data = segment.path.read_bytes()
    for size in range(0, len(data), 13):
        folder = tmp_path / str(size)
        torn = folder / MDT / segment.path.name
        torn.parent.mkdir(parents=True)
        torn.write_bytes(data[:size])
        write(folder, cut(LOG, 20))
        assert indexes(folder) == [record.index for record in LOG]
        assert not Archive(folder).coverage.damaged


def test_damage_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    """Whatever bit is changed, nothing false is read: the frame is left out and damage is reported."""
    write(tmp_path, cut(LOG, 40))
    (segment,) = segments_in(tmp_path)
    data = segment.path.read_bytes()
    right = [record.index for record in LOG]
    (segment.path.parent / "9999-01-01.0.seg").touch()  # so the other one's end is not what is being written
    chance = random.Random(1)
    for at in chance.sample(range(len(data)), 150):
        damaged = bytearray(data)
        damaged[at] ^= 1 << chance.randrange(8)
        segment.path.write_bytes(damaged)
        archive = Archive(tmp_path)
        found = [each.record.index for each in archive.everything()]
        assert set(found) < set(right)
        assert len(found) >= len(right) - 40
        assert archive.coverage.damaged


def test_small_frames_of_a_day_are_packed_again(tmp_path: Path) -> None:
    """When a day is over its segment has few frames, and the same records, and what was missing is still said."""
    writer = SegmentWriter(tmp_path, 90, 1 << 40)
    for block in cut(LOG[:100], 1):
        writer.add(block)
        writer.flush(NOW_NS)
    writer.lose((MDT, 1), 101, 110, 5)
    writer.flush(NOW_NS)
    writer.add(block_of(MDT, LOG[110:]))
    writer.flush(NOW_NS + DAY_NS)
    writer.close()

    first, _ = segments_in(tmp_path)
    with opened(first.path) as buffer:
        assert [header.records for _, header in frames_in(buffer) if header] == [100, 0]
    archive = Archive(tmp_path)
    assert [each.record.index for each in archive.everything()] == [
        record.index for record in LOG[:100] + LOG[110:]
    ]
    assert [each[2:4] for each in archive.coverage.missing] == [(101, 110)]
    assert not repack(first.path)


def test_old_days_and_too_many_bytes_go(tmp_path: Path) -> None:
    """Segments older than [history] days are removed, then the oldest beyond max_bytes; never the one in use."""
    blocks = cut(LOG, 20)
    writer = SegmentWriter(tmp_path, 3, 1 << 40)
    for day, block in enumerate(blocks):
        writer.add(block)
        writer.flush(NOW_NS + day * DAY_NS)
    writer.trim(NOW_NS + (len(blocks) - 1) * DAY_NS)
    assert len(segments_in(tmp_path)) == 4
    writer.close()

    writer = SegmentWriter(tmp_path, 90, 1)
    assert writer.trim(NOW_NS) == segments_in(tmp_path)[0].path.stat().st_size
    assert indexes(tmp_path) == [record.index for record in LOG[180:]]
    writer.close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Two processes never write one history."""
    writer = SegmentWriter(tmp_path, 90, 1 << 40)

    with pytest.raises(ConfigError, match="another process"):
        SegmentWriter(tmp_path, 90, 1 << 40)
    writer.close()


class FakeRecords:
    """A subscription with a script: blocks, and now and then a loss."""

    def __init__(self, *script: list[Block] | LostRange) -> None:
        self.script = list(script)
        self.acknowledged: list[int] = []
        self.accepted: list[LostRange] = []
        self.stopped = False

    def read(self, timeout_seconds: float = 1.0) -> list[Block]:
        """Return the next blocks."""
        del timeout_seconds
        if self.lost():
            raise GroupCutOff("cut off")
        found = self.script.pop(0) if self.script else []
        assert isinstance(found, list)
        return found

    def ack(self, *blocks: Block) -> None:
        """Remember what is acknowledged."""
        self.acknowledged += [block.last_index for block in blocks]

    def lost(self) -> list[LostRange]:
        """Return the loss that is next."""
        return [each for each in self.script[:1] if isinstance(each, LostRange)]

    def accept_loss(self, ranges: Sequence[LostRange] | None = None) -> None:
        """Go on behind it."""
        self.accepted += ranges or []
        self.script.pop(0)

    def stop(self) -> None:
        """End."""
        self.stopped = True


class FakeService:
    """What was marked as lost, and what the keeper says."""

    def __init__(self, *losses: Loss) -> None:
        self.marks = list(losses)
        self.told: Mapping[str, str] = {}

    def losses(self) -> list[Loss]:
        """Return the marks."""
        return self.marks

    def publish(self, state: Mapping[str, str]) -> None:
        """Keep what is said."""
        self.told = state


def keeper(
    records: FakeRecords,
    folder: Path,
    clock: FakeClock,
    *,
    joined: bool = False,
    service: FakeService | None = None,
) -> Keeper:
    """Return a keeper whose time passes only when told."""
    writer = SegmentWriter(folder, 90, 1 << 40)
    joining = Joining(folder)
    if joined:
        joining.begin()
    return Keeper(
        records, writer, LossBook(folder), joining, service=service, clock=clock, time_ns=clock.time_ns,
        sleep=clock.sleep,
    )  # fmt: skip


def test_only_what_is_on_the_disk_is_acknowledged(tmp_path: Path) -> None:
    """Blocks are acknowledged when they are written, some seconds after they came at the latest."""
    clock, records = FakeClock(), FakeRecords(cut(LOG[:40], 20))
    kept = keeper(records, tmp_path, clock)
    kept.step(0)
    assert records.acknowledged == []
    clock.advance(FLUSH_SECONDS)
    kept.step(0)

    assert records.acknowledged == [20, 40]
    assert indexes(tmp_path) == list(range(1, 41))


def test_what_is_held_is_written_at_the_end(tmp_path: Path) -> None:
    """A keeper that is told to stop leaves nothing unwritten."""
    records = FakeRecords(cut(LOG[:40], 20))
    kept = keeper(records, tmp_path, FakeClock())
    kept.step(0)
    kept.stop()
    kept.run()

    assert records.stopped
    assert indexes(tmp_path) == list(range(1, 41))


def test_what_the_group_was_cut_off_from_is_written_down(tmp_path: Path) -> None:
    """A loss stands in the history before it is accepted, and reading goes on behind it."""
    lost = LostRange(MDT, 1, 41, 60, 5)
    records = FakeRecords([block_of(MDT, LOG[:40])], lost, [block_of(MDT, LOG[60:])])
    kept = keeper(records, tmp_path, FakeClock())
    for _ in range(3):
        kept.step(0)
    kept.flush()

    archive = Archive(tmp_path)
    assert [each.record.index for each in archive.everything()] == [*range(1, 41), *range(61, 200)]
    (gap,) = archive.coverage.missing
    assert gap[:4] == (MDT, 1, 41, 60)
    assert (gap.after_ns, gap.before_ns) == (LOG[39].time_ns, LOG[60].time_ns)
    assert records.accepted == [lost]


def test_a_group_that_was_made_anew_says_what_it_missed(tmp_path: Path) -> None:
    """Where the group was removed meanwhile, what came in between is missing; a gap alone is legal."""
    keep(tmp_path, {MDT: LOG[:40]}, random.Random(1))
    records = FakeRecords([block_of(MDT, LOG[60:80])], [block_of(MDT, LOG[100:])])
    kept = keeper(records, tmp_path, FakeClock(), joined=True)
    kept.step(0)
    kept.step(0)
    kept.flush()

    archive = Archive(tmp_path)
    assert [each.record.index for each in archive.everything()] == [*range(1, 41), *range(61, 81), *range(101, 200)]
    assert [each[2:4] for each in archive.coverage.missing] == [(41, 60)]


def test_a_keeper_that_ended_before_the_first_block_of_its_group_still_says_what_it_missed(tmp_path: Path) -> None:
    """Which MDTs a new group has begun with is on the disk: the next process knows it, and asks each MDT once."""
    keep(tmp_path, {MDT: LOG[:40]}, random.Random(1))
    Joining(tmp_path).begin()  # and there this process ended
    for block in (block_of(MDT, LOG[60:80]), block_of(MDT, LOG[100:])):
        later = keeper(FakeRecords([block]), tmp_path, FakeClock())
        later.step(0)
        later.flush()
        later._writer.close()

    assert [each[2:4] for each in coverage(tmp_path).missing] == [(41, 60)]


def test_a_later_gap_is_told_beside_one_whose_records_nobody_knows(tmp_path: Path) -> None:
    """A gap without known records hides no later one of the same epoch: each lies between its own times."""
    writer = SegmentWriter(tmp_path, 90, 1 << 40)
    for first, last, lost in ((0, 20, None), (20, 50, (0, 0)), (100, 199, (51, 100))):
        if lost == (0, 0):
            writer.lose_some((MDT, 1), LOG[first].time_ns)
        elif lost:
            writer.lose((MDT, 1), *lost, LOG[first].time_ns)
        writer.add(block_of(MDT, LOG[first:last]))
        writer.flush(LOG[last - 1].time_ns)

    assert sorted(each[2:4] for each in coverage(tmp_path).missing) == [(0, 0), (51, 100)]


@each_row(
    ("first", "epoch", "time_ns", "missing"),
    [
        (61, 2, 10**18 + 61, [(41, 60)]),  # a new epoch goes on behind the last one
        (41, 2, 10**18 + 41, []),
        (21, 2, 10**18 + 21, []),  # it has the last ones again
        (1, 2, 10**18 + 99, [(0, 0)]),  # the MDT has begun to count anew meanwhile
    ],
)
def test_a_group_that_was_made_anew_says_what_it_missed_between_epochs(
    first: int, epoch: int, time_ns: int, missing: list[tuple[int, int]], tmp_path: Path
) -> None:
    """Also where the stream is another one meanwhile, what came while no history was kept is said to be missing."""
    keep(tmp_path, {MDT: LOG[:40]}, random.Random(1))
    record = b.create(first, name=b"new", index=first, time_ns=time_ns)
    kept = keeper(FakeRecords([block_of(MDT, [record], epoch)]), tmp_path, FakeClock(), joined=True)
    kept.step(0)
    kept.flush()

    archive = Archive(tmp_path)
    assert len(list(archive.everything())) == 41
    assert [each[2:4] for each in archive.coverage.missing] == missing


def coverage(folder: Path) -> Coverage:
    """Return what a look at all of a history has met."""
    archive = Archive(folder)
    assert list(archive.everything())
    return archive.coverage


def test_what_a_reader_marked_as_lost_is_missing_between_two_times(tmp_path: Path) -> None:
    """A mark stays in the history, with its reason and the times around it, though Redis forgets it."""
    marks = FakeService(Loss(MDT, 1, 41, 60, NOW_NS, "cleared by somebody"), Loss(MDT, 1, 150, 0, NOW_NS, "gone"))
    records = FakeRecords([block_of(MDT, LOG[:40] + LOG[60:120])])
    kept = keeper(records, tmp_path, FakeClock(), service=marks)
    kept.step(0)
    marks.marks.clear()
    kept.flush()

    gone, never_came = sorted(coverage(tmp_path).missing, key=lambda gap: -gap.first_index)
    assert gone == (MDT, 1, 150, 0, LOG[119].time_ns, FOREVER_NS, "gone")
    assert never_came[:4] == (MDT, 1, 41, 60)
    assert never_came.reason == "cleared by somebody"
    # Both ends lie in one frame.
    assert never_came.after_ns <= LOG[39].time_ns
    assert never_came.before_ns >= LOG[60].time_ns
    assert coverage(tmp_path).gaps_within(LOG[119].time_ns + 1, FOREVER_NS) == [gone]


@given(st.integers(1, 120), st.integers(0, 60), st.integers(0, 120), st.integers(1, 50))
@examples(60)
def test_only_what_the_history_does_not_have_itself_is_missing(
    first: int, size: int, had: int, blocks: int
) -> None:
    """Of records that an index lost, or a stream before they were committed, the history tells those it has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = FakeService(Loss(MDT, 1, first, first + size, NOW_NS, "the stream vanished"))
        kept = keeper(FakeRecords(cut(LOG[:had] + LOG[190:], blocks)), folder, FakeClock(), service=service)
        kept.step(0)
        kept.flush()

        has = {each.record.index for each in Archive(folder).everything()}
        lost = [index for index in range(first, first + size + 1) if index not in has]
        assert [gap[2:4] for gap in coverage(folder).missing] == ([(lost[0], lost[-1])] if lost else [])


def test_a_damaged_list_of_losses_is_said_and_written_again(tmp_path: Path) -> None:
    """What cannot be read is no reason to say that nothing is missing."""
    write(tmp_path, [block_of(MDT, LOG)])
    (tmp_path / MDT / "losses.json").write_text("[[1, 2")
    assert any("losses.json" in each for each in coverage(tmp_path).damaged)

    LossBook(tmp_path).note([Loss(MDT, 1, 300, 301, NOW_NS, "gone")], 0)
    assert not coverage(tmp_path).damaged
    assert [gap[2:4] for gap in coverage(tmp_path).missing] == [(300, 301)]


def test_losses_that_are_older_than_the_history_go(tmp_path: Path) -> None:
    """A loss is told as long as records of its time are kept."""
    book = LossBook(tmp_path)
    book.note([Loss(MDT, 1, 3, 3, 5, "old"), Loss(MDT, 1, 7, 7, 10, "newer")], 0)
    book.note([Loss(MDT, 1, 9, 9, 20, "newest")], 7)

    assert [each.reason for each in read(tmp_path, MDT)] == ["newer", "newest"]


def test_the_keeper_says_how_far_it_is_and_what_it_waits_for(tmp_path: Path) -> None:
    """It publishes its size, its first and last record's times, and, with a full disk, that it waits."""
    clock, service = FakeClock(), FakeService(Loss(MDT, 1, 41, 60, NOW_NS, "lost"))
    kept = keeper(
        FakeRecords([block_of(MDT, LOG[:90])], [block_of(MDT, LOG[90:])]), tmp_path, clock, service=service
    )
    kept.step(0)
    kept.flush()
    clock.advance(REPORT_SECONDS)
    kept.step(0)
    (segment,) = segments_in(tmp_path)
    assert service.told["bytes"] == str(segment.path.stat().st_size)
    assert service.told["oldest_ns"] == str(LOG[0].time_ns)
    assert service.told["newest_ns"] == str(LOG[89].time_ns)
    assert not service.told["waiting"]

    with no_room(int(service.told["bytes"])):
        kept.flush()
        clock.advance(REPORT_SECONDS)
        kept.step(0)
    assert "waiting" in service.told["waiting"]


@contextlib.contextmanager
def no_room(most_bytes: int) -> Iterator[None]:
    """Let this process make no file larger: the kernel writes a part and refuses the rest, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_with_a_full_disk_it_waits_and_loses_nothing(tmp_path: Path) -> None:
    """While the disk takes nothing, nothing is acknowledged or taken; with room again all is written, once."""
    clock, records = FakeClock(), FakeRecords(*([block] for block in cut(LOG, 90)))
    kept = keeper(records, tmp_path, clock)
    with no_room(500):
        for _ in range(4):
            kept.step(0)
            clock.advance(FLUSH_SECONDS)
        assert records.acknowledged == []
        assert len(records.script) == 1
        assert indexes(tmp_path) == []
    kept.step(0)
    kept.step(0)
    kept.flush()

    assert indexes(tmp_path) == [record.index for record in LOG]
    assert records.acknowledged == [90, 180, 199]
