"""The lustre source: raw blocks from the descriptor of a changelog, through the stand-in."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.changelog.record import UNLNK_LAST, iter_records
from lustre_events.errors import (
    ChangelogBroken,
    ChangelogRefused,
    ChangelogUnavailable,
    ChangelogUserUnknown,
    LibraryMissing,
)
from lustre_events.sources.interface import Source
from lustre_events.sources.lustre import LustreSource, discover
from tests.support.records.captures import each
from tests.support.records.raw import (
    as_recv_gives,
    capture,
    create,
    creates,
    from_the_future,
    indexes,
)
from tests.support.servers.standin import Standin
from tests.support.waiting import wait_for

MDT = "lustre-MDT0000"
LIMIT = 1 << 20
LONG_SECONDS = 10.0


@pytest.fixture
def source(standin: Standin) -> Iterator[LustreSource]:
    source = LustreSource(MDT, standin.path)
    yield source
    source.close()


def caught_up(source: LustreSource, limit_bytes: int = LIMIT) -> list[bytes]:
    """Read until nothing more comes for a moment."""
    return list(iter(lambda: source.read(limit_bytes, 0.1), b""))


def test_it_is_a_source(standin: Standin) -> None:
    """It has all that the reader needs, with the names and types of the interface, and never ends."""
    source: Source = LustreSource(MDT, standin.path)

    assert source.mdt == MDT
    assert not source.ended


# ---- reading ----


@pytest.mark.parametrize("folder", each())
@pytest.mark.parametrize("mdt", ["lustre-MDT0000", "lustre-MDT0001"])
def test_captured_records_come_out_as_the_device_gave_them(standin: Standin, folder: str, mdt: str) -> None:
    """Every byte of a real changelog arrives, in order, in blocks of whole records."""
    raw = capture(folder, mdt)
    standin.append(mdt, raw)
    source = LustreSource(mdt, standin.path)
    source.open(0)
    blocks = caught_up(source)
    source.close()

    assert b"".join(blocks) == raw
    assert all(indexes(block) for block in blocks)


def test_block_is_gathered_from_many_reads_up_to_the_limit(standin: Standin, source: LustreSource) -> None:
    """Blocks grow to about the limit: at least that where there is more, at most one read above."""
    standin.append(MDT, creates(1, 30_000))
    limit = 500_000
    source.open(0)
    # The stand-in sends while this reads, so the first blocks can be short.
    blocks = caught_up(source, limit)

    assert indexes(b"".join(blocks)) == list(range(1, 30_001))
    assert max(map(len, blocks)) <= limit + (256 << 10)
    assert max(map(len, blocks)) > 64 << 10


def test_small_limit_still_gives_a_record(standin: Standin, source: LustreSource) -> None:
    """A limit below the size of a record never makes a read come back empty."""
    standin.append(MDT, creates(1, 3))
    source.open(0)

    assert source.read(1, LONG_SECONDS) != b""


def test_open_begins_at_the_index_asked_for(standin: Standin, source: LustreSource) -> None:
    """The first record is the first whose index is not below; opening again closes first."""
    standin.append(MDT, creates(1, 9))
    source.open(0)
    source.open(7)

    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [7, 8, 9]
    assert standin.leaks == 1


def test_new_records_arrive_while_it_waits(standin: Standin, source: LustreSource) -> None:
    """A read that waits returns what comes, long before its timeout."""
    source.open(0)
    timer = threading.Timer(0.05, standin.append, (MDT, create(1)))
    timer.start()
    began = time.monotonic()
    raw = source.read(LIMIT, LONG_SECONDS)
    timer.join()

    assert indexes(raw) == [1]
    assert time.monotonic() - began < LONG_SECONDS / 2


def test_nothing_new_gives_nothing_at_the_timeout(source: LustreSource) -> None:
    """Caught up is b"", after the timeout and not much later."""
    source.open(0)
    began = time.monotonic()

    assert source.read(LIMIT, 0.05) == b""
    assert 0.04 < time.monotonic() - began < 5


@pytest.mark.parametrize("timeout_seconds", [0.0, -1.0])
def test_no_timeout_only_looks(standin: Standin, source: LustreSource, timeout_seconds: float) -> None:
    """A timeout of 0 or less gives what is there and does not wait."""
    standin.append(MDT, create(1))
    source.open(0)
    wait_for(lambda: source.read(LIMIT, timeout_seconds) != b"")

    assert source.read(LIMIT, timeout_seconds) == b""


# ---- opening again while it waits ----

KERNEL_SECONDS = 60.0
"""How often the kernel looks in these tests: never in time."""


def test_what_follows_is_seen_soon_where_the_changelog_is_opened_again(standin: Standin) -> None:
    """With `reopen_seconds` a busy MDT's next records come before the kernel looks, each once."""
    source = LustreSource(MDT, standin.path, reopen_seconds=0.05)
    standin.append(MDT, create(1))
    standin.set_follow(KERNEL_SECONDS)
    source.open(0)
    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [1]
    time.sleep(0.1)  # now it waits for the kernel
    standin.append(MDT, creates(2, 3))

    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [2, 3]
    source.close()


