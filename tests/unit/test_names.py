"""Names: what each record type does to the namespace, and in what order records count."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import NO_FID, ROOT_FID
from lustre_events.changelog.record import ChangelogRecord, RecordType
from lustre_events.domain.namespace import LATEST_TIME_NS, Link, OrderKey, Place, effective_time, mdt_number, merge
from lustre_events.domain.record_meaning import LINK_EFFECTS, Effect, effects, lacks_old_name
from lustre_events.errors import ConfigError
from tests.support.records import builders as b
from tests.support.records.builders import fid_of
from tests.support.records.strategies import records
from tests.support.rows import each_row

u16, u64 = st.integers(0, (1 << 16) - 1), st.integers(0, (1 << 64) - 1)
keys = st.builds(OrderKey, u64, u16, u64, u64)


@given(keys, keys)
def test_packed_keys_have_the_order_of_keys(left: OrderKey, right: OrderKey) -> None:
    """A packed key has 26 bytes, can be unpacked, and compares as the key does."""
    assert len(left.pack()) == 26
    assert OrderKey.unpack(left.pack()) == left
    assert (left.pack() < right.pack()) == (left < right)


@each_row(("name", "number"), [("lustre-MDT0000", 0), ("fs-MDT000a", 10), ("MDTFFFF", 65535)])
def test_mdt_number_is_hexadecimal(name: str, number: int) -> None:
    """The four digits at the end of an MDT's name are its number in hexadecimal."""
    assert mdt_number(name) == number


@each_row(
    "name",
    [
        "",
        "lustre",
        "lustre-MDT000",
        "lustre-MDT00000",
        "lustre-MDT0000\n",
        "fs-OST0000",
        "lustre MDT0000",
        "a:MDT0000",
        "é-MDT0000",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    """What does not end in MDT and four hexadecimal digits cannot be ordered, and the message shows it."""
    with pytest.raises(ConfigError, match="is not an MDT's name"):
        mdt_number(name)


@given(st.lists(st.integers(0, (1 << 34) * 10**9)))
def test_effective_time_grows_within_an_mdt(times: list[int]) -> None:
    """However the clock runs, effective times grow, follow a clock that is ahead of them, and fit 63 bits."""
    reached = 0
    for time_ns in times:
        before, reached = reached, effective_time(time_ns, reached)
        assert before < reached < 1 << 63
        if before < time_ns <= LATEST_TIME_NS:
            assert reached == time_ns


def test_a_rename_moves_its_source() -> None:
    """RENME frees (source parent, source name), then gives (parent, name) to the source, not to the target."""
    record = b.rename(fid=1, parent=7, name=b"old", to=b"new", to_parent=8, over=2)
    assert effects(record) == (Effect(fid_of(7), b"old", None), Effect(fid_of(8), b"new", fid_of(1)))


def test_a_rename_of_an_old_server_may_lack_the_old_name() -> None:
    """Without the old name only the new one is set, and such a record can be told."""
    record = b.rename(fid=1, name=b"", to=b"new")
    assert effects(record) == (Effect(ROOT_FID, b"new", fid_of(1)),)
    assert lacks_old_name(record)
    assert not lacks_old_name(b.rename(fid=1, name=b"old"))


def test_a_migration_has_its_parents_the_other_way_round() -> None:
    """MIGRT frees (parent, source name) and gives (source parent, name) to the new FID (seen in captures/11)."""
    record = b.record(
        RecordType.MIGRT, 2, 7, b"new", 0x2000, source=fid_of(1), source_parent=fid_of(8), source_name=b"old"
    )
    assert effects(record) == (Effect(fid_of(7), b"old", None), Effect(fid_of(8), b"new", fid_of(2)))


@each_row("make", [b.create, b.mkdir, b.link, b.symlink, b.mknod])
def test_new_names(make: object) -> None:
    """CREAT, MKDIR, HLINK, SLINK and MKNOD give (parent, name) to the target."""
    assert callable(make)
    assert effects(make(fid=1, parent=7, name=b"n")) == (Effect(fid_of(7), b"n", fid_of(1)),)


def test_removed_names() -> None:
    """UNLNK and RMDIR leave a tombstone, whether it was the last link or not."""
    tombstone = (Effect(ROOT_FID, b"a", None),)
    assert effects(b.unlink(last=True)) == effects(b.unlink(last=False)) == effects(b.rmdir()) == tombstone


@given(records())
def test_only_types_with_trustworthy_parents_name_a_place(record: ChangelogRecord) -> None:
    """Any record is understood, types without a place name nothing, and no effect is without name or FID."""
    found = effects(record)
    if record.type not in LINK_EFFECTS:
        assert found == ()
    for effect in found:
        assert effect.parent != NO_FID
        assert effect.name
        assert effect.fid is None or effect.fid != NO_FID


def test_a_rename_onto_its_own_name_keeps_it() -> None:
    """Where one record frees and sets the same place the later effect counts."""
    links: dict[Place, Link] = {}
    merge(links, OrderKey(1, 0, 1, 1).pack(), effects(b.rename(fid=1, name=b"a", to=b"a")))
    assert links[ROOT_FID, b"a"].fid == fid_of(1)


small = st.integers(1, 4)
places = st.tuples(small, st.sampled_from([b"x", b"y"]))
moves = st.one_of(
    st.builds(lambda fid, place: b.create(fid, place[0], place[1]), small, places),
    st.builds(lambda fid, place: b.unlink(fid, place[0], place[1]), small, places),
    st.builds(
        lambda fid, old, new: b.rename(fid, old[0], old[1], to_parent=new[0], to=new[1]), small, places, places
    ),
)
histories = st.lists(st.tuples(moves, st.integers(0, 3), st.integers(1, 50)), max_size=12)


@given(histories, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_give_the_same_names(
    history: list[tuple[ChangelogRecord, int, int]], chance: object
) -> None:
    """Records of any MDTs merged in any order, once or twice, leave the same links."""
    stamped = []
    reached = dict.fromkeys(range(4), 0)
    for index, (record, mdt, time_ns) in enumerate(history, start=1):
        reached[mdt] = effective_time(time_ns, reached[mdt])
        stamped.append((OrderKey(reached[mdt], mdt, 1, index).pack(), record))

    def replay(order: list[tuple[bytes, ChangelogRecord]]) -> dict[Place, Link]:
        links: dict[Place, Link] = {}
        for stamp, record in order:
            merge(links, stamp, effects(record))
        return links

    once = replay(stamped)
    shuffled = stamped * 2
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert replay(shuffled) == once == replay(list(itertools.chain(stamped, stamped)))
