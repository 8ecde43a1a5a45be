"""What may have become private is hidden from the record of the change on, until `stat` has seen it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.changelog.record import ChangelogRecord, RecordType
from lustre_events.index.opening import open_search
from lustre_events.index.visibility import Viewer
from lustre_events.jobs.messages import STAT, Job
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import FACTS, Rig, csv_rig
from tests.support.records import builders as b
from tests.support.records.builders import fid_of

OTHER = Viewer(4242, frozenset({4242}))
DIRECTORIES = {ROOT_FID, fid_of(1), fid_of(3), fid_of(4)}
FACTS_OF_DIRECTORY = {**FACTS, "type": "d", "mode": 0o755}


@pytest.fixture
def rig(index_place: IndexPlace) -> Iterator[Rig]:
    """`a.csv` (object 2) in a directory (1); another directory (3); all known, and open to everybody."""
    made = csv_rig(index_place)
    records = (
        b.mkdir(fid=1, name=b"open"),
        b.create(fid=2, parent=1, name=b"a.csv"),
        b.mkdir(fid=3, name=b"other"),
    )
    answer(made, made.play(*records, b.sattr(fid=ROOT_FID)))
    yield made
    made.close()


def answer(rig: Rig, jobs: Iterable[Job], **facts: int) -> None:
    """Answer jobs, and what comes of that: `stat` finds `facts`, of directories and of the file alike."""
    rest = list(jobs)
    while rest:
        for job in rest:
            for item in job.items:
                known = (FACTS_OF_DIRECTORY if item.fid in DIRECTORIES else FACTS) | facts
                document = known if job.extractor == STAT else {"rows": 3}
                rig.answer([msgspec.structs.replace(job, items=(item,))], document=document)
        rig.pass_seconds(100)
        rest = rig.play()


def seen(rig: Rig, viewer: Viewer = OTHER) -> tuple[int, int, int, int]:
    """Return how many documents, names, jobs and values of a facet somebody finds."""
    place = rig.path if isinstance(rig.path, str) else f"sqlite:///{rig.path}"
    with open_search(place) as index:
        return (
            index.count("tabular.rows:3", visible_to=viewer),
            index.count("name:a.csv", visible_to=viewer),
            index.count("type:f jobid:*", visible_to=viewer),
            len(index.facets("type:f", ["tabular.rows"], visible_to=viewer)["tabular.rows"]),
        )


ALL, NOTHING, NAME_ONLY = (1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 0, 0)


@pytest.mark.parametrize(
    ("record", "left"),
    [
        (b.sattr(fid=2), NAME_ONLY),
        (b.record(RecordType.CTIME, 2), NAME_ONLY),
        (b.xattr(fid=2, xattr=b"system.posix_acl_access"), NAME_ONLY),
        (b.sattr(fid=1), NOTHING),
        (b.sattr(fid=ROOT_FID), NOTHING),
        (b.xattr(fid=2), ALL),
        (b.mtime(fid=2), ALL),
        (b.mkdir(fid=4, parent=1, name=b"new"), ALL),
    ],
)
def test_a_change_of_rights_hides_at_once(rig: Rig, record: ChangelogRecord, left: tuple[int, ...]) -> None:
    """After a chmod, chown or setfacl others find nothing by what was open before; other changes hide nothing."""
    assert seen(rig) == ALL

    jobs = rig.play(record)
    assert (seen(rig), seen(rig, Viewer(0))) == (left, ALL)

    answer(rig, jobs)
    assert seen(rig) == ALL, "stat has been there: it is open all the same"


def test_what_stat_saw_before_the_change_grants_nothing(rig: Rig) -> None:
    """A `stat` that began before the chmod and answers after it does not show the file again."""
    before = rig.play(b.mtime(fid=2))
    rig.play(b.sattr(fid=2))
    rig.answer([job for job in before if job.extractor == STAT])
    assert seen(rig) == NAME_ONLY

    rig.pass_seconds(100)
    answer(rig, rig.play(), mode=0o700)
    assert seen(rig) == NAME_ONLY, "and what it sees then is that the file is private"


def test_a_move_into_a_private_directory_hides_at_once(rig: Rig) -> None:
    """Who may not pass the new directory finds nothing below it from the record of the move on."""
    answer(rig, rig.play(b.sattr(fid=3)), mode=0o700)
    assert seen(rig) == ALL

    rig.play(b.rename(fid=1, name=b"open", to=b"open", to_parent=3))
    assert seen(rig) == NOTHING


def test_rights_taken_away_before_a_migration_stay_taken(rig: Rig) -> None:
    """A file that is migrated to another MDT after its chmod is as hidden under its new FID."""
    rig.play(b.sattr(fid=2))
    rig.play(b.migrate(fid=2, new_fid=5, parent=1, name=b"a.csv"))
    assert seen(rig)[0] == 0
