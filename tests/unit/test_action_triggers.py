"""What fires an action, and what does not. The index is real, on both databases; the courier is the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.dispatcher.late_facts import LateFacts
from lustre_events.dispatcher.result_outcome import ResultOutcome
from lustre_events.dispatcher.run_settling import ReadIndex
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.namespace import Link, base_stamp
from lustre_events.index.interface import ObjectRow
from lustre_events.jobs.messages import SCAN, STAT, Job
from lustre_events.node.action_parts import ActionReader
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ActionRig, action_rig, rules_of
from tests.support.model.dispatcher import FACTS, MDT1
from tests.support.records import builders as b

RULE = """
[[rule]]
name = "tell"
on = [{on}]
types = ["f", "d"]
action = "webhook"
endpoint = "beamline"
body = {{ path = "{{path}}", old = "{{old_path}}", what = "{{trigger}}", size = "{{size}}" }}
{more}
"""
MakeRig = Callable[..., ActionRig]


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    made: list[ActionRig] = []

    def build(*on: str, more: str = "", **settings: object) -> ActionRig:
        rule = RULE.format(on=", ".join(f'"{each}"' for each in on), more=more)
        made.append(action_rig(index_place, rule, **settings))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


def told(rig: ActionRig) -> list[tuple[str, str]]:
    return [(each["what"], each["path"]) for each in rig.sent()]


DIRECTORY = {**FACTS, "type": "d"}


@pytest.mark.parametrize(
    ("trigger", "records"),
    [
        ("content", [b.close()]),
        ("content", [b.truncate()]),
        ("attributes", [b.sattr()]),
        ("xattr", [b.xattr()]),
        ("hsm", [b.hsm()]),
        ("removed", [b.unlink()]),
        ("renamed", [b.rename(fid=1, name=b"a", to=b"z")]),
    ],
)
def test_each_trigger_fires_for_its_records_only(
    make: MakeRig, trigger: str, records: list[ChangelogRecord]
) -> None:
    """A record fires the rules of its own trigger: one rule on everything is told that, and nothing else."""
    rig = make("content", "attributes", "xattr", "hsm", "removed", "renamed")
    rig.tell(b.create())
    rig.sent()
    rig.tell(*records)
    assert [what for what, _ in told(rig)] == [trigger]


def test_a_new_file_fires_created_and_content(make: MakeRig) -> None:
    """A file that is created and written is one creation and one content, however many records said so."""
    rig = make("created", "content")
    rig.tell(b.create(), b.close(), b.mtime(), b.close())
    assert sorted(told(rig)) == [("content", "/a"), ("created", "/a")]


def test_directories_fire_too(make: MakeRig) -> None:
    """A directory is created, renamed and removed like a file, under its names."""
    rig = make("created", "renamed", "removed")
    rig.tell(b.mkdir(name=b"d"), facts=DIRECTORY)
    assert told(rig) == [("created", "/d")]
    rig.tell(b.rename(fid=1, name=b"d", to=b"e"), facts=DIRECTORY)
    (found,) = rig.sent()
    assert (found["path"], found["old"]) == ("/e", "/d")
    rig.tell(b.rmdir(name=b"e"))
    assert told(rig) == [("removed", "/e")]


def test_what_is_removed_is_told_with_what_was_known(make: MakeRig) -> None:
    """A removal is told with the path and the facts that the object had, though the index has forgotten it."""
    rig = make("removed", more='min_size = "5"\ndirectories = ["/d"]')
    rig.tell(b.mkdir(fid=9, name=b"d"), facts=DIRECTORY)
    rig.tell(b.create(parent=9), facts={**FACTS, "size": 7})
    rig.tell(b.unlink(parent=9))
    assert [(each["path"], each["size"]) for each in rig.sent()] == [("/d/a", 7)]


def test_what_is_removed_before_anybody_looked_at_it_is_told_too(make: MakeRig) -> None:
    """A removal is told though no facts were known yet: the record of the creation said that it is a file."""
    rig = make("removed")
    rig.play(b.create())
    rig.tell(b.unlink())
    assert [(each["path"], each["size"]) for each in rig.sent()] == [("/a", None)]


def test_a_name_of_several_is_no_removal(make: MakeRig) -> None:
    """A file with two names is removed when the last one goes."""
    rig = make("removed")
    rig.tell(b.create(), b.link(name=b"b"))
    rig.tell(b.unlink(last=False))
    assert told(rig) == []
    rig.tell(b.unlink(name=b"b"))
    assert told(rig) == [("removed", "/b")]


def test_what_a_rename_overwrites_is_removed(make: MakeRig) -> None:
    """A file whose last name another file takes is removed, and only that one."""
    rig = make("removed")
    rig.tell(b.create(fid=1, name=b"a"), b.create(fid=2, name=b"b"))
    rig.tell(b.rename(fid=1, name=b"a", to=b"b", over=2))
    assert told(rig) == [("removed", "/b")]


def test_settling_brings_many_writes_to_one_run(make: MakeRig) -> None:
    """A file that is written over and over is told once, after it has rested, with its newest state."""
    rig = make("content", settle_seconds=30, settle_max_seconds=1000)
    for size in range(3):
        first = [b.create(time_ns=rig.now_ns)] if not size else []
        rig.tell(*first, b.close(time_ns=rig.now_ns), facts={**FACTS, "size": size})
        assert rig.states() == {"settling": 1}
    rig.pass_seconds(100)
    rig.settle()
    assert [each["size"] for each in rig.sent()] == [2]
    rig.tell(b.close())
    assert len(rig.sent()) == 1


def test_a_rename_fires_content_once_and_only_where_the_rule_begins_to_hold(make: MakeRig) -> None:
    """A file that gets a name for which a rule holds now is new content for it, once; any other rename is not."""
    rig = make("content", more='extensions = ["h5"]')
    rig.tell(b.create(name=b".x.tmp"), b.close())
    assert told(rig) == []
    rig.tell(b.rename(fid=1, name=b".x.tmp", to=b"x.h5"))
    assert told(rig) == [("content", "/x.h5")]
    rig.tell(b.rename(fid=1, name=b"x.h5", to=b"y.h5"))
    rig.tell(b.rename(fid=1, name=b"y.h5", to=b"y.tmp"))
    rig.tell(b.rename(fid=1, name=b"y.tmp", to=b"z.h5"))
    assert told(rig) == []


def test_a_name_that_no_rule_wants_is_passed_over_until_there_is_another(make: MakeRig) -> None:
    """A file of which no name is wanted fires nothing when it is written again; with a second name it does."""
    rig = make("content", more='extensions = ["h5"]')
    rig.tell(b.create(fid=1, name=b"a.tmp"))
    rig.tell(b.close(fid=1))
    rig.tell(b.close(fid=1))
    assert (told(rig), rig.states()) == ([], {})
    rig.tell(b.link(fid=1, name=b"a.h5"))
    rig.tell(b.close(fid=1))
    assert told(rig) == [("content", "/a.h5")]


def test_a_rename_of_a_tree_fires_nothing_in_it(make: MakeRig) -> None:
    """A directory that is renamed is told itself; the files in it are not, whatever a rule says of their paths."""
    rig = make("content", "renamed", more='directories = ["/new/**"]')
    rig.tell(b.mkdir(fid=9, name=b"old"), b.mkdir(fid=8, name=b"new"), facts=DIRECTORY)
    rig.tell(*[b.create(fid=10 + each, parent=9, name=b"%d" % each) for each in range(5)])
    rig.tell(b.rename(fid=9, name=b"old", to_parent=8, to=b"old"), facts=DIRECTORY)
    assert told(rig) == [("renamed", "/new/old")]


def test_an_archive_or_a_new_layout_is_no_content(make: MakeRig) -> None:
    """A CLOSE that comes with HSM or layout records and leaves size and time as they were is no content."""
    rig = make("content")
    rig.tell(b.create(), b.close())
    rig.sent()
    rig.tell(b.hsm(), b.close())
    rig.tell(b.layout(), b.close())
    assert told(rig) == []
    rig.tell(b.layout(), b.close(), facts={**FACTS, "mtime_ns": 5})
    assert told(rig) == [("content", "/a")]


def test_a_rule_fires_for_what_happens_after_it_is_active(make: MakeRig) -> None:
    """Records of a time before the rule became active fire nothing, though they are read later."""
    rig = make("content")
    early = b.START_NS - 10**9
    rig.tell(b.create(time_ns=early), b.close(time_ns=early))
    assert told(rig) == []
    rig.tell(b.close())
    assert told(rig) == [("content", "/a")]


def in_hand(rig: ActionRig, *records: ChangelogRecord, seconds: int = 0) -> list[Job]:
    """Let records come, and a worker that has taken their jobs be busy for some time; return the jobs."""
    jobs = rig.play(*records)
    rig.queue.running |= {job.id for job in jobs}
    for _ in range(seconds // 10):
        rig.pass_seconds(10)
        rig.settle()
    return jobs


def test_facts_that_come_late_wake_the_run_that_waits_for_them(make: MakeRig) -> None:
    """However long a run has waited, it goes out as soon as the facts are there, and not when it is due again."""
    rig = make("content", more='min_size = "1k"')
    jobs = in_hand(rig, b.create(), b.close(), seconds=500)
    (waiting,) = rig.runs()
    assert waiting.due_ns > rig.now_ns + 30 * 10**9
    rig.answer(jobs, document={**FACTS, "size": 5000})
    assert told(rig) == [("content", "/a")]


def test_a_run_that_has_ended_waits_for_no_facts(make: MakeRig) -> None:
    """One that somebody cancelled is forgotten when the facts come, one whose rule is gone when it is ended."""
    rig = make("content", more='min_size = "1k"')
    late_facts = rig.dispatcher._actions.settling.late_facts
    jobs = in_hand(rig, b.create(), b.close(), seconds=30)
    rig.ask("cancel_runs", rule="tell")
    assert len(late_facts) == 1
    rig.answer(jobs)
    assert len(late_facts) == 0
    in_hand(rig, b.create(2, name=b"b"), b.close(2), seconds=30)
    assert len(late_facts) == 1
    rig.dispatcher._actions.follow(rules_of(""), rig.endpoints)
    rig.pass_seconds(100)
    rig.settle()
    assert (len(late_facts), rig.states()) == (0, {"cancelled": 2})


def test_runs_that_are_known_to_wait_keep_no_other_from_being_woken(make: MakeRig) -> None:
    """Where as many wait as are known, they are forgotten, and the next one is woken by its facts."""
    rig = make("content", more='min_size = "1k"')
    rig.dispatcher._actions.settling.late_facts = LateFacts(most=1)
    in_hand(rig, b.create(), b.close(), seconds=500)
    jobs = in_hand(rig, b.create(2, name=b"b"), b.close(2), seconds=20)
    rig.answer(jobs, document={**FACTS, "size": 5000})
    assert ("content", "/b") in told(rig)


def test_facts_wake_no_run_that_still_rests(make: MakeRig) -> None:
    """A run that waited, and whose file was written again, rests as any other does, whatever facts come."""
    rig = make("content", more='min_size = "1k"\nsettle_seconds = 100', settle_max_seconds=9_999)
    jobs = in_hand(rig, b.create(), b.close(), seconds=300)
    rig.play(b.close(time_ns=rig.now_ns))
    for _ in range(5):
        rig.answer(jobs, document={**FACTS, "size": 5000})
        rig.pass_seconds(10)
        rig.settle()
        jobs = rig.queue.take()
    assert rig.states() == {"settling": 1}
    rig.pass_seconds(100)
    rig.settle()
    assert told(rig) == [("content", "/a")]


DAY_NS = 24 * 3_600 * 10**9


@pytest.mark.parametrize("rights_itself", [False, True], ids=["restarted", "running"])
def test_a_clock_that_was_behind_once_wakes_no_rule_for_old_changes(make: MakeRig, *, rights_itself: bool) -> None:
    """While the clock is behind what records say, and after that, the rule is active since when it was before."""
    rig = make("content")
    rig.tell(b.create(2, name=b"b", time_ns=rig.now_ns))
    assert told(rig) == [("content", "/b")]
    true_ns = rig.now_ns
    rig.now_ns -= 30 * DAY_NS
    if not rights_itself:
        rig.restart()
    rig.settle()
    late = [b.create(3, name=b"c", time_ns=true_ns - 5 * DAY_NS), b.close(3, time_ns=true_ns - 5 * DAY_NS)]
    rig.answer(rig.play(*late, mdt=MDT1))
    rig.now_ns = true_ns + 10**9
    late = [b.create(4, name=b"d", time_ns=true_ns - 4 * DAY_NS), b.close(4, time_ns=true_ns - 4 * DAY_NS)]
    rig.answer(rig.play(*late, mdt=MDT1))
    rig.pass_seconds(60)
    rig.settle()
    assert told(rig) == []
    rig.tell(b.create(5, name=b"e", time_ns=rig.now_ns))
    assert told(rig) == [("content", "/e")]


def test_a_rule_that_is_new_after_a_record_of_the_future_fires_for_what_happens_next(make: MakeRig) -> None:
    """An MDT whose clock was ahead silences no new rule: such a rule is active from this node's time on."""
    rig = make("content")
    rig.tell(b.create(2, name=b"b", time_ns=rig.now_ns + 300 * DAY_NS))
    assert told(rig) == [("content", "/b")]
    new = RULE.format(on='"content"', more="").replace('"tell"', '"new"')
    rig.dispatcher._actions.follow(rules_of(new), rig.endpoints)
    rig.settle()
    rig.tell(b.create(3, name=b"c", time_ns=rig.now_ns), b.close(3, time_ns=rig.now_ns), mdt=MDT1)
    assert told(rig) == [("content", "/c")]


