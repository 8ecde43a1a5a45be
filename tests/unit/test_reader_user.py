"""Whose id a reader clears for: a wrong one is no loss, another one takes over with the right range."""

from __future__ import annotations

from pathlib import Path

import pytest

from lustre_events.changelog.lctl import ChangelogUser, Users
from lustre_events.changelog.users import OwnUser
from lustre_events.config.settings import ReaderSettings
from lustre_events.reader import Reader
from lustre_events.reader.continuity import PURGED, USER_GONE
from lustre_events.streams.memory import MemoryReaderStream
from tests.support.model.fakes import MDT
from tests.support.model.reader import World


@pytest.fixture
def world() -> World:
    """A world whose reader has stored 1, 2, 3 and cleared them for cl1."""
    world = World()
    world.source.add(1, 2, 3)
    world.run(world.reader(user="cl1"), lambda: world.source.clears == [3])
    return world


def lost(world: World) -> list[tuple[int, int, str]]:
    """Return first, last and reason of every loss."""
    return [(loss.first_index, loss.last_index, loss.reason) for loss in world.store.losses.get(MDT, [])]


def named_reader(world: World, names: dict[str, str], folder: Path, user: str = "cl1") -> Reader:
    """Return a reader that finds its user by the name: `names` has what lctl adds to each id of the MDT."""

    def users(mdt: str) -> Users:
        found = (each + names.get(each, "") for each in world.source.users)
        return Users(mdt, world.source.last_index, tuple(ChangelogUser(each, 0, 0, ()) for each in found))

    own_user = OwnUser(ReaderSettings(user="lustre-events"), MDT, mdts=(), users=users, state=folder)
    return Reader(
        world.source,
        MemoryReaderStream(world.store, MDT),
        ReaderSettings(user=user, keepalive_seconds=10.0, probe_seconds=30.0),
        clock=world.clock, time_ns=world.clock.time_ns, sleep=world.clock.sleep, own_user=own_user,
    )  # fmt: skip


@pytest.mark.parametrize("tells_users", [True, False])
@pytest.mark.parametrize("cleared", [True, False])
def test_an_id_of_another_mdt_is_no_loss(
    world: World, caplog: pytest.LogCaptureFixture, *, tells_users: bool, cleared: bool
) -> None:
    """An id for which no clear ever worked on this MDT is a wrong setting: said with what to write, not marked."""
    world.source.tells_users = tells_users
    if not cleared:
        world.store.cleared_for.clear()
    world.source.add(4)

    world.run(world.reader(user="cl3", keepalive_seconds=10.0), lambda: world.clock.now > 1060)

    assert lost(world) == []
    assert world.store.reader_states[MDT]["user_lost"] == "1"
    assert f"changelog users --mdt {MDT}" in caplog.text
    assert f'users = ["{MDT}:clN-lustre-events"]' in caplog.text

    world.run(world.reader(user="cl1"), lambda: world.source.clears[-1] == 4)

    assert lost(world) == []


@pytest.mark.parametrize("tells_users", [True, False])
@pytest.mark.parametrize("clear_after", ["stored", "committed"])
def test_a_new_id_takes_over_with_the_range_of_the_old_ones_end(
    world: World, clear_after: str, *, tells_users: bool
) -> None:
    """Registered again as cl3: what came between the last clear for cl1 and that may be missing, and no more."""
    world.source.users = {}
    world.source.add(4, 5, 6)
    world.source.users = {"cl3": 6}
    world.source.purge()
    world.source.tells_users = tells_users
    committed = MemoryReaderStream(world.store, MDT)
    reader = world.reader(user="cl3", clear_after=clear_after, keepalive_seconds=10.0)
    world.source.add(7, 8)

    def commit() -> None:
        world.store.committed[MDT, committed.tail().epoch] = 8

    world.run(reader, lambda: world.source.users["cl3"] == 8, turn_30=commit)

    assert world.stored() == [[1, 2, 3, 7, 8]]
    found = lost(world)
    if tells_users:
        assert found == [(4, 6, USER_GONE)]
    else:  # until a clear works nothing tells that cl3 is ours
        assert sorted(found) == [(4, 6, PURGED), (4, 8, USER_GONE)]
    assert world.store.cleared_for[MDT] == "cl3"