@pytest.mark.parametrize("records", [0, 1])
def test_a_quiet_mdt_is_not_opened_again(standin: Standin, records: int) -> None:
    """Before its first records, and once the last ones are a while ago, only the kernel looks."""
    source = LustreSource(MDT, standin.path, reopen_seconds=0.01, busy_seconds=0.0)
    if records:
        standin.append(MDT, create(1))
    source.open(0)
    assert len(source.read(LIMIT, LONG_SECONDS) if records else b"") >= records
    handle = source.handle

    assert source.read(LIMIT, 0.2) == b""
    assert source.handle == handle
    source.close()


# ---- waking ----


def test_wake_ends_a_read_that_waits(source: LustreSource) -> None:
    """From another thread, wake makes a waiting read return b"" at once."""
    source.open(0)
    timer = threading.Timer(0.05, source.wake)
    timer.start()
    began = time.monotonic()

    assert source.read(LIMIT, 60) == b""
    assert time.monotonic() - began < LONG_SECONDS
    timer.join()


def test_wake_before_the_read_counts_once(standin: Standin, source: LustreSource) -> None:
    """A wake between two reads, or before open, ends the next read that would wait; one after that waits again."""
    source.wake()
    source.open(0)
    assert source.read(LIMIT, 60) == b""

    standin.append(MDT, create(1))
    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [1]


def test_wake_loses_no_records(standin: Standin, source: LustreSource) -> None:
    """Records that are there come before the b"" of a wake."""
    standin.append(MDT, creates(1, 5))
    source.open(0)
    source.wake()
    blocks = [source.read(LIMIT, 60), source.read(LIMIT, 60)]
    blocks.append(source.read(LIMIT, 0.1))

    assert indexes(b"".join(blocks)) == [1, 2, 3, 4, 5]
    assert b"" in blocks


def test_wake_works_from_a_signal_handler(source: LustreSource) -> None:
    """SIGTERM's handler may call wake: the read ends, though the interrupted poll goes on by itself."""
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: source.wake())
    source.open(0)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        assert source.read(LIMIT, 60) == b""
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_wake_of_a_closed_source_is_harmless(source: LustreSource) -> None:
    """A late wake writes to nothing that somebody else could own by now."""
    source.open(0)
    source.close()
    source.wake()
    source.close()

    with pytest.raises(ChangelogBroken, match="not open; open it first"):
        source.read(LIMIT, 0)


def test_no_descriptor_stays_behind(standin: Standin) -> None:
    """After a source was opened, closed and dropped, the process has as many descriptors as before."""
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    source = LustreSource(MDT, standin.path)
    for _ in range(3):
        source.open(0)
        source.read(LIMIT, 0)
    source.close()
    del source

    assert len(list(descriptors.iterdir())) == before


# ---- clearing ----


def test_clear_reaches_the_mdt(standin: Standin, source: LustreSource) -> None:
    """The user moves; unknown users and 0 are refused as the interface says."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 9))
    source.clear(user, 4)

    assert standin.position(MDT, user) == 4
    with pytest.raises(ChangelogUserUnknown):
        source.clear("cl9", 4)
    with pytest.raises(ChangelogRefused):
        source.clear(user, 0)


def test_records_cleared_under_an_open_reader_still_arrive(standin: Standin, source: LustreSource) -> None:
    """Another handle's clear does not disturb the records that were read ahead."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 9))
    source.open(0)
    first = source.read(LIMIT, LONG_SECONDS)
    source.clear(user, 9)
    standin.append(MDT, create(10))

    assert indexes(first + b"".join(caught_up(source))) == list(range(1, 11))


