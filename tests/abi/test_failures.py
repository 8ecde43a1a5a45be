"""Failures of open and recv, each with its error and its advice."""

from __future__ import annotations

import errno
import signal
import threading

import pytest

from lustre_events import llapi
from lustre_events.errors import (
    ChangelogBroken,
    ChangelogError,
    ChangelogRefused,
    ChangelogUnavailable,
)
from tests.support.records.raw import (
    all_records,
    create,
    creates,
    indexes,
)
from tests.support.servers.standin import Standin
from tests.support.waiting import wait_for

MDT = "lustre-MDT0000"


@pytest.mark.parametrize(
    ("mdt", "startrec", "kind", "error", "words"),
    [
        ("lustre-MDT0042", 0, ChangelogUnavailable, errno.ENOENT, "lustre-MDT0042: no changelog"),
        ("", 0, ChangelogUnavailable, errno.ENOENT, "ls /dev/changelog-*"),
        ("x" * 5000, 0, ChangelogRefused, errno.EOVERFLOW, "too long for the name of an MDT"),
        ("x" * 300, 0, ChangelogRefused, errno.ENAMETOOLONG, "too long for the name of an MDT"),
        (MDT, -1, ChangelogRefused, errno.EINVAL, "cannot read from index -1; begin at 0"),
        (MDT, 1 << 63, ChangelogRefused, errno.EINVAL, "cannot read from index 9223372036854775808"),
        ("lustre\0-MDT0000", 0, ChangelogRefused, errno.EINVAL, "zero byte"),
    ],
)
def test_open_refuses_with_advice(
    *, library: llapi.Library, mdt: str, startrec: int, kind: type[ChangelogError], error: int, words: str
) -> None:
    """Each wrong argument of open gives its error, its errno and a sentence that says what to do."""
    with pytest.raises(kind) as caught:
        llapi.Changelog.open(library, mdt, startrec)

    assert words in str(caught.value)
    assert caught.value.errno == error
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (errno.EACCES, ChangelogUnavailable, "run as root"),
        (errno.EPERM, ChangelogUnavailable, "run as root"),
        (errno.ENODEV, ChangelogUnavailable, "ENODEV"),
        (errno.ENOMEM, ChangelogUnavailable, "ENOMEM"),
    ],
)
def test_open_failures_of_the_system(
    standin: Standin, library: llapi.Library, error: int, kind: type[ChangelogError], words: str
) -> None:
    """What the node or its rights forbid is unavailable, and says why."""
    standin.fail_next("start", error)

    with pytest.raises(kind) as caught:
        llapi.Changelog.open(library, MDT)

    assert words in str(caught.value)
    assert caught.value.retryable


def test_interrupted_recv_goes_on(standin: Standin, library: llapi.Library) -> None:
    """EINTR loses nothing: recv calls again."""
    standin.append(MDT, create(1))
    standin.fail_next("recv", errno.EINTR, times=3)

    with llapi.Changelog.open(library, MDT) as changelog:
        assert indexes(changelog.recv() or b"") == [1]


def test_signal_during_recv_loses_no_record(standin: Standin, library: llapi.Library) -> None:
    """A signal handler runs while recv waits, and the record that comes after it arrives."""
    caught: list[int] = []

    def handler(number: int, _frame: object) -> None:
        caught.append(number)
        standin.append(MDT, create(1))

    def interrupt() -> None:
        wait_for(lambda: standin.waiting(MDT) == 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with llapi.Changelog.open(library, MDT, 0, llapi.READ_ALL | llapi.Flag.FOLLOW) as changelog:
            thread = threading.Thread(target=interrupt)
            thread.start()
            raw = changelog.recv()
            thread.join(10)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert caught == [signal.SIGUSR1]
    assert indexes(raw or b"") == [1]


def test_restart_of_the_mdt_breaks_the_handle_for_good(standin: Standin, library: llapi.Library) -> None:
    """The handle gives EIO after a restart and ever after; a fresh handle works, records and user are kept."""
    standin.register(MDT)
    standin.append(MDT, creates(1, 3))
    with llapi.Changelog.open(library, MDT, 4, llapi.READ_ALL | llapi.Flag.FOLLOW) as changelog:
        standin.restart(MDT)
        for _ in range(2):
            with pytest.raises(ChangelogBroken, match=r"EIO.*open it again at the last index \+ 1") as caught:
                changelog.recv()
            assert caught.value.errno == errno.EIO
            assert caught.value.retryable
    with llapi.Changelog.open(library, MDT) as changelog:
        assert len(all_records(changelog)) == 3


def test_no_memory_is_an_error_and_never_a_missing_record(standin: Standin, library: llapi.Library) -> None:
    """Success without a record breaks the handle, because the library has moved past that record."""
    standin.append(MDT, creates(1, 2))
    standin.fail_next("recv", 0)

    with llapi.Changelog.open(library, MDT) as changelog:
        for _ in range(2):
            with pytest.raises(ChangelogBroken, match="no memory") as caught:
                changelog.recv()
            assert caught.value.errno == errno.ENOMEM


def test_unexpected_errno_is_named(standin: Standin, library: llapi.Library) -> None:
    """An errno that is in no table breaks the handle with its name and text."""
    standin.fail_next("recv", errno.EPROTO)

    with (
        llapi.Changelog.open(library, MDT) as changelog,
        pytest.raises(ChangelogBroken, match="EPROTO: Protocol error"),
    ):
        changelog.recv()
