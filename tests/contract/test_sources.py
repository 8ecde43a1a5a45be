"""What every source promises the reader: the same tests on a recording, a directory and the stand-in's MDT."""

from __future__ import annotations

import gzip
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lustre_events.changelog.record import HEADER_BYTES, MAX_RECORD_BYTES, index_of, iter_records, scan
from lustre_events.errors import ChangelogBroken, ChangelogRefused, ChangelogUserUnknown
from lustre_events.sources.directory import DirectorySource
from lustre_events.sources.interface import Source
from lustre_events.sources.lustre import LustreSource
from lustre_events.sources.replay import ReplaySource
from tests.support.records.builders import create, raw
from tests.support.servers.standin import Standin, build

MDT = "lustre-MDT0000"
USER = "cl1"
LIMIT = 1 << 20
RECORDS = 20


class Changelog(ABC):
    """An MDT with at least RECORDS records, and handles on it."""

    live = True
    """Whether records can still come; a recording has an end."""
    block_bytes = 0
    """By how much a read may pass its limit."""

    @abstractmethod
    def handle(self) -> Source:
        """Return a new handle."""

    @abstractmethod
    def close(self) -> None:
        """End what was begun."""


class Recording(Changelog):
    """A gzipped file; clears are remembered by its one handle."""

    live = False

    def __init__(self, tmp_path: Path) -> None:
        path = tmp_path / f"{MDT}.raw.gz"
        path.write_bytes(
            gzip.compress(raw(*(create(fid=n, index=2 * n, name=b"f") for n in range(1, RECORDS + 1))))
        )
        self.source = ReplaySource(MDT, path)

    def handle(self) -> Source:
        """Return the handle."""
        return self.source

    def close(self) -> None:
        """Nothing."""