# ---- failures ----


def test_missing_library_shows_at_open_and_not_before() -> None:
    """Making a source needs no Lustre; opening or clearing without the library says what to do."""
    source = LustreSource(MDT, "/nowhere/liblustreapi.so")

    with pytest.raises(LibraryMissing, match=r"/nowhere/liblustreapi\.so"):
        source.open(0)
    with pytest.raises(LibraryMissing):
        source.clear("cl1", 1)


def test_unknown_mdt_cannot_be_opened(standin: Standin) -> None:
    """A wrong MDT name is one clear sentence."""
    with pytest.raises(ChangelogUnavailable, match="lustre-MDT0077: no changelog of an MDT"):
        LustreSource("lustre-MDT0077", standin.path).open(0)


def test_restart_of_the_mdt_breaks_and_opening_again_loses_nothing(standin: Standin, source: LustreSource) -> None:
    """After ChangelogBroken, open at the last index + 1 goes on where it was; until then each read says it."""
    standin.register(MDT)
    standin.append(MDT, creates(1, 5))
    source.open(0)
    before = source.read(LIMIT, LONG_SECONDS)
    standin.restart(MDT)
    standin.append(MDT, creates(6, 8))
    for _ in range(2):
        with pytest.raises(ChangelogBroken, match=r"open it again at the last index \+ 1"):
            source.read(LIMIT, LONG_SECONDS)
    source.open(indexes(before)[-1] + 1)

    assert indexes(b"".join(caught_up(source))) == [6, 7, 8]


def test_end_of_a_followed_changelog_is_a_failure(standin: Standin, source: LustreSource) -> None:
    """A 0 from the device, the end, must not spin or pass for 'caught up' when it was opened to follow."""
    source.open(0)
    standin.restart(MDT)
    with pytest.raises(ChangelogBroken):
        source.read(LIMIT, LONG_SECONDS)
    source._failure = None  # what the device gives from here on is 0

    with pytest.raises(ChangelogBroken, match="ended, although it was opened to be followed"):
        source.read(LIMIT, LONG_SECONDS)


def test_torn_record_breaks_behind_the_whole_ones(standin: Standin, source: LustreSource) -> None:
    """What is whole before a torn record is returned first; then the break; opening again gives all of it."""
    standin.append(MDT, creates(1, 2))
    source.open(0)
    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [1, 2]
    standin.inject(MDT, creates(3, 4)[:-7])

    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [3]
    with pytest.raises(ChangelogBroken, match=r"not whole \(torn record.*at index 4 or above.*nothing was lost"):
        source.read(LIMIT, LONG_SECONDS)
    standin.append(MDT, creates(3, 5))
    source.open(4)
    assert indexes(b"".join(caught_up(source))) == [4, 5]


def test_garbage_is_never_returned(standin: Standin, source: LustreSource) -> None:
    """Bytes that are no record break the handle without giving anything."""
    source.open(0)
    standin.inject(MDT, b"\xff" * 200)

    with pytest.raises(ChangelogBroken, match="not whole"):
        source.read(LIMIT, LONG_SECONDS)


def test_unmounted_client_breaks_instead_of_staying_silent(standin: Standin, tmp_path: Path) -> None:
    """When the mount goes the device stays and says nothing: a quiet read notices, and so does open."""
    mounts = tmp_path / "mounts"
    other = "10.0.0.1@tcp:/other /mnt/other lustre rw 0 0\nproc /lustre proc rw 0 0\n"
    mounts.write_text(other + "10.0.0.1@tcp:10.0.0.2@tcp:/lustre/sub /mnt/l lustre rw 0 0\n", encoding="utf-8")
    source = LustreSource(MDT, standin.path, mounts=mounts)
    source.open(0)
    assert source.read(LIMIT, 0) == b""

    mounts.write_text(other, encoding="utf-8")
    with pytest.raises(ChangelogBroken, match="file system lustre is no longer mounted on this node; mount it"):
        source.read(LIMIT, 0)
    with pytest.raises(ChangelogUnavailable, match="no longer mounted"):
        source.open(0)
    source.close()


