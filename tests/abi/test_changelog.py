"""Reading a changelog through the binding: records, masks, closing."""

from __future__ import annotations

import errno
import os
import select
import threading
from pathlib import Path

import pytest

from lustre_events import llapi
from lustre_events.changelog.record import EXTRA_UIDGID, decode_record
from lustre_events.errors import (
    ChangelogBroken,
    ChangelogRefused,
    ChangelogUnavailable,
    ChangelogUserUnknown,
    LibraryMissing,
)
from lustre_events.llapi import changelog as module
from tests.support.records.captures import each
from tests.support.records.raw import (
    all_records,
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


@pytest.mark.parametrize("folder", each())
@pytest.mark.parametrize("mdt", ["lustre-MDT0000", "lustre-MDT0001"])
def test_captured_records_come_out_of_recv_as_they_were(
    standin: Standin, library: llapi.Library, folder: str, mdt: str
) -> None:
    """Every record of a real Lustre passes recv byte for byte, but for the version flag that recv adds."""
    raw = capture(folder, mdt)
    standin.append(mdt, raw)

    with llapi.Changelog.open(library, mdt) as changelog:
        changelog.set_xflags(llapi.ALL_EXTRA)
        received = all_records(changelog)

    assert received == as_recv_gives(raw)


def test_reading_begins_at_startrec(standin: Standin, library: llapi.Library) -> None:
    """The first record is the first whose index is not below startrec."""
    standin.append(MDT, creates(10, 20))

    with llapi.Changelog.open(library, MDT, 15) as changelog:
        assert indexes(b"".join(all_records(changelog))) == [15, 16, 17, 18, 19, 20]


def test_startrec_in_the_purged_range_begins_at_the_oldest(standin: Standin, library: llapi.Library) -> None:
    """A startrec that was purged is no error: the first index tells."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 9))
    llapi.clear(library, MDT, user, 6)

    with llapi.Changelog.open(library, MDT, 2) as changelog:
        assert indexes(b"".join(all_records(changelog))) == [7, 8, 9]


def test_startrec_behind_the_last_record_is_the_end(standin: Standin, library: llapi.Library) -> None:
    """Opening behind the last record works and gives the end at once."""
    standin.append(MDT, creates(1, 3))

    with llapi.Changelog.open(library, MDT, 4) as changelog:
        assert changelog.recv() is None


def test_end_is_final_without_follow(standin: Standin, library: llapi.Library) -> None:
    """A handle at its end stays there; a new one sees later records."""
    standin.append(MDT, create(1))
    with llapi.Changelog.open(library, MDT) as changelog:
        before = all_records(changelog)
        standin.append(MDT, create(2))

        assert len(before) == 1
        assert changelog.recv() is None
    with llapi.Changelog.open(library, MDT, 2) as changelog:
        assert len(all_records(changelog)) == 1


def test_follow_waits_for_new_records(standin: Standin, library: llapi.Library) -> None:
    """With FOLLOW recv waits at the end and returns the record that comes."""
    received: list[bytes | None] = []
    with llapi.Changelog.open(library, MDT, 0, llapi.READ_ALL | llapi.Flag.FOLLOW) as changelog:
        thread = threading.Thread(target=lambda: received.append(changelog.recv()))
        thread.start()
        wait_for(lambda: standin.waiting(MDT) == 1)
        standin.append(MDT, create(7))
        thread.join(10)

    assert indexes(received[0] or b"") == [7]


def test_only_wanted_extensions_arrive(standin: Standin, library: llapi.Library) -> None:
    """Without set_xflags the extra flags are empty; with UIDGID just that extension is there."""
    standin.append(MDT, create(1, extra_flags=0xF, nid=b"n", open_flags=3, xattr=b"user.x"))

    with llapi.Changelog.open(library, MDT) as changelog:
        bare, _ = decode_record(changelog.recv() or b"")
    with llapi.Changelog.open(library, MDT) as changelog:
        changelog.set_xflags(llapi.ExtraFlag.UIDGID)
        some, _ = decode_record(changelog.recv() or b"")

    assert (bare.extra_flags, bare.uid, bare.name) == (0, None, b"file")
    assert (some.extra_flags, some.uid, some.nid, some.xattr, some.name) == (
        EXTRA_UIDGID,
        1000,
        None,
        None,
        b"file",
    )


def test_recv_leaves_out_extensions_of_later_versions(standin: Standin, library: llapi.Library) -> None:
    """A record with an extension that nobody asked for arrives without it, and whole."""
    standin.append(MDT, from_the_future(5, b"name"))

    with llapi.Changelog.open(library, MDT) as changelog:
        changelog.set_xflags(llapi.ALL_EXTRA)
        record, _ = decode_record(changelog.recv() or b"")

    assert (record.index, record.name, record.uid) == (5, b"name", 1000)


def test_in_buf_tells_of_records_that_poll_does_not_see(standin: Standin, library: llapi.Library) -> None:
    """After one recv the others lie in the library's buffer: poll is silent, in_buf says so until they are out."""
    standin.append(MDT, creates(1, 3))
    with llapi.Changelog.open(library, MDT, 0, llapi.READ_ALL | llapi.Flag.FOLLOW) as changelog:
        poll = select.poll()
        poll.register(changelog, select.POLLIN)

        assert not changelog.in_buf()
        changelog.recv()
        assert poll.poll(0) == []
        assert changelog.in_buf()
        changelog.recv()
        changelog.recv()
        assert not changelog.in_buf()


def test_descriptor_gives_whole_raw_records(standin: Standin, library: llapi.Library) -> None:
    """Poll works on the descriptor, and reads of 64 KiB give all raw records, ending at record boundaries."""
    raw = capture("11-random-defmask", MDT)
    standin.append(MDT, raw)
    blocks = []
    with llapi.Changelog.open(library, MDT) as changelog:
        poll = select.poll()
        poll.register(changelog.fileno(), select.POLLIN)
        while poll.poll(10_000) and (block := os.read(changelog.fileno(), 1 << 16)):
            blocks.append(block)

    assert b"".join(blocks) == raw
    assert len(blocks) > 1
    assert all(indexes(block) for block in blocks)


def test_non_blocking_descriptor_makes_recv_raise_blocking_io_error(
    standin: Standin, library: llapi.Library
) -> None:
    """On a non-blocking descriptor recv with nothing there is no failure: the handle goes on."""
    with llapi.Changelog.open(library, MDT, 0, llapi.READ_ALL | llapi.Flag.FOLLOW) as changelog:
        os.set_blocking(changelog.fileno(), False)
        with pytest.raises(BlockingIOError):
            changelog.recv()
        standin.append(MDT, create(1))
        select.select([changelog], [], [], 10)

        assert indexes(changelog.recv() or b"") == [1]


def test_two_handles_see_everything(standin: Standin, library: llapi.Library) -> None:
    """Each handle has its own position."""
    standin.append(MDT, creates(1, 50))

    with llapi.Changelog.open(library, MDT) as one, llapi.Changelog.open(library, MDT) as other:
        pairs = [(one.recv(), other.recv()) for _ in range(50)]

    assert all(first == second is not None for first, second in pairs)


# ---- one user's records ----


def test_start_user_filters_to_the_users_mask(standin: Standin, library: llapi.Library) -> None:
    """With a user the kernel gives only the types of its mask, or of the mask given."""
    user = standin.register(MDT, "scan", mask=1 << 2)
    standin.append(MDT, create(1) + create(2))

    with llapi.Changelog.open(library, MDT, user=user) as changelog:
        assert all_records(changelog) == []
    with llapi.Changelog.open(library, MDT, user=user, mask=1 << 1) as changelog:
        assert len(all_records(changelog)) == 2


def test_unknown_user_leaves_no_handle_behind(standin: Standin, library: llapi.Library) -> None:
    """start_user for an unknown user fails with advice, and the handle that the library left is closed."""
    with pytest.raises(
        ChangelogUserUnknown, match=r"cl7 is not registered; on the MDS run: lctl .* changelog_regi"
    ):
        llapi.Changelog.open(library, MDT, user="cl7")

    assert standin.leaks == 0


def test_other_failures_of_start_user_leave_no_handle_behind(standin: Standin, library: llapi.Library) -> None:
    """Any failure after the open closes the handle."""
    user = standin.register(MDT)
    standin.fail_next("start_user", errno.ENOTTY)

    with pytest.raises(ChangelogUnavailable, match="open it without a user"):
        llapi.Changelog.open(library, MDT, user=user)
    assert standin.leaks == 0


def test_unknown_mdt_is_told_from_an_unknown_user(library: llapi.Library) -> None:
    """The same ENOENT of start_user means the MDT when no handle was made."""
    with pytest.raises(ChangelogUnavailable, match="no changelog of an MDT"):
        llapi.Changelog.open(library, "lustre-MDT0009", user="cl1")


def test_user_needs_a_library_that_can_filter(old_path: Path) -> None:
    """Asking an older library for a user's records says which version can."""
    with pytest.raises(LibraryMissing, match=r"2\.17\.50"):
        llapi.Changelog.open(llapi.load(str(old_path)), MDT, user="cl1")


# ---- closing ----


def test_closing_twice_is_fine_and_use_after_it_is_an_error(library: llapi.Library) -> None:
    """After close every call says so, and none reaches the library."""
    changelog = llapi.Changelog.open(library, MDT)
    changelog.close()
    changelog.close()

    assert changelog.closed
    for call in (changelog.recv, changelog.in_buf, changelog.fileno, lambda: changelog.set_xflags(llapi.ALL_EXTRA)):
        with pytest.raises(ChangelogBroken, match="is closed; open it again"):
            call()


def test_close_waits_for_recv_of_another_thread(
    standin: Standin, library: llapi.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handle is never freed under another thread's recv: close refuses, and works when recv has ended."""
    monkeypatch.setattr(module, "CLOSE_WAIT_SECONDS", 0.05)
    changelog = llapi.Changelog.open(library, MDT, 0, llapi.READ_ALL | llapi.Flag.FOLLOW)
    thread = threading.Thread(target=changelog.recv)
    thread.start()
    wait_for(lambda: standin.waiting(MDT) == 1)

    with pytest.raises(ChangelogRefused, match="while another thread waits in recv"):
        changelog.close()
    assert not changelog.closed

    standin.append(MDT, create(1))
    thread.join(10)
    changelog.close()
    assert changelog.closed