def test_clocks_that_disagree_are_told_once(make: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    """One sentence names the MDT, says by how much, and blames neither; clocks that agree are not told of."""
    rig = make("content")
    rig.tell(b.create(2, name=b"b", time_ns=rig.now_ns))
    rig.answer(rig.play(b.create(3, name=b"c", time_ns=rig.now_ns), mdt=MDT1))
    assert "disagree" not in caplog.text
    rig.play(b.close(3, time_ns=rig.now_ns + DAY_NS), mdt=MDT1)
    for _ in range(3):
        rig.settle()
    (said,) = [each for each in caplog.messages if "disagree" in each]
    assert f"the clock of this node and the records of {MDT1} disagree by 86400 s" in said
    assert "correct whichever is wrong" in said


def test_conditions_are_asked_when_all_is_known(make: MakeRig) -> None:
    """A rule on facts waits for those of the present content, and what does not meet it leaves no run."""
    rig = make("content", more='min_size = "1k"')
    jobs = rig.play(b.create(), b.close())
    rig.pass_seconds(20)
    rig.settle()
    assert rig.states() == {"settling": 1}
    rig.answer(jobs, document={**FACTS, "size": 10})
    rig.pass_seconds(60)
    rig.settle()
    assert rig.states() == {}
    rig.tell(b.close(), facts={**FACTS, "size": 5000})
    assert told(rig) == [("content", "/a")]


def test_what_is_gone_before_it_settled_is_forgotten(make: MakeRig) -> None:
    """A file that is removed before it has settled is told to nobody as content."""
    rig = make("content", settle_seconds=3000)
    rig.tell(b.create(), b.close())
    rig.tell(b.unlink())
    rig.pass_seconds(4000)
    rig.settle()
    assert (told(rig), rig.states()) == ([], {})


def test_a_migration_is_the_same_object(make: MakeRig) -> None:
    """What has fired, and what waits, follows a file to its new FID; the migration itself fires nothing."""
    rig = make("content", more='extensions = ["h5"]')
    rig.tell(b.create(name=b"x.h5"), b.close())
    assert told(rig) == [("content", "/x.h5")]
    rig.tell(b.migrate(fid=1, new_fid=2, name=b"x.h5"))
    rig.tell(b.rename(fid=2, name=b"x.h5", to=b"y"))
    rig.tell(b.rename(fid=2, name=b"y", to=b"x.h5"))
    assert told(rig) == []
    assert rig.runs()[0].fid == b.fid_of(2)


# Documents

DOCUMENT_RULE = """
[[rule]]
name = "tables"
extensions = ["csv"]
extractor = "tabular"
settle_seconds = 0

[[rule]]
name = "arrays"
extensions = ["csv"]
extractor = "hdf5"
settle_seconds = 0

[[rule]]
name = "hot"
on = "document"
query = "rows:>2"
action = "webhook"
endpoint = "beamline"
body = { path = "{path}", what = "{trigger}", rows = "{doc.tabular.rows}" }
"""


@pytest.fixture
def documents(index_place: IndexPlace) -> Iterator[ActionRig]:
    rig = action_rig(index_place, DOCUMENT_RULE)
    read = ActionReader(rig.path if isinstance(rig.path, str) else f"sqlite:///{rig.path}")
    rig.dispatcher._actions.settling._reading = ReadIndex(read.documents, read.matching)
    yield rig
    read.close()
    rig.close()


def extracted(rig: ActionRig, rows: int, *records: ChangelogRecord) -> list[dict[str, object]]:
    """Let a file change, and its table have this number of rows; return what is told then."""
    jobs = rig.play(*records)
    for _ in range(6):
        for job in jobs:
            rig.answer([job], "ok", **({} if job.extractor == STAT else {"document": {"rows": rows}}))
        rig.pass_seconds(1)
        rig.settle()
        jobs = rig.queue.take()
    return rig.sent()


def test_a_document_fires_when_the_query_finds_it(documents: ActionRig) -> None:
    """A document that the query finds fires once for its content; one that it does not find leaves no run."""
    rig = documents
    assert extracted(rig, 2, b.create(name=b"a.csv"), b.close()) == []
    assert rig.states() == {}
    told = [{"path": "/a.csv", "what": "document", "rows": 3}]
    assert extracted(rig, 3, b.close(time_ns=rig.now_ns)) == told
    assert extracted(rig, 4, b.sattr(time_ns=rig.now_ns), b.rename(name=b"a.csv", to=b"b.csv")) == []
    told = [{"path": "/b.csv", "what": "document", "rows": 5}]
    assert extracted(rig, 5, b.close(time_ns=rig.now_ns)) == told


def test_a_backfill_asks_the_query_and_tells_again(documents: ActionRig) -> None:
    """Files that a rule has told of are told again by a backfill if its query finds them, and only then."""
    rig = documents
    extracted(rig, 3, b.create(name=b"a.csv"), b.close())
    extracted(rig, 2, b.create(fid=2, name=b"b.csv"), b.close(fid=2))
    rig.ask("backfill", rule="hot", fids=[str(b.fid_of(1)), str(b.fid_of(2))], once="t")
    rig.settle()
    rig.pass_seconds(1)
    rig.settle()
    assert rig.sent() == [{"path": "/a.csv", "what": "document", "rows": 3}]


def test_reprocessing_fires_nothing(documents: ActionRig) -> None:
    """A document that is made again because somebody asked for it fires nothing, though the query finds it now."""
    rig = documents
    assert extracted(rig, 1, b.create(name=b"a.csv"), b.close()) == []
    rig.ask("reprocess", name="tabular", fids=[str(b.fid_of(1))])
    rig.pass_seconds(1)
    assert extracted(rig, 9) == []
    assert [
        body for body in rig.select("SELECT body FROM document WHERE extractor = 'tabular'") if "9" in str(body)
    ]


def test_a_query_waits_until_nothing_is_pending(documents: ActionRig) -> None:
    """While another extraction of the file is pending its rule is not asked; then it is, once for all documents."""
    rig = documents
    jobs = rig.play(b.create(name=b"a.csv"), b.close())
    rig.answer([job for job in jobs if job.extractor != "hdf5"])
    for _ in range(5):
        rig.pass_seconds(1)
        rig.settle()
    assert (rig.take(), rig.states()) == ([], {"settling": 1})
    rig.answer([job for job in jobs if job.extractor == "hdf5"])
    for _ in range(3):
        rig.pass_seconds(1)
        rig.settle()
    assert len(rig.sent()) == 1


def test_a_document_of_the_same_content_ends_no_run(documents: ActionRig) -> None:
    """A run that waits for its endpoint outlives another document of the same content, which fires nothing more."""
    rig = documents
    rig.ask("hold_action", name="hot")
    assert extracted(rig, 3, b.create(name=b"a.csv"), b.close()) == []
    with rig.writer.transaction() as transaction:
        row = transaction.objects([b.fid_of(1)])[b.fid_of(1)]
        outcome = ResultOutcome(row, "hdf5", 1, 1, "ok", "write")
        rig.dispatcher._actions.triggers.documents(Turn(transaction, Counter(), rig.now_ns), [outcome])
    rig.pass_seconds(5)
    rig.settle()
    rig.ask("release_action", name="hot")
    rig.pass_seconds(5)
    rig.settle()
    assert len(rig.sent()) == 1
    assert rig.states() == {"done": 1}


def test_what_a_scan_finds_fires_nothing(documents: ActionRig) -> None:
    """Names, facts and documents of files that a scan found fire no rule; the first record about them does."""
    rig = documents
    for number, cause in ((1, b""), (2, base_stamp(rig.now_ns))):
        row = ObjectRow(fid=b.fid_of(number), generation=1, content=1, type="f", cause=cause)
        with rig.writer.transaction() as transaction:
            transaction.put_objects([row])
            transaction.set_links([Link(ROOT_FID, b"%d.csv" % number, row.fid, base_stamp(rig.now_ns))])
            turn = Turn(transaction, Counter(), rig.now_ns)
            found = transaction.objects([row.fid])[row.fid]
            outcomes = [ResultOutcome(found, "tabular", 1, 1, "ok", reason) for reason in (SCAN, "retry", "write")]
            rig.dispatcher._actions.triggers.documents(turn, outcomes)
    assert rig.runs() == []
    assert len(extracted(rig, 5, b.close(fid=1, time_ns=rig.now_ns))) == 1
