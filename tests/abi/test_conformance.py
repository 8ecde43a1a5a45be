"""What Lustre's own tests pin about changelogs, and what a live Lustre was seen to do: one test per line.

The list is section 5 of the facts (sanity 60i, 160, 161; recovery-small 60, 136, 163; conf-sanity 135;
sanity-hsm). The MDT is the stand-in, the reader is the real one over streams in memory.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lustre_events import llapi
from lustre_events.changelog.record import ChangelogRecord, RecordType, iter_records
from lustre_events.changelog.text import to_json
from lustre_events.config.settings import ReaderSettings
from lustre_events.domain.namespace import Link, Place, merge
from lustre_events.domain.record_meaning import effects
from lustre_events.errors import ChangelogRefused, ChangelogUnavailable, ChangelogUserUnknown
from lustre_events.reader import Reader
from lustre_events.reader.continuity import INDEX_BEGAN_ANEW, USER_GONE
from lustre_events.sources.lustre import LustreSource
from lustre_events.streams.memory import MemoryReaderStream, MemoryStore
from tests.support.records import builders as b
from tests.support.records.raw import as_recv_gives, capture, create, creates, from_the_future, indexes
from tests.support.servers.standin import Standin
from tests.support.waiting import wait_for

MDT = "lustre-MDT0000"
QUICK: dict[str, Any] = {
    "user": "cl1",
    "linger_ms": 0,
    "poll_seconds": 0.02,
    "clear_interval_seconds": 0.02,
    "keepalive_seconds": 0.1,
    "probe_seconds": 0.1,
}


class Reading:
    """A reader of the stand-in's MDT in a thread, and what it has stored."""

    def __init__(self, standin: Standin, mounts: Path) -> None:
        self._standin = standin
        self._mounts = mounts
        self.store = MemoryStore()
        self._reader: Reader | None = None
        self._thread = threading.Thread()

    def start(self, **settings: Any) -> None:
        """Start one more reader."""
        self._reader = Reader(
            LustreSource(MDT, self._standin.path, mounts=self._mounts),
            MemoryReaderStream(self.store, MDT),
            ReaderSettings(**{**QUICK, **settings}),
        )
        self._thread = threading.Thread(target=self._reader.run)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        if self._reader is not None:
            self._reader.stop()
            self._thread.join(30)
            assert not self._thread.is_alive()

    @property
    def raw(self) -> list[bytes]:
        """Return the bytes of each epoch."""
        epochs = list(self.store.epochs.get(MDT, []))
        return [b"".join(block.data for block in list(self.store.streams[MDT, epoch].blocks)) for epoch in epochs]

    @property
    def indexes(self) -> list[list[int]]:
        """Return the indexes of each epoch."""
        return [indexes(raw) for raw in self.raw]

    def losses(self) -> list[tuple[int, int, str]]:
        """Return first, last and reason of every loss."""
        return [(loss.first_index, loss.last_index, loss.reason) for loss in self.store.losses.get(MDT, [])]


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text("10.0.0.1@tcp:/lustre /mnt/lustre lustre rw 0 0\n")
    return path


@pytest.fixture
def reading(standin: Standin, mounts: Path) -> Iterator[Reading]:
    """A reader, not started yet, on an MDT with a changelog user."""
    assert standin.register(MDT) == "cl1"
    reading = Reading(standin, mounts)
    yield reading
    reading.stop()


def read_all(standin: Standin, **options: Any) -> list[ChangelogRecord]:
    """Return all records that a new handle gives."""
    with llapi.Changelog.open(llapi.load(standin.path), MDT, **options) as changelog:
        changelog.set_xflags(llapi.ALL_EXTRA)
        return [next(iter_records(raw)) for raw in iter(changelog.recv, None)]


def oldest(standin: Standin) -> int:
    return read_all(standin)[0].index


def namespace(records: list[ChangelogRecord]) -> dict[Place, Link]:
    """Return the names that records leave behind."""
    links: dict[Place, Link] = {}
    for record in records:
        merge(links, record.index.to_bytes(26, "big"), effects(record))
    return links