# ---- records of a later Lustre ----


def test_unknown_extension_is_read_through_the_library(
    standin: Standin, source: LustreSource, caplog: pytest.LogCaptureFixture
) -> None:
    """From the first record of unknown length on, recv gives the records: all, in order, once, with one warning."""
    standin.append(MDT, creates(1, 3) + from_the_future(4, b"later") + create(5))
    source.open(0)
    with caplog.at_level(logging.WARNING):
        raw = b"".join(caught_up(source))
        standin.append(MDT, from_the_future(6) + create(7))
        raw += b"".join(caught_up(source))

    records = list(iter_records(raw))
    assert [record.index for record in records] == [1, 2, 3, 4, 5, 6, 7]
    assert (records[3].name, records[3].uid) == (b"later", 1000)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        f"reading {MDT} through liblustreapi from now on, which is slower"
    ]


def test_unknown_extension_at_the_very_beginning(standin: Standin, source: LustreSource) -> None:
    """The change also works where no record came before, and stays for later opens."""
    standin.append(MDT, from_the_future(8) + create(9))
    source.open(8)
    first = caught_up(source)
    source.open(9)

    assert indexes(b"".join(first)) == [8, 9]
    assert indexes(b"".join(caught_up(source))) == [9]


def test_change_that_fails_breaks_and_can_be_repeated(standin: Standin, source: LustreSource) -> None:
    """An MDT that cannot be opened at that moment is an ordinary break, behind the records before it."""
    standin.append(MDT, creates(1, 2) + from_the_future(3))
    source.open(0)
    standin.fail_next("start", errno.ENODEV)

    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [1, 2]
    with pytest.raises(ChangelogBroken, match="ENODEV"):
        source.read(LIMIT, LONG_SECONDS)
    source.open(3)
    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [3]


def test_break_while_reading_through_the_library(standin: Standin, source: LustreSource) -> None:
    """Records gathered before recv fails are returned first; the failure follows."""
    standin.append(MDT, from_the_future(1))
    source.open(0)
    assert indexes(source.read(LIMIT, LONG_SECONDS)) == [1]
    standin.restart(MDT)

    with pytest.raises(ChangelogBroken, match="broke off"):
        source.read(LIMIT, LONG_SECONDS)


@pytest.mark.parametrize("folder", each())
def test_both_ways_give_the_same_records(standin: Standin, folder: str) -> None:
    """Read raw or through the library, the captures differ only in the version flag that recv adds."""
    raw = capture(folder, MDT)
    standin.append(MDT, from_the_future(0) + raw)
    source = LustreSource(MDT, standin.path)
    source.open(0)
    received = b"".join(caught_up(source))
    source.close()

    first, *others = as_recv_gives(received)
    assert indexes(first) == [0]
    assert others == as_recv_gives(raw)
    assert b"".join(others) == received[len(first) :]


def test_older_library_is_enough(old_path: Path) -> None:
    """Neither way of reading needs in_buf (Lustre 2.13) or start_user (2.17.50)."""
    standin = Standin(old_path)
    standin.reset()
    standin.append(MDT, create(1, flags=0x9000 | UNLNK_LAST) + from_the_future(2))
    source = LustreSource(MDT, standin.path)
    source.open(0)
    received = b"".join(caught_up(source))
    source.close()
    leaks = standin.leaks
    standin.reset()

    assert indexes(received) == [1, 2]
    assert leaks == 0


# ---- discovery ----


def test_discover_finds_the_changelog_devices(tmp_path: Path) -> None:
    """The MDTs of this node are the devices /dev/changelog-*, sorted; other names are left out."""
    for name in ("changelog-b-MDT0001", "changelog-a-x-MDT000f", "changelog-odd", "changelog-a-MDT00001", "null"):
        (tmp_path / name).touch()

    assert discover(tmp_path) == ["a-x-MDT000f", "b-MDT0001"]
    assert discover(tmp_path / "missing") == []