def test_the_range_begins_at_the_old_ids_last_clear_whatever_was_tried_between(world: World) -> None:
    """A wrong id between the two moves the mark on, and not the beginning of the loss."""
    world.source.users = {"cl2": 0}
    world.source.add(4, 5)
    world.run(world.reader(user="cl9", keepalive_seconds=10.0), lambda: world.store.marks[MDT] == 5)
    world.source.users["cl3"] = 5
    world.source.add(6)

    world.run(world.reader(user="cl3", keepalive_seconds=10.0), lambda: world.source.users["cl3"] == 6)

    assert lost(world) == [(4, 5, USER_GONE)]
    assert world.source.users["cl2"] == 0


def test_while_the_old_id_is_registered_nothing_is_lost(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Who registers the new one before the old one goes loses nothing, and is told to deregister the old one."""
    world.source.users["cl3"] = 3
    world.source.add(4)

    world.run(world.reader(user="cl3"), lambda: world.source.users["cl3"] == 4)

    assert lost(world) == []
    assert f"changelog deregister cl1 --mdt {MDT}" in caplog.text


def test_registered_again_it_is_found_while_the_reader_lives(world: World, tmp_path: Path) -> None:
    """By its name, without a restart; nobody clears for the other consumer that has the next id."""
    world.source.users["cl2"] = 0
    names = {"cl1": "-lustre-events", "cl2": "-audit", "cl3": "-lustre-events"}
    reader = named_reader(world, names, tmp_path)

    def again() -> None:
        world.source.users["cl3"] = world.source.last_index
        world.source.add(5)

    world.run(
        reader,
        lambda: world.source.users.get("cl3") == 5,
        turn_20=lambda: world.source.users.pop("cl1"),
        turn_30=lambda: world.source.add(4),
        turn_400=again,
    )

    assert lost(world) == [(4, 5, USER_GONE)]
    assert world.source.users["cl2"] == 0
    assert world.store.reader_states[MDT]["user_lost"] == "0"


def test_a_name_that_is_not_registered_is_waited_for(world: World, tmp_path: Path) -> None:
    """Reading goes on; the user that took clears before and is no longer listed is a loss at once."""
    world.source.users = {"cl2": 0}
    world.source.add(4)
    names = {"cl2": "-audit", "cl3": "-lustre-events"}
    seen: list[list[tuple[int, int, str]]] = []

    def registered() -> None:
        seen.append(lost(world))
        world.source.users["cl3"] = 4
        world.source.add(5)

    world.run(
        named_reader(world, names, tmp_path, user="lustre-events"),
        lambda: world.source.users.get("cl3") == 5,
        turn_50=registered,
    )

    assert world.stored() == [[1, 2, 3, 4, 5]]
    assert seen == [[(4, 0, USER_GONE)]]
    assert lost(world) == [(4, 5, USER_GONE)]
    assert world.source.users["cl2"] == 0


def test_after_an_index_that_began_anew_the_id_is_looked_up_again(world: World, tmp_path: Path) -> None:
    """Ids begin at cl1 again, too: ours of before may be another consumer's now."""
    names = {"cl1": "-lustre-events"}
    reader = named_reader(world, names, tmp_path)

    def restart() -> None:
        world.source.restart_index(1, 2)
        world.source.users = {"cl1": 0, "cl2": 0}
        names.update(cl1="-audit", cl2="-lustre-events")

    world.run(reader, lambda: world.source.users.get("cl2") == 2, turn_20=restart)

    assert world.source.users["cl1"] == 0
    assert world.stored() == [[1, 2, 3], [1, 2]]


def test_a_listed_user_is_not_gone_though_the_library_says_so(world: World, tmp_path: Path) -> None:
    """Some servers find no user that was registered without a name: what lctl lists counts."""
    world.source.tells_users = False
    world.source.users["cl2"] = 0
    world.store.marks[MDT] = 2
    world.source.add(4)

    world.run(named_reader(world, {}, tmp_path), lambda: world.source.clears[-1:] == [4])

    assert lost(world) == []