def test_target_of_creat_is_the_file_and_its_parent_has_a_path(standin: Standin, library: llapi.Library) -> None:
    """160a, 161d: CREAT's target is the file's FID, and its parent resolves to the directory's current path."""
    standin.append(MDT, b.raw(b.mkdir(fid=7, name=b"old", index=1), b.create(fid=8, parent=7, name=b"f", index=2)))
    standin.set_mount("/mnt/lustre")
    standin.add_path(str(b.fid_of(7)), b"renamed")
    _, record = read_all(standin)

    assert record.target == b.fid_of(8)
    assert llapi.fid2path(library, "/mnt/lustre", record.parent) == [b"renamed"]


def test_clear_moves_by_exactly_that(standin: Standin, library: llapi.Library) -> None:
    """160a: clearing +3 moves the user by 3, and the oldest record is the slowest user's index + 1."""
    users = [standin.register(MDT), standin.register(MDT)]
    standin.append(MDT, creates(1, 10))
    llapi.clear(library, MDT, users[0], 3)

    assert (standin.position(MDT, users[0]), oldest(standin)) == (3, 1)

    llapi.clear(library, MDT, users[1], 5)

    assert (standin.position(MDT, users[1]), oldest(standin)) == (5, 4)


def test_refused_clears_change_nothing(standin: Standin, library: llapi.Library) -> None:
    """160e: past the end is EINVAL, an unknown user ENOENT."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 5))
    with pytest.raises(ChangelogRefused) as past_the_end:
        llapi.clear(library, MDT, user, 6)
    with pytest.raises(ChangelogUserUnknown) as unknown:
        llapi.clear(library, MDT, "cl77", 3)

    assert (past_the_end.value.errno, unknown.value.errno) == (errno.EINVAL, errno.ENOENT)
    assert (standin.position(MDT, user), oldest(standin)) == (0, 1)


def test_longest_names_survive(reading: Reading, standin: Standin) -> None:
    """160b, 160u: of a RENME both names of 255 bytes are exact, whatever bytes they are."""
    old, new = b"\xff\n " * 85, b"\xe9" * 255
    standin.append(MDT, b.raw(b.rename(fid=1, name=old, to=new, index=1)))
    reading.start()
    wait_for(lambda: reading.indexes == [[1]])
    (record,) = iter_records(reading.raw[0])

    assert (record.name, record.source_name) == (new, old)


def test_masked_types_do_not_arrive(standin: Standin) -> None:
    """160c, 160o, 160w: a user's mask is what a handle of that user gives."""
    user = standin.register(MDT, "robin", 1 << RecordType.CREAT | 1 << RecordType.UNLNK)
    standin.append(MDT, b.raw(b.create(index=1), b.close(index=2), b.unlink(index=3), b.sattr(index=4)))

    assert [record.index for record in read_all(standin, user=user)] == [1, 3]
    assert [record.index for record in read_all(standin)] == [1, 2, 3, 4]


def test_a_dropped_user_is_noticed(reading: Reading, standin: Standin) -> None:
    """160f, g, h, s, t, x: the MDS drops our user without a word; other users' records stay."""
    other = standin.register(MDT)
    standin.append(MDT, creates(1, 5))
    reading.start()
    wait_for(lambda: standin.position(MDT, "cl1") == 5)
    standin.deregister(MDT, "cl1")
    wait_for(lambda: bool(reading.losses()))
    standin.append(MDT, creates(6, 7))
    wait_for(lambda: reading.indexes == [list(range(1, 8))])

    assert reading.losses() == [(6, 0, USER_GONE)]
    assert standin.position(MDT, other) == 0
    assert oldest(standin) == 1


