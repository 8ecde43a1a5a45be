"""Batches: what many records together change."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.record import ChangelogRecord, RecordType
from lustre_events.domain.batch import Batch
from lustre_events.domain.spans import Span
from tests.support.model.dispatcher import LATER_NS, number
from tests.support.records import builders as b
from tests.support.records.builders import START_NS, fid_of, raw
from tests.support.records.strategies import records


def batch_of(*given_records: ChangelogRecord, position: int = 0, now_ns: int = LATER_NS) -> Batch:
    batch = Batch(now_ns)
    numbered = number(given_records, 0)
    batch.add_block(
        raw(*numbered),
        count=len(numbered),
        last_index=len(numbered),
        where=(0, 1),
        taken=Span(last_index=position),
    )
    return batch


def test_counters_add_up() -> None:
    """Every record is named, changed, ignored, unknown or damaged, and is counted once."""
    batch = batch_of(b.create(), b.close(), b.open_(), b.record(99, 1), b.mark())
    assert batch.counters == {"records": 5, "named": 1, "changed": 1, "ignored": 2, "unknown": 1}


def test_records_at_or_below_the_position_change_nothing() -> None:
    """What the cursor has passed is not even counted."""
    batch = batch_of(b.create(fid=1, name=b"a"), b.create(fid=2, name=b"b"), position=1)
    assert batch.changes.keys() == {fid_of(2)}
    assert batch.counters["records"] == 1


def test_changes_of_an_object_come_together() -> None:
    """A burst on one file is one change with the first and the last time, the type and the last jobid."""
    batch = batch_of(b.create(), b.sattr(), b.close(jobid=b"last"))
    (change,) = batch.changes.values()
    assert (change.created, change.content, change.attributes, change.named, change.gone) == (
        True,
        True,
        True,
        True,
        False,
    )
    assert (change.first_ns, change.last_ns) == (START_NS + 10**9, START_NS + 3 * 10**9)
    assert (change.type, change.jobid) == ("f", b"last")


def test_a_clock_that_is_ahead_does_not_delay_work() -> None:
    """Changes are never later than now, whatever the MDS's clock says."""
    batch = batch_of(b.create(), now_ns=START_NS)
    (change,) = batch.changes.values()
    assert change.last_ns == START_NS


def test_an_overwritten_file_is_gone_or_has_lost_a_name() -> None:
    """The flag of RENME says whether the overwritten object lost its last name."""
    assert batch_of(b.rename(fid=1, over=2, last=True)).changes[fid_of(2)].gone
    change = batch_of(b.rename(fid=1, over=2, last=False)).changes[fid_of(2)]
    assert (change.gone, change.attributes, change.named) == (False, True, False)


def migration(old: int, new: int) -> ChangelogRecord:
    return b.record(
        RecordType.MIGRT, new, 7, b"n", 0x2000, source=fid_of(old), source_parent=fid_of(7), source_name=b"n"
    )


def test_changes_follow_a_migration() -> None:
    """What happened under the old FIDs is a change of the new one, over any number of migrations."""
    batch = batch_of(b.create(fid=1), migration(1, 2), migration(2, 3))
    assert [(move.fid, move.target) for move in batch.moves()] == [(fid_of(1), fid_of(2)), (fid_of(2), fid_of(3))]
    batch.follow({fid_of(1): fid_of(3), fid_of(2): fid_of(3)})
    assert batch.changes.keys() == {fid_of(3)}
    assert batch.changes[fid_of(3)].content
    assert batch.changes[fid_of(3)].type == "f"


def test_a_migration_to_the_same_fid_moves_nothing() -> None:
    """MIGRT with the same FID twice (seen in captures/05-lfs-defmask) is a change of name only."""
    batch = batch_of(migration(1, 1))
    assert batch.moves() == []
    assert batch.changes[fid_of(1)].named


def test_a_rename_without_its_old_name_is_counted() -> None:
    """Records of old servers that leave a stale name behind can be seen in the counters."""
    assert batch_of(b.rename(name=b"")).counters["renames_without_old_name"] == 1


@pytest.mark.parametrize("damage", ["torn", "index"])
def test_damage_ends_a_block_and_is_counted(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """Records before the damage count, those behind it are counted as damaged and the log says it in one line."""
    data = raw(*number([b.create(fid=1, name=b"a"), b.create(fid=2, name=b"b"), b.create(fid=3, name=b"c")], 0))
    batch = Batch(LATER_NS)
    with caplog.at_level(logging.ERROR):
        batch.add_block(
            data[:-1] if damage == "torn" else data,
            count=3, last_index=3 if damage == "torn" else 2, where=(0, 1),
        )  # fmt: skip
    assert batch.changes.keys() == {fid_of(1), fid_of(2)}
    assert batch.counters == {"records": 3, "named": 2, "damaged": 1}
    assert len(caplog.records) == 1
    assert "MDT0000: 1 records of a stored block behind index 2 cannot be read" in caplog.text


@given(st.lists(records(), max_size=4), st.binary(max_size=80))
def test_any_block_is_survived(given_records: list[ChangelogRecord], tail: bytes) -> None:
    """Whatever records and rubbish a block holds, the sum of its records is right."""
    batch = Batch(LATER_NS)
    logging.disable()
    try:
        batch.add_block(
            raw(*given_records) + tail,
            count=len(given_records) + 1, last_index=(1 << 63) - 1, where=(0, 1),
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    counters = batch.counters
    assert counters["records"] == sum(
        counters[kind] for kind in ("named", "changed", "ignored", "unknown", "damaged")
    )
