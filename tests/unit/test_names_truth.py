"""Names against a model of the file system: whatever is done and however it arrives, the links are the truth."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord, RecordType, iter_records
from lustre_events.domain.batch import Batch
from lustre_events.domain.namespace import (
    Link,
    Move,
    OrderKey,
    Place,
    base_stamp,
    effective_time,
    followed,
    merge,
    present_of,
)
from lustre_events.domain.record_meaning import effects
from lustre_events.domain.spans import Span
from tests.support.model.dispatcher import LATER_NS
from tests.support.model.model import OPERATIONS, Lustre, allowed_log, any_moves
from tests.support.profiles import examples
from tests.support.records import captures
from tests.support.records.builders import raw

small = st.integers(0, 11)
moves = st.lists(st.tuples(st.integers(0, len(OPERATIONS) - 1), small, small, small), min_size=5, max_size=60)


def stamped(log: list[ChangelogRecord], mdt: int, epoch: int) -> list[tuple[bytes, ChangelogRecord]]:
    reached, found = 0, []
    for record in log:
        reached = effective_time(record.time_ns, reached)
        found.append((OrderKey(reached, mdt, epoch, record.index).pack(), record))
    return found


@examples(2_000)
@given(moves, st.integers(0, 100), st.integers(0, 1 << 32))
def test_names_are_the_file_system_s_truth(plan: list[tuple[int, int, int, int]], more: int, seed: int) -> None:
    """In any order across the MDTs, with records repeated and read again under new epochs, names are right."""
    chance = random.Random(seed)
    system = Lustre(chance)
    system.do(plan)
    system.do(any_moves(chance, more))
    arriving = []
    for mdt, log in enumerate(system.logs):
        arriving += stamped(log, mdt, 1)
        arriving += stamped(log[chance.randrange(len(log) + 1) :], mdt, 2)
        arriving += chance.sample(arriving, len(arriving) // 3)
    chance.shuffle(arriving)
    links: dict[Place, Link] = {}
    for stamp, record in arriving:
        merge(links, stamp, effects(record))
    assert meant(links, system) == system.truth()


def meant(links: dict[Place, Link], system: Lustre) -> dict[Place, FID]:
    """Return what each name means, once all migrations are known."""
    found = followed(links.values(), present_fids(system))
    return {place: link.fid for place, link in found.items() if link.fid is not None}


def present_fids(system: Lustre) -> dict[FID, FID]:
    """Return the present FIDs of all old ones, as the records tell them."""
    steps = {
        record.source: Move(record.source, record.target, base_stamp(record.time_ns))
        for log in system.logs
        for record in log
        if record.type == RecordType.MIGRT and record.source != record.target
    }
    return {fid: present_of(steps, fid) for fid in steps}


def test_the_model_logs_where_lustre_does() -> None:
    """Every record of the captures that names a place lies on an MDT where the model may log it.

    In a striped directory any stripe's MDT may: those of the last capture.
    """
    wrong = [
        (folder, name, record.index, record.type)
        for folder in captures.FOLDERS[:-1]
        for name in captures.mdts(folder)
        for record in iter_records(captures.read(folder, f"{name}.raw"))
        if not allowed_log(record, int(name[-1]))
    ]
    assert wrong == []


def test_the_model_has_every_case() -> None:
    """A long random run of the model has all types of records, overwritten and kept targets, and time backwards."""
    chance = random.Random(1)
    system = Lustre(chance)
    system.do(any_moves(chance, 3000))
    records = [record for log in system.logs for record in log]
    seen = {(record.type, record.flags & 1) for record in records}
    both = {(RecordType.UNLNK, 0), (RecordType.UNLNK, 1), (RecordType.RENME, 0), (RecordType.RENME, 1)}
    once = {(RecordType.CREAT, 0), (RecordType.MKDIR, 0), (RecordType.SLINK, 0), (RecordType.HLINK, 0)}
    assert both | once | {(RecordType.RMDIR, 1), (RecordType.MIGRT, 0)} <= seen
    assert any(record.type == RecordType.RENME and record.target and not record.flags & 1 for record in records)
    moved = [record for record in records if record.type == RecordType.MIGRT and record.source == record.target]
    assert moved, "one name of several came into a new directory"
    assert any(system.stripes.values())
    for log in system.logs:
        assert [record.index for record in log] == sorted({record.index for record in log})
        assert [record.time_ns for record in log] != sorted(record.time_ns for record in log)


def played(
    names: dict[Place, Link], log: list[ChangelogRecord], where: tuple[int, int], spans: dict[int, Span]
) -> None:
    """Take records under an epoch as the dispatcher does; `spans` are those of this MDT's epochs."""
    epoch = where[1]
    if not log or log[-1].index <= spans.get(epoch, Span()).last_index:
        return
    batch = Batch(LATER_NS)
    spans[epoch] = batch.add_block(
        raw(*log),
        count=len(log),
        last_index=log[-1].index,
        where=where,
        taken=spans.get(epoch, Span()),
        others=[span for other, span in spans.items() if other != epoch],
    )
    for place, link in batch.links.items():
        known = names.get(place)
        if known is None or link.stamp > known.stamp:
            names[place] = link


@examples(500)
@given(moves, st.integers(0, 100), st.integers(0, 1 << 32))
def test_a_stale_redis_brings_no_name_back(plan: list[tuple[int, int, int, int]], more: int, seed: int) -> None:
    """Removed names are forgotten; then epochs that come back with what others have taken change nothing."""
    chance = random.Random(seed)
    system = Lustre(chance)
    system.do(plan)
    system.do(any_moves(chance, more))
    names: dict[Place, Link] = {}
    epochs: list[dict[int, Span]] = [{}, {}]
    for mdt, log in enumerate(system.logs):
        first, again = sorted((chance.randrange(len(log) + 1), chance.randrange(len(log) + 1)), reverse=True)
        played(names, log[:first], (mdt, 1), epochs[mdt])
        played(names, log[again:], (mdt, 2), epochs[mdt])
    names = {place: link for place, link in followed(names.values(), present_fids(system)).items() if link.fid}
    for mdt, log in enumerate(system.logs):
        for epoch in chance.sample([1, 1, 2, 3], 2):
            start = chance.randrange(len(log) + 1)
            played(names, log[start : start + 20], (mdt, epoch), epochs[mdt])
    assert meant(names, system) == system.truth()