class Directory(Changelog):
    """A directory with files in it."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        (tmp_path / "top").mkdir()
        for number in range(RECORDS):
            (tmp_path / "top" / f"{number}").write_text("x")
        self.handles: list[Source] = []

    def handle(self) -> Source:
        """Return a handle; the first that is open watches."""
        self.handles.append(DirectorySource(self.tmp_path / "top", MDT, state_dir=self.tmp_path / "state"))
        return self.handles[-1]

    def close(self) -> None:
        """Close all handles."""
        for handle in self.handles:
            handle.close()


class Lustre(Changelog):
    """The binding over the stand-in for liblustreapi."""

    block_bytes = 256 << 10

    def __init__(self, library: Path) -> None:
        self.standin = Standin(library)
        self.standin.reset()
        self.standin.add_mdt(MDT)
        assert self.standin.register(MDT) == USER
        self.standin.append(MDT, raw(*(create(fid=n, index=n, name=b"f") for n in range(1, RECORDS + 1))))
        self.handles: list[Source] = []

    def handle(self) -> Source:
        """Return a handle."""
        self.handles.append(LustreSource(MDT, self.standin.path))
        return self.handles[-1]

    def close(self) -> None:
        """Close all handles."""
        for handle in self.handles:
            handle.close()
        self.standin.reset()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("standin"))


@pytest.fixture(params=[Recording, Directory, Lustre])
def changelog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Changelog]:
    """Each kind of changelog."""
    kind: Any = request.param
    changelog: Changelog = kind(request.getfixturevalue("library") if kind is Lustre else tmp_path)
    yield changelog
    changelog.close()


@pytest.fixture
def source(changelog: Changelog) -> Source:
    return changelog.handle()


def everything(source: Source, start_index: int = 0, limit_bytes: int = LIMIT) -> list[bytes]:
    """Open at an index and read until nothing comes."""
    source.open(start_index)
    blocks = []
    while data := source.read(limit_bytes, 0.3):
        blocks.append(data)
    return blocks


def indexes(blocks: list[bytes]) -> list[int]:
    return [record.index for block in blocks for record in iter_records(block)]


def test_blocks_are_whole_records_in_order(source: Source) -> None:
    """From index 0 come all records, whole, each with a greater index than the one before."""
    found = indexes(everything(source))

    assert len(found) >= RECORDS
    assert found == sorted(set(found))


def test_a_block_is_never_less_than_one_record_and_about_its_limit(source: Source, changelog: Changelog) -> None:
    """The smallest limit gives every record all the same; a limit is passed by no more than the source says."""
    whole = everything(source)
    one_by_one = everything(source, limit_bytes=1)
    small = everything(source, limit_bytes=MAX_RECORD_BYTES)

    assert b"".join(one_by_one) == b"".join(small) == b"".join(whole)
    assert all(len(block) <= MAX_RECORD_BYTES + changelog.block_bytes for block in [*one_by_one, *small])
    if not changelog.block_bytes:
        assert all(scan(block).count == 1 for block in one_by_one)


def test_it_begins_at_the_first_record_not_below_the_start(source: Source) -> None:
    """Opened at each index in turn, also at one that no record has, the rest comes and nothing before it."""
    found = indexes(everything(source))

    for start in (found[0], found[3], found[3] + 1, found[-1]):
        assert indexes(everything(source, start)) == [index for index in found if index >= start]


def test_a_record_is_the_same_at_each_reading(source: Source, changelog: Changelog) -> None:
    """Closed and opened at the last index + 1, the blocks continue; a second handle sees the same bytes."""
    whole = b"".join(everything(source))
    source.open(0)
    first = source.read(MAX_RECORD_BYTES, 0.3)
    source.close()
    rest = everything(source, scan(first).last_index + 1)

    assert first + b"".join(rest) == whole
    assert b"".join(everything(changelog.handle())) == whole


def test_a_negative_start_is_refused(source: Source) -> None:
    """There is no record below index 0."""
    with pytest.raises(ChangelogRefused):
        source.open(-1)


def test_nothing_new_is_said_within_the_timeout(source: Source) -> None:
    """When all was read, b"" comes at the timeout (a recording does not wait), again and again."""
    everything(source)
    start = time.monotonic()

    assert source.read(LIMIT, 0.05) == b""
    assert source.read(LIMIT, 0) == b""
    assert time.monotonic() - start < 2


def test_only_a_recording_ends(source: Source, changelog: Changelog) -> None:
    """`ended` is true only behind the last record of a source to which nothing can come."""
    source.open(0)

    assert not source.ended

    everything(source)

    assert source.ended is not changelog.live


def test_a_wake_from_a_signal_handler_ends_the_wait(source: Source) -> None:
    """A read that waits returns b"" at once, and the next one waits again."""
    everything(source)
    previous = signal.signal(signal.SIGALRM, lambda *_: source.wake())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        start = time.monotonic()

        assert source.read(LIMIT, 30) == b""
        assert time.monotonic() - start < 10

        while not source.ended and time.monotonic() - start < 0.15:
            assert source.read(LIMIT, 0.01) == b""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_a_wake_before_the_read_is_not_lost(source: Source) -> None:
    """`wake` between two reads makes the next one that would wait return."""
    everything(source)
    source.wake()
    start = time.monotonic()

    assert source.read(LIMIT, 30) == b""
    assert time.monotonic() - start < 10


def test_cleared_records_are_gone_and_others_stay(source: Source) -> None:
    """After a clear the oldest record is the next one; repeating the clear is allowed, and so is going on."""
    found = indexes(everything(source))
    source.clear(USER, found[4])
    source.clear(USER, found[4])

    assert indexes(everything(source)) == found[5:]

    source.clear(USER, found[-1])

    assert indexes(everything(source)) == []


def test_a_clear_of_nothing_or_past_the_end_is_refused(source: Source) -> None:
    """0 would mean "everything" to an MDT; neither changes anything."""
    found = indexes(everything(source))

    for index in (0, -1, found[-1] + 1):
        with pytest.raises(ChangelogRefused):
            source.clear(USER, index)
    assert indexes(everything(source)) == found


def test_a_clear_below_the_mark_looks_like_an_unknown_user(source: Source) -> None:
    """An MDT answers -ENOENT to both; so do the others."""
    found = indexes(everything(source))
    source.clear(USER, found[4])

    with pytest.raises(ChangelogUserUnknown):
        source.clear(USER, found[3])


def test_closing_twice_is_fine_and_reading_then_is_not(source: Source) -> None:
    """A closed source says that it must be opened; opened again it goes on."""
    whole = everything(source)
    source.close()
    source.close()

    with pytest.raises(ChangelogBroken, match="open it"):
        source.read(LIMIT, 0)
    assert everything(source) == whole


def test_peek_shows_the_first_record_left_and_disturbs_nothing(source: Source) -> None:
    """A look gives the header of the first record from an index on, before, while and after the source is read."""
    found = indexes(everything(source))
    source.open(0)
    first = source.read(MAX_RECORD_BYTES, 0.3)

    assert source.peek(0) == first[:HEADER_BYTES]
    assert [index_of(source.peek(index)) for index in found] == found
    assert source.peek(found[-1] + 1) == b""
    assert indexes([first, *iter(lambda: source.read(LIMIT, 0.3), b"")]) == found

    source.clear(USER, found[4])

    assert index_of(source.peek(0)) == found[5]

    source.close()

    assert index_of(source.peek(0)) == found[5]


def test_each_opening_is_another_handle(source: Source) -> None:
    """Whoever must know whether it is still the same handle can see it."""
    source.open(0)
    first = source.handle
    source.read(LIMIT, 0)

    assert source.handle == first

    source.open(0)

    assert source.handle != first


def test_a_registered_user_is_known(source: Source) -> None:
    """The user that clears is one that is known, or it cannot be told."""
    source.open(0)

    assert source.knows(USER) is not False