def test_two_clears_at_once_and_a_long_one(standin: Standin, library: llapi.Library) -> None:
    """160m, 160n: clears of two users at the same time, each of more than 65,000 records."""
    users = [standin.register(MDT), standin.register(MDT)]
    standin.append(MDT, creates(1, 66_000))
    threads = [threading.Thread(target=llapi.clear, args=(library, MDT, user, 65_999)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [standin.position(MDT, user) for user in users] == [65_999, 65_999]
    assert oldest(standin) == 66_000


def test_records_that_race_with_the_reader_arrive(reading: Reading, standin: Standin) -> None:
    """160k, 60i, conf-sanity 135: while it reads and clears, the log grows at one end and shrinks at the other."""
    reading.start()
    for first in range(1, 20_000, 50):
        standin.append(MDT, creates(first, first + 49))
    wait_for(lambda: standin.position(MDT, "cl1") == 20_000)

    assert reading.indexes == [list(range(1, 20_001))]
    assert reading.losses() == []


def test_an_unmounted_client_is_said(
    reading: Reading, standin: Standin, mounts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """160j: the device stays and is silent; the reader says so, does not crash, and goes on when it is mounted."""
    standin.append(MDT, creates(1, 3))
    reading.start()
    wait_for(lambda: reading.indexes == [[1, 2, 3]])
    mounted = mounts.read_text()
    with caplog.at_level(logging.WARNING):
        standin.unmount(MDT)
        mounts.write_text("")
        wait_for(lambda: "no longer mounted" in caplog.text)
    standin.append(MDT, creates(4, 5))
    mounts.write_text(mounted)
    standin.mount(MDT)
    wait_for(lambda: reading.indexes == [[1, 2, 3, 4, 5]])

    assert reading.losses() == []


def test_a_start_on_a_silent_device_ends(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    """160j: a new handle of an unmounted client says nothing either; a look through one has an end."""
    monkeypatch.setattr("lustre_events.sources.lustre.PEEK_SECONDS", 0.1)
    standin.append(MDT, creates(1, 3))
    standin.unmount(MDT)

    with pytest.raises(ChangelogUnavailable, match="silent"):
        LustreSource(MDT, standin.path).peek(0)


def test_mtime_is_a_change_of_the_target_only(standin: Standin) -> None:
    """160l: MTIME comes for setattr and for close; its parent is not to be relied on and names nothing."""
    standin.append(MDT, b.raw(b.create(fid=1, index=1), b.mtime(fid=1, parent=99, name=b"", index=2)))
    records = read_all(standin)

    assert records[1].target == b.fid_of(1)
    assert effects(records[1]) == ()


def test_hard_links_and_their_renames_and_removals(standin: Standin) -> None:
    """161a, 161b: all names of a file are known, and followed."""
    standin.append(
        MDT,
        b.raw(
            b.create(fid=1, name=b"a", index=1),
            b.link(fid=1, name=b"b", index=2),
            b.link(fid=1, parent=5, name=b"c", index=3),
            b.rename(fid=1, name=b"b", to=b"d", to_parent=5, index=4),
            b.unlink(fid=1, name=b"a", last=False, index=5),
        ),
    )
    links = namespace(read_all(standin))

    assert {place for place, link in links.items() if link.fid == b.fid_of(1)} == {
        (b.fid_of(5), b"c"),
        (b.fid_of(5), b"d"),
    }


def test_flags_of_last_links(standin: Standin) -> None:
    """161c: UNLNK 1 is the last link, RENME 1 the last link of what was overwritten."""
    standin.append(
        MDT,
        b.raw(
            b.unlink(fid=1, last=False, index=1),
            b.unlink(fid=1, last=True, index=2),
            b.rename(fid=2, over=3, last=True, index=3),
            b.rename(fid=2, over=4, last=False, index=4),
        ),
    )

    assert [record.flags & 0x0FFF for record in read_all(standin)] == [0, 1, 1, 0]


def test_small_gaps_are_legal(reading: Reading, standin: Standin) -> None:
    """163: failed writes use up indexes, also where a reader goes on: nothing is said to be lost."""
    standin.append(MDT, b"".join(create(index) for index in (1, 2, 5)))
    reading.start()
    wait_for(lambda: standin.position(MDT, "cl1") == 5)
    reading.stop()
    standin.append(MDT, create(9))
    reading.start()
    wait_for(lambda: standin.position(MDT, "cl1") == 9)

    assert reading.indexes == [[1, 2, 5, 9]]
    assert reading.losses() == []


def test_5000_unlinks_across_a_failover(reading: Reading, standin: Standin) -> None:
    """Recovery-small 60, 136: the MDT restarts in the middle, handles die with EIO; every unlink is seen once."""
    removals = [b.raw(b.unlink(fid=n, name=b"f%d" % n, index=n)) for n in range(1, 5001)]
    reading.start()
    for at in range(0, 5000, 500):
        standin.append(MDT, b"".join(removals[at : at + 500]))
        if at % 1500 == 0:
            standin.restart(MDT)
    wait_for(lambda: standin.position(MDT, "cl1") == 5000)

    assert reading.raw == [b"".join(removals)]
    assert reading.losses() == []


def test_hsm_events_decode(standin: Standin) -> None:
    """220-227: the type's bits of an HSM record are error, event and flags; real ones too."""
    standin.append(MDT, b.raw(b.hsm(flags=5 | 1 << 7 | 1 << 10, index=1), b.hsm(flags=3 << 7, index=2)))
    restored, released = (to_json(record)["hsm"] for record in read_all(standin))
    real = [to_json(record)["hsm"] for record in iter_records(capture("06-hsm-allmask", MDT)) if record.type == 16]

    assert restored == {"event": "restore", "error": 5, "flags": 1}
    assert released == {"event": "release", "error": 0, "flags": 0}
    assert {each["event"] for each in real} >= {"archive", "restore", "release"}


@pytest.mark.parametrize("indexes", [(1, 2), (1, 5), (1, 9)], ids=["below", "at", "beyond"])
@pytest.mark.parametrize("follows", [True, False], ids=["while it follows", "while nobody reads"])
def test_an_index_that_began_anew(
    reading: Reading, standin: Standin, indexes: tuple[int, int], *, follows: bool
) -> None:
    """Seen: a restart without a user counts from 1 again. A new epoch, none of its records lost, and it is said."""
    standin.append(MDT, creates(1, 5))
    reading.start()
    wait_for(lambda: standin.position(MDT, "cl1") == 5)
    if not follows:
        reading.stop()
    standin.deregister(MDT, "cl1")
    standin.restart(MDT)
    standin.register(MDT)
    first, last = indexes
    standin.append(
        MDT,
        b.raw(*(b.create(fid=index, index=index) for index in range(first, last + 1))),
    )
    if not follows:
        reading.start()
    wait_for(lambda: len(reading.indexes) == 2 and standin.position(MDT, "cl1") == last)

    assert reading.indexes == [[1, 2, 3, 4, 5], list(range(first, last + 1))]
    assert (6, 0, INDEX_BEGAN_ANEW) in reading.losses()


def through_the_library(standin: Standin, reading: Reading) -> None:
    """Let the reader change over to recv."""
    standin.append(MDT, from_the_future(1))
    reading.start()
    wait_for(lambda: reading.indexes == [[1]])


TROUBLES: dict[str, Callable[[Standin], None]] = {
    "EIO": lambda standin: standin.fail_next("recv", errno.EIO),
    "EINTR": lambda standin: standin.fail_next("recv", errno.EINTR, times=5),
    "EAGAIN": lambda standin: standin.fail_next("recv", errno.EAGAIN, times=5),
    "NULL record": lambda standin: standin.fail_next("recv", 0),
    "restart": lambda standin: standin.restart(MDT),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
@pytest.mark.parametrize("recv", [True, False], ids=["recv", "raw"])
def test_trouble_loses_nothing(
    reading: Reading, standin: Standin, trouble: Callable[[Standin], None], *, recv: bool
) -> None:
    """Whatever a read answers, every record is stored once and in order, through the library or not."""
    if recv:
        through_the_library(standin, reading)
    else:
        standin.append(MDT, create(1))
        reading.start()
    for index in range(2, 60):
        standin.append(MDT, create(index))
        if index % 20 == 0:
            trouble(standin)
    wait_for(lambda: standin.position(MDT, "cl1") == 59)

    assert reading.indexes == [list(range(1, 60))]
    assert reading.losses() == []


@pytest.mark.parametrize("folder", ["11-random-defmask", "03-names-allmask", "06-hsm-allmask"])
def test_both_ways_store_the_same_records(reading: Reading, standin: Standin, folder: str) -> None:
    """Raw or through the library, the stream holds the same records of a real MDT in the same order."""
    raw = capture(folder, MDT)
    first = next(iter_records(raw)).index
    standin.append(MDT, from_the_future(first - 1))
    standin.append(MDT, raw)
    reading.start()
    wait_for(lambda: sum(map(len, reading.raw)) >= len(raw))
    (stored,) = reading.raw

    assert as_recv_gives(stored)[1:] == as_recv_gives(raw)
