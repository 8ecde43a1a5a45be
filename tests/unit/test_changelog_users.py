"""Which changelog user is ours on an MDT: by name, by id, per MDT, and from what `changelog register` kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lustre_events.changelog.lctl import ChangelogUser, Users
from lustre_events.changelog.users import OwnUser, check, keep, own_id, recall
from lustre_events.config.settings import ReaderSettings
from lustre_events.errors import ChangelogUnavailable, ChangelogUserUnknown, ConfigError
from tests.support.rows import each_row

MDT0, MDT1 = "lustre-MDT0000", "lustre-MDT0001"
LISTED = {MDT0: ("cl1-lustre-events",), MDT1: ("cl1", "cl2-audit", "cl3-lustre-events")}


def users(mdt: str) -> Users:
    """Return what lctl lists: our user has another id on each MDT."""
    return Users(mdt, 9, tuple(ChangelogUser(each, 0, 0, ()) for each in LISTED[mdt]))


def no_lctl(mdt: str) -> Users:
    """Behave as lctl does away from the MDS."""
    raise ChangelogUnavailable(f"{mdt}: lctl does not reach this MDT here")


def settings(user: str = "", *entries: str) -> ReaderSettings:
    return ReaderSettings(user=user, users=entries)


def own(
    folder: Path, reader: ReaderSettings, mdt: str = MDT1, listing: Callable[[str], Users] = users, mdts: int = 2
) -> OwnUser:
    return OwnUser(reader, mdt, mdts=(MDT0, MDT1)[:mdts], users=listing, state=folder)


def test_a_name_finds_the_id_of_each_mdt(tmp_path: Path) -> None:
    """The name is the same on all MDTs, the id is not."""
    assert [own(tmp_path, settings("lustre-events"), mdt).find() for mdt in LISTED] == [
        "cl1-lustre-events",
        "cl3-lustre-events",
    ]


def test_without_a_user_nothing_is_looked_for(tmp_path: Path) -> None:
    """Empty means: read only; lctl is not asked."""
    assert own(tmp_path, settings(), listing=no_lctl).find() == ""


@pytest.mark.parametrize(
    ("reader", "found"),
    [
        (settings("", f"{MDT0}:cl1", f"{MDT1}:cl3"), "cl3-lustre-events"),
        (settings("lustre-events", f"{MDT1}:cl1"), "cl1"),
        (settings("cl3-lustre-events"), "cl3-lustre-events"),
    ],
    ids=["per MDT", "per MDT before the name", "an id that is listed with its name"],
)
def test_what_is_written_is_compared_with_the_list(tmp_path: Path, reader: ReaderSettings, found: str) -> None:
    """An id per MDT counts more than the name; an id for all MDTs counts where its name proves it to be ours."""
    assert own(tmp_path, reader).find() == found


@each_row(
    ("reader", "sentence"),
    [
        (settings("cl1"), r"one id for 2 MDTs.*user = \"lustre-events\""),
        (settings("cl1-lustre-events"), r"another consumer's .*\(cl1\).*cl3-lustre-events"),
        (settings("cl9-lustre-events"), r"one id for 2 MDTs"),
        (
            settings("cl2-lustre-events"),
            r"cl2-audit.*write \[reader\] users = \[\"lustre-MDT0001:cl3-lustre-events\"\]",
        ),
        (settings("", f"{MDT1}:cl2"), r"another consumer's.*cl3-lustre-events"),
        (
            settings("", f"{MDT0}:cl1"),
            r"no entry for it; run: lustre-events changelog register --mdt lustre-MDT0001",
        ),
        (settings("", "cl1"), r'users has "cl1"; write each entry as'),
        (settings("", f"{MDT1}:cl1", f"{MDT1}:cl3"), "names cl1 and cl3"),
        (settings("a name"), "neither an id like cl1 nor a name"),
    ],
)
def test_what_can_be_another_consumers_is_refused(tmp_path: Path, reader: ReaderSettings, sentence: str) -> None:
    """One sentence says what is wrong, and what to write for this MDT."""
    with pytest.raises(ConfigError, match=sentence):
        own(tmp_path, reader).find()


@pytest.mark.parametrize("listing", [users, no_lctl])
def test_one_id_is_enough_for_one_mdt(tmp_path: Path, listing: Callable[[str], Users]) -> None:
    """Where one MDT is read its id may be written alone, and needs no lctl."""
    assert own(tmp_path, settings("cl1"), MDT0, listing, mdts=1).find().startswith("cl1")
    check(settings("cl1"), [MDT0])


def test_a_supervisor_refuses_before_it_starts_anything() -> None:
    """What cannot be right on several MDTs is said once, without lctl; a name, or an id each, is let through."""
    for reader in (settings("lustre-events"), settings("cl1", f"{MDT0}:cl1", f"{MDT1}:cl3")):
        check(reader, [MDT0, MDT1])
    with pytest.raises(ConfigError, match="one id for 2 MDTs"):
        check(settings("cl1"), [MDT0, MDT1])


def test_away_from_the_mds_what_was_registered_here_counts(tmp_path: Path) -> None:
    """`changelog register` keeps the id; without it the sentence says what to write."""
    name = settings("lustre-events")
    with pytest.raises(ConfigError, match=r"users = \[\"lustre-MDT0001:clN-lustre-events\"\].*lctl does not reach"):
        own(tmp_path, name, listing=no_lctl).find()

    keep(tmp_path, MDT1, "cl7-lustre-events")
    assert own(tmp_path, name, listing=no_lctl).find() == "cl7-lustre-events"
    assert own(tmp_path, name).find() == "cl3-lustre-events"
    with pytest.raises(ConfigError, match="clN-audit"):
        own(tmp_path, settings("audit"), listing=no_lctl).find()

    keep(tmp_path, MDT1, "")
    assert recall(tmp_path, MDT1) == ""


def test_a_server_that_knows_no_names(tmp_path: Path) -> None:
    """There the id that was kept is ours as long as the MDT lists it."""
    keep(tmp_path, MDT1, "cl1")

    assert own_id(settings("audit-2"), users(MDT1), (MDT0, MDT1), recall(tmp_path, MDT1)) == "cl1"
    with pytest.raises(
        ChangelogUserUnknown, match=r"registered: cl1, cl2-audit, .*register --mdt \S+ --name audit-2"
    ):
        own_id(settings("audit-2"), users(MDT1), (MDT0, MDT1), "cl9")


def test_two_of_one_name_are_not_guessed_at() -> None:
    """Which of them is ours has to be written."""
    listed = Users(MDT0, 9, tuple(ChangelogUser(f"cl{n}-lustre-events", 0, 0, ()) for n in (1, 4)))

    with pytest.raises(ConfigError, match="cl1-lustre-events and cl4-lustre-events are both named"):
        own_id(settings("lustre-events"), listed, [MDT0])


def test_registered_asks_the_list(tmp_path: Path) -> None:
    """Ids are compared by number; None where nobody can be asked."""
    assert own(tmp_path, settings("x")).registered("cl2") is True
    assert own(tmp_path, settings("x")).registered("cl9-lustre-events") is False
    assert own(tmp_path, settings("x"), listing=no_lctl).registered("cl2") is None
