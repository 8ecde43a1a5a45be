"""Rules on complete directories: when one fires, and that it fires once. The index is real, on both databases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from lustre_events.actions.delivery import Delivery
from lustre_events.actions.kinds import transfer
from lustre_events.actions.run_transitions import AGAIN, OK
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.dispatcher import directory_judging
from lustre_events.domain.rules.containers import STAGING, staging_name
from lustre_events.jobs.messages import Job
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ENDPOINTS, ActionRig, action_rig, rules_of
from tests.support.model.dispatcher import FACTS, MDT0, MDT1, answers
from tests.support.records import builders as b

RULE = """
[[rule]]
name = "reduce"
on = "directory"
directories = ["/runs/*"]
complete = {{ {complete} }}
action = "webhook"
endpoint = "beamline"
body = {{ path = "{{path}}", what = "{{trigger}}", files = "{{files}}" }}
{more}
"""
MARKER = 'marker = "*.done"'
RUNS, DAY = 100, 101
"""The directories /runs and /runs/day."""
DIRECTORIES = {b.fid_of(each) for each in range(RUNS, 10_000)}
"""Objects with these numbers are directories."""
MakeRig = Callable[..., ActionRig]


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    made: list[ActionRig] = []

    def build(complete: str = MARKER, more: str = "", **settings: object) -> ActionRig:
        rig = action_rig(index_place, RULE.format(complete=complete, more=more), **settings)
        made.append(rig)
        tell(rig, b.mkdir(fid=RUNS, name=b"runs"), b.mkdir(fid=DAY, parent=RUNS, name=b"day"))
        return rig

    yield build
    for rig in made:
        rig.close()


def tell(rig: ActionRig, *records: ChangelogRecord, seconds: float = 16, mtime: int = 1) -> None:
    """Let records come, the reader have caught up, `stat` see what there is, and time pass."""
    jobs = rig.play(*now(rig, *records))
    for _ in range(4):
        stat(rig, jobs, mtime)
        wait(rig, 1)
        jobs = rig.queue.take()
    wait(rig, seconds)


def now(rig: ActionRig, *records: ChangelogRecord) -> list[ChangelogRecord]:
    """Return records of this moment."""
    return [msgspec.structs.replace(record, time_ns=rig.now_ns + number) for number, record in enumerate(records)]


def stat(rig: ActionRig, jobs: Iterable[Job], mtime: int = 1, types: str = "fd") -> None:
    """Let `stat` say what there is of these types, with this time of content."""
    for job in jobs:
        for found in answers(job):
            type_ = "d" if found.fid in DIRECTORIES else "f"
            facts = {**FACTS, "type": type_, "mtime_ns": mtime}
            if type_ in types:
                rig.results.put([msgspec.structs.replace(found, document=facts)])
    rig.settle()


def wait(rig: ActionRig, seconds: float) -> None:
    """Let time pass, after which the reader has caught up."""
    rig.pass_seconds(seconds)
    caught_up(rig, MDT0)
    rig.pass_seconds(2)
    rig.settle()


def caught_up(rig: ActionRig, mdt: str) -> None:
    """Let a reader say that it has read everything until now."""
    tail = rig.store.tail(mdt)
    state = {"epoch": tail.epoch, "index": tail.last_index, "time_ns": rig.now_ns}
    rig.store.reader_states[mdt] = {f"caught_up_{name}": str(value) for name, value in state.items()}


def written(fid: int, name: bytes, parent: int = DAY) -> list[ChangelogRecord]:
    """A file that is made in a directory and closed."""
    return [b.create(fid=fid, parent=parent, name=name), b.close(fid=fid)]


def told(rig: ActionRig) -> list[tuple[str, int]]:
    return [(each["path"], each["files"]) for each in rig.sent()]


def test_a_marker_completes_its_directory_once(make: MakeRig) -> None:
    """A directory is told when the file that marks it is there, with its path and how many files it has, once."""
    rig = make()
    tell(rig, *written(1, b"a"), *written(2, b"b"))
    assert told(rig) == []
    tell(rig, *written(3, b"day.done"))
    assert told(rig) == [("/runs/day", 2)]
    tell(rig, b.sattr(fid=1), b.close(fid=2))
    assert told(rig) == []
    assert rig.states() == {"done": 1}


def test_all_that_is_said_must_be_so(make: MakeRig) -> None:
    """With a marker and a number of files both must be there, in any order; the marker is not counted."""
    rig = make('marker = "*.done", min_files = 2')
    tell(rig, *written(1, b"day.done"), *written(2, b"a"))
    assert told(rig) == []
    tell(rig, *written(3, b"b"))
    assert told(rig) == [("/runs/day", 2)]


def test_a_quiet_directory_is_complete(make: MakeRig) -> None:
    """A directory is complete when nothing was written in it for so long, however long it is written to."""
    rig = make("quiet_seconds = 600", settle_max_seconds=1)
    for number in range(1, 5):
        tell(rig, *written(number, b"%d" % number), seconds=300)
        assert told(rig) == []
    wait(rig, 600)
    assert told(rig) == [("/runs/day", 4)]


def test_it_is_not_quiet_while_records_may_come(make: MakeRig) -> None:
    """Quiet is what the records say, not the clock: while the reader is behind nobody knows whether it is."""
    rig = make("quiet_seconds = 600")
    tell(rig, *written(1, b"a"), seconds=1)
    rig.pass_seconds(2_000)
    rig.settle()
    assert rig.states() == {"settling": 1}
    assert [run.error for run in rig.runs()] == ["records of that time may still come"]
    wait(rig, 1)
    assert told(rig) == [("/runs/day", 1)]


def test_it_waits_for_the_facts_of_its_files(make: MakeRig) -> None:
    """A directory is judged when the facts of all of its files are known, and its run says what it waits for."""
    rig = make()
    rig.play(*now(rig, *written(1, b"a"), *written(2, b"day.done")))
    wait(rig, 20)
    jobs = rig.queue.take()
    stat(rig, jobs, types="d")
    wait(rig, 20)
    assert [run.error for run in rig.runs()] == ["the facts of a are not known yet"]
    stat(rig, jobs)
    wait(rig, 60)
    assert told(rig) == [("/runs/day", 1)]


@pytest.mark.parametrize(
    ("late", "found", "states"),
    [
        ("report", [], {"done": 1, "cancelled": 1}),
        ("ignore", [], {"done": 1}),
        ("again", [("/runs/day", 2)], {"done": 2}),
    ],
)
def test_what_comes_later(make: MakeRig, late: str, found: list[tuple[str, int]], states: dict[str, int]) -> None:
    """What is written into a directory that was complete is listed, or ignored, or completes it again."""
    rig = make(more=f'late = "{late}"')
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    assert told(rig) == [("/runs/day", 1)]
    tell(rig, *written(3, b"late"))
    assert told(rig) == found
    assert rig.states() == states
    keys = [run.key for run in rig.runs()]
    assert len(keys) == len(set(keys))


def test_again_replaces_what_was_not_sent(make: MakeRig) -> None:
    """Where a directory is complete again before its endpoint takes it, it is told as it is now only."""
    rig = make(more='late = "again"')
    rig.ask("hold_action", name="reduce", kind="rule")
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    tell(rig, *written(3, b"late"))
    assert rig.states() == {"waiting": 1, "superseded": 1}
    rig.ask("release_action", name="reduce", kind="rule")
    rig.settle()
    assert told(rig) == [("/runs/day", 2)]


def test_a_report_keeps_what_was_not_sent(make: MakeRig) -> None:
    """What comes late does not take the place of the run that waits, or failed, when late things are reported."""
    rig = make()
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    sent = rig.take()
    jobs = rig.play(*now(rig, *written(3, b"late")))
    rig.reply(sent, AGAIN, error="no")
    assert rig.states() == {"settling": 1, "waiting": 1}
    stat(rig, jobs)
    tell(rig)
    rig.reply(rig.take(), OK)
    assert rig.states() == {"done": 1, "cancelled": 1}


def test_a_directory_that_is_moved_into_place_is_asked(make: MakeRig) -> None:
    """A directory that was filled elsewhere is told when it gets a name for which the rule holds, and not again."""
    rig = make()
    tell(rig, b.mkdir(fid=200, name=b"new"), *written(1, b"a", 200), *written(2, b"x.done", 200))
    assert told(rig) == []
    tell(rig, b.rename(fid=200, name=b"new", to=b"x", to_parent=RUNS))
    assert told(rig) == [("/runs/x", 1)]
    tell(rig, b.rename(fid=200, parent=RUNS, name=b"x", to=b"y", to_parent=RUNS))
    assert told(rig) == []


def test_what_goes_away_completes_nothing(make: MakeRig) -> None:
    """A directory that loses a file is not told again, though what is in it is new then."""
    rig = make(more='late = "again"')
    tell(rig, *written(1, b"a"), *written(2, b"b"), *written(3, b"day.done"))
    assert told(rig) == [("/runs/day", 2)]
    tell(rig, b.unlink(fid=2, parent=DAY, name=b"b"))
    tell(rig, b.unlink(fid=1, parent=DAY, name=b"a"))
    assert (told(rig), rig.states()) == ([], {"done": 1})
    tell(rig, *written(4, b"c"))
    assert told(rig) == [("/runs/day", 1)]


def test_a_rename_above_fires_nothing(make: MakeRig) -> None:
    """A directory that gets a path for which the rule holds by a rename above it is not told; a file in it is."""
    rig = make()
    tell(rig, b.rename(fid=RUNS, name=b"runs", to=b"old"), b.mkdir(fid=200, name=b"new"))
    tell(rig, b.mkdir(fid=201, parent=200, name=b"x"), *written(1, b"a", 201), *written(2, b"x.done", 201))
    tell(rig, b.rename(fid=200, name=b"new", to=b"runs"))
    assert (told(rig), rig.states()) == ([], {})
    tell(rig, *written(3, b"b", 201))
    assert told(rig) == [("/runs/x", 2)]


@pytest.mark.parametrize(
    ("more", "holds"),
    [
        ("owners = [1000]\ngroups = [100]", True),
        ("owners = [7]", False),
        ("groups = [7]", False),
        ("not = { owners = [7], groups = [7] }", True),
        ("not = { groups = [100] }", False),
        ('not = { directories = ["/runs/d*"] }', False),
    ],
)
def test_whose_directory_it_is_counts(make: MakeRig, more: str, *, holds: bool) -> None:
    """`owners`, `groups` and `not` are asked of the directory itself."""
    rig = make(more=more)
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    assert told(rig) == [("/runs/day", 1)] * holds


@pytest.mark.parametrize("own", [False, True])
def test_own_work_counts_where_the_rule_says_so(make: MakeRig, *, own: bool) -> None:
    """What a container has put into a directory completes it, and counts, only for a rule that says `own`."""
    calibrate = '[[rule]]\nname = "c"\naction = "calibrate"\noutputs = "runs/day"\nextensions = ["raw"]\n'
    rig = make("min_files = 1", f"own = {str(own).lower()}\n{calibrate}")
    tell(rig, b.create(fid=1, name=b"a.raw"))
    (delivery,) = rig.take()
    rig.reply([delivery])
    folder = staging_name(delivery.events[0].run, rig.now_ns)
    tell(
        rig, b.mkdir(1001, DAY, STAGING), b.mkdir(2001, 1001, folder), b.create(2, 2001, b"out"), b.close(2),
        b.rename(2, 2001, b"out", to=b"out", to_parent=DAY), b.rmdir(2001, 1001, folder),
        b.rmdir(1001, DAY, STAGING),
    )  # fmt: skip
    assert told(rig) == [("/runs/day", 1)] * own
    tell(rig, *written(3, b"x"))
    assert told(rig) == ([] if own else [("/runs/day", 1)])  # for `own` it came late


def test_it_waits_for_all_mdts(make: MakeRig) -> None:
    """While the reader of one MDT is behind no directory is complete: its records may be about files in it."""
    rig = make(skew_seconds=0)
    rig.mdts = (MDT0, MDT1)
    rig.restart()
    tell(rig, *written(1, b"day.done"))
    assert [run.error for run in rig.runs()] == ["records of that time may still come"]
    stat(rig, rig.play(*now(rig, *written(2, b"a")), mdt=MDT1))
    rig.pass_seconds(20)
    caught_up(rig, MDT1)
    wait(rig, 1)
    tell(rig)
    assert told(rig) == [("/runs/day", 1)]


def test_what_has_fired_goes_with_its_directory(make: MakeRig) -> None:
    """What is remembered of a directory that was complete is forgotten when the directory is gone."""
    rig = make(more='late = "again"')
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    tell(rig, *written(3, b"b"))
    kept = "SELECT count(*) FROM fired"
    assert rig.select(kept) == [4]  # how often it was complete, that it was, and with which two contents
    names = {1: b"a", 2: b"day.done", 3: b"b"}
    tell(rig, *(b.unlink(fid=fid, parent=DAY, name=name) for fid, name in names.items()))
    tell(rig, b.rmdir(fid=DAY, parent=RUNS, name=b"day"))
    assert rig.select(kept) == [0]


def test_a_complete_directory_is_copied_as_a_whole(make: MakeRig) -> None:
    """The file worker is told of the directory, once, and that all below it is meant."""
    rig = make()
    text = RULE.format(complete=MARKER, more='with = { strip = "/runs" }')
    text = text.replace("webhook", "transfer").replace("beamline", "archive").replace("body =", "# body =")
    rig.dispatcher._actions.follow(rules_of(text), ENDPOINTS)
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    tell(rig, b.close(fid=2))
    (delivery,) = rig.take()
    (order,) = [transfer.read(event.body) for event in delivery.events]
    assert delivery.endpoint == "transfer:archive"
    assert (order.fid, order.path, order.strip) == (str(b.fid_of(DAY)), "/runs/day", "runs")
    assert (order.directory, order.outputs) == (True, None)


def test_what_migrates_is_not_told_again(make: MakeRig) -> None:
    """A directory that migrates with its files has other FIDs and the same content: it is complete once."""
    rig = make(more='late = "again"')
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    assert told(rig) == [("/runs/day", 1)]
    tell(rig, b.migrate(fid=DAY, new_fid=202, parent=RUNS, name=b"day"))
    tell(rig, b.migrate(fid=1, new_fid=11, parent=202, name=b"a"))
    tell(rig, b.close(fid=11))
    assert told(rig) == []
    tell(rig, *written(3, b"late", 202))
    assert told(rig) == [("/runs/day", 2)]


def test_what_follows_a_directory_is_about_this_directory(make: MakeRig) -> None:
    """A rule that comes after one on directories is about the directory, and `directories` names it itself."""
    then = '[[rule]]\nname = "then"\nafter = "reduce"\naction = "webhook"\nendpoint = "other"\n'
    rig = make(more=then + 'directories = ["/runs/day"]\nbody = { path = "{path}", files = "{files}" }')
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    assert (told(rig), told(rig)) == ([("/runs/day", 1)], [("/runs/day", 1)])
    assert rig.states() == {"done": 2}


def test_directories_within_are_none_of_its_files(make: MakeRig) -> None:
    """Only what lies directly in a directory counts, and only files: others have rules of their own."""
    rig = make("min_files = 2")
    tell(rig, *written(1, b"a"), b.mkdir(fid=200, parent=DAY, name=b"sub"), *written(2, b"b", 200))
    assert told(rig) == []
    assert rig.states() == {}


def test_an_edited_rule_is_asked_about_what_waits(make: MakeRig) -> None:
    """A rule that is edited before its run goes out is asked again: what is not complete by it is not sent."""
    rig = make()
    rig.ask("hold_action", name="reduce", kind="rule")
    tell(rig, *written(1, b"a"), *written(2, b"day.done"))
    assert rig.states() == {"waiting": 1}
    rig.rules = rules_of(RULE.format(complete='marker = "*.done", min_files = 2', more=""))
    rig.restart()
    rig.ask("release_action", name="reduce", kind="rule")
    tell(rig)
    assert (told(rig), rig.states()) == ([], {})
    tell(rig, *written(3, b"b"))
    assert told(rig) == [("/runs/day", 2)]


@pytest.mark.long
def test_a_large_directory_is_read_in_portions(make: MakeRig) -> None:
    """A directory with more names than one write may read is judged all the same, with all of its files."""
    rig, many = make("min_files = 1_100"), 1_100
    assert many > directory_judging.NAMES
    tell(rig, *(each for number in range(many) for each in written(20_000 + number, b"%d" % number)))
    assert told(rig) == [("/runs/day", many)]


@pytest.mark.long
def test_a_thousand_directories_fire_once_each(make: MakeRig, index_place: IndexPlace) -> None:
    """1,000 directories (PostgreSQL: 200) that are completed in any order, with restarts: each key is sent once."""
    count = 1_000 if isinstance(index_place, Path) else 200
    rig, order = make('marker = "*.done", min_files = 1', more='late = "again"\nbatch = 200'), random.Random(21)
    directories = list(range(1_000, 1_000 + count))
    records = [[b.mkdir(fid=each, parent=RUNS, name=b"%d" % each)] for each in directories]
    files = [written(10 * each, b"a", each) for each in directories]
    marks = [written(10 * each + 1, b"x.done", each) for each in directories]
    parts = [*files, *marks]
    order.shuffle(parts)
    keys: Counter[str] = Counter()
    played = [*records, *parts]
    while played:
        portion, played = played[:300], played[300:]
        tell(rig, *(each for some in portion for each in some))
        if order.random() < 0.7:
            rig.restart()
        keys.update(event.key for delivery in deliver(rig) for event in delivery.events)
    for _ in range(3):
        tell(rig)
        keys.update(event.key for delivery in deliver(rig) for event in delivery.events)
    assert (len(keys), set(keys.values())) == (count, {1})
    assert rig.states() == {"done": count}


def deliver(rig: ActionRig) -> list[Delivery]:
    """Take what goes out, and say that it arrived."""
    found = rig.take()
    rig.reply(found)
    return found
