"""Clearing: what the MDT takes, what it refuses, what never gets there."""

from __future__ import annotations

import errno
import threading

import pytest

from lustre_events import llapi
from lustre_events.errors import (
    ChangelogError,
    ChangelogRefused,
    ChangelogUnavailable,
    ChangelogUserUnknown,
)
from tests.support.records.raw import (
    creates,
    indexes,
)
from tests.support.servers.standin import Standin

MDT = "lustre-MDT0000"


def test_clear_moves_the_user_by_exactly_that(standin: Standin, library: llapi.Library) -> None:
    """Clearing up to an index moves this user there; the oldest record is the slowest user's index + 1."""
    first, second = standin.register(MDT), standin.register(MDT, "nm1")
    standin.append(MDT, creates(1, 10))

    llapi.clear(library, MDT, first, 3)
    llapi.clear(library, MDT, f"{second}-nm1", 2)

    assert (standin.position(MDT, first), standin.position(MDT, second)) == (3, 2)
    with llapi.Changelog.open(library, MDT) as changelog:
        assert indexes(changelog.recv() or b"") == [3]


def test_repeating_a_clear_is_allowed(standin: Standin, library: llapi.Library) -> None:
    """The keep-alive: the same clear again reaches the MDT and succeeds."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 10))
    for _ in range(3):
        llapi.clear(library, MDT, user, 4)

    assert (standin.clears, standin.position(MDT, user)) == (3, 4)


@pytest.mark.parametrize("endrec", [0, -1])
def test_clear_of_everything_is_never_passed_on(standin: Standin, library: llapi.Library, endrec: int) -> None:
    """0 means 'everything' to the MDT: it is refused before it gets there."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 10))

    with pytest.raises(ChangelogRefused, match="would clear every record"):
        llapi.clear(library, MDT, user, endrec)
    assert (standin.clears, standin.position(MDT, user)) == (0, 0)


def test_stand_in_takes_zero_for_everything(standin: Standin, library: llapi.Library) -> None:
    """What the refusal above protects from: the C function clears all for 0."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 10))

    assert library.call("llapi_changelog_clear", MDT.encode(), user.encode(), 0) == 0
    assert standin.position(MDT, user) == 10


@pytest.mark.parametrize(
    ("user", "endrec", "kind", "error", "words"),
    [
        ("cl1", 11, ChangelogRefused, errno.EINVAL, "lies behind the last record"),
        ("cl1", 1 << 63, ChangelogRefused, errno.EINVAL, "lies behind the last record"),
        ("cl9", 5, ChangelogUserUnknown, errno.ENOENT, "cl9 is not registered"),
        ("cl1", 2, ChangelogUserUnknown, errno.ENOENT, "or has cleared more than 2 already"),
        ("scanner", 5, ChangelogRefused, errno.EINVAL, "no changelog user's id such as cl1"),
        ("1", 5, ChangelogRefused, errno.EINVAL, "no changelog user's id such as cl1"),
        ("cl1\0", 5, ChangelogRefused, errno.EINVAL, "zero byte"),
    ],
)
def test_refused_clear_changes_nothing(
    *,
    standin: Standin,
    library: llapi.Library,
    user: str,
    endrec: int,
    kind: type[ChangelogError],
    error: int,
    words: str,
) -> None:
    """Past the end, below one's mark, unknown or malformed: the error says which, and positions stay."""
    standin.register(MDT, "scanner")
    standin.append(MDT, creates(1, 10))
    llapi.clear(library, MDT, "cl1", 4)

    with pytest.raises(kind) as caught:
        llapi.clear(library, MDT, user, endrec)

    assert words in str(caught.value)
    assert caught.value.errno == error
    assert standin.position(MDT, "cl1") == 4


def test_deregistered_user_is_unknown_and_the_message_says_how_to_register(
    standin: Standin, library: llapi.Library
) -> None:
    """A user that the MDS dropped is noticed by clear, with the command to run."""
    user = standin.register(MDT)
    standin.append(MDT, creates(1, 10))
    standin.deregister(MDT, user)

    with pytest.raises(ChangelogUserUnknown, match=f"lctl --device {MDT} changelog_register"):
        llapi.clear(library, MDT, user, 4)


def test_clear_on_an_unknown_mdt_is_not_an_unknown_user(library: llapi.Library) -> None:
    """The third meaning of ENOENT, no such device, is told apart: it must not look like a lost user."""
    with pytest.raises(ChangelogUnavailable, match="lustre-MDT0009: no changelog"):
        llapi.clear(library, "lustre-MDT0009", "cl1", 4)


@pytest.mark.parametrize(("error", "words"), [(errno.EACCES, "run as root"), (errno.ENODEV, "ENODEV")])
def test_clear_that_does_not_reach_the_mdt(
    standin: Standin, library: llapi.Library, error: int, words: str
) -> None:
    """What is not the MDT's refusal can be tried again."""
    standin.fail_next("clear", error)

    with pytest.raises(ChangelogUnavailable, match=words) as caught:
        llapi.clear(library, MDT, "cl1", 4)
    assert caught.value.retryable


def test_two_clears_at_once_both_work(standin: Standin, library: llapi.Library) -> None:
    """Clears of different users from different threads do not disturb each other, 70,000 records far."""
    users = [standin.register(MDT) for _ in range(2)]
    standin.append(MDT, creates(1, 70_000))
    threads = [threading.Thread(target=llapi.clear, args=(library, MDT, user, 70_000)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [standin.position(MDT, user) for user in users] == [70_000, 70_000]
