"""Runs of `slurm` in the dispatcher: what a job is told, when it is looked at, and that none is made twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from lustre_events.actions.delivery import Delivery
from lustre_events.actions.kinds.slurm import read
from lustre_events.changelog.fid import FID
from lustre_events.cli.runs import _chain
from lustre_events.domain.retries import RUN_RETRIED_NS
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ActionRig, action_rig, rules_of
from tests.support.records import builders as b
from tests.support.rows import each_row

MakeRig = Callable[..., ActionRig]
HELD, RELEASED = "7 1000 held 0", "7 1000 released 0"


def rule(more: str = "", given: str = "") -> str:
    return f'[[rule]]\nname = "reduce"\naction = "slurm"\nwith = {{ script = "reduce.sh"{given} }}\n{more}'


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    made: list[ActionRig] = []

    def build(text: str = "") -> ActionRig:
        made.append(action_rig(index_place, text or rule()))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


def handles(deliveries: Sequence[Delivery]) -> list[str]:
    return [event.handle for each in deliveries for event in each.events]


def test_what_a_file_worker_is_told(make: MakeRig) -> None:
    """What goes out names object, path, the rule's options and its arguments, each filled in by itself."""
    rig = make(rule(given=', arguments = ["{fid}", "$({name})", "{old_path}"], partition = "short", cpus = 4'))
    rig.tell(b.create(1, name=b"a \xff.h5"))
    (delivery,) = rig.take()
    order = read(delivery.events[0].body)
    assert (delivery.endpoint, order.path, order.fid) == ("slurm:reduce.sh", "/a%20%FF.h5", str(b.fid_of(1)))
    assert order.arguments == [order.fid, "$(a%20%FF.h5)", ""]
    assert order.options == {"partition": "short", "cpus-per-task": "4"}


def test_a_directory_has_one_job_that_newer_members_do_not_end(make: MakeRig) -> None:
    """A directory that is complete is told to a worker; a run that may have a job goes on when more comes."""
    more = 'on = "directory"\ndirectories = ["/d"]\ncomplete = { marker = "m*" }\nlate = "again"\n'
    rig = make(rule(more, given=', arguments = ["{files}"]'))
    rig.directories = {b.fid_of(9)}
    rig.tell(b.mkdir(fid=9, name=b"d"), b.create(1, parent=9, name=b"m"), b.create(2, parent=9, name=b"a"))
    (first,) = rig.take()
    order = read(first.events[0].body)
    assert (order.path, order.fid, order.arguments) == ("/d", str(b.fid_of(9)), ["1"])
    rig.reply([first], "again", error="sbatch did not end")
    rig.tell(b.create(3, parent=9, name=b"b"))
    assert len({run.key for run in rig.runs()}) == len(rig.runs()) == 2
    assert "superseded" not in rig.states()


def test_a_job_is_committed_before_it_is_released_and_looked_at_until_it_ends(make: MakeRig) -> None:
    """The job's id is in the ledger before a worker is told to release it, also behind a restart between these."""
    rig = make()
    rig.tell(b.create(1))
    first = rig.take()
    rig.reply(first, "started", handle=HELD)
    assert [run.handle for run in rig.runs()] == [HELD]
    rig.restart()
    rig.settle()
    rig.take()  # whatever went out is lost with Redis
    rig.pass_seconds(200)
    rig.settle()
    second = rig.take()
    assert handles(second) == [HELD]
    rig.reply(second, "started", handle=RELEASED, retry_after_ns=15 * SECOND_NS)
    assert (rig.take(), rig.states()) == ([], {"sent": 1})
    rig.pass_seconds(16)
    rig.settle()
    rig.reply(rig.take(), "ok")
    assert rig.states() == {"done": 1}
    assert rig.runs()[0].attempts == 1


@pytest.mark.parametrize("outcome", ["untried", "endpoint"])
def test_a_look_that_was_not_made_is_made_again(make: MakeRig, outcome: str) -> None:
    """A job is never lost from sight: an answer about the node or the lease's end leaves it where it was."""
    rig = make()
    rig.tell(b.create(1))
    rig.reply(rig.take(), "started", handle=RELEASED, retry_after_ns=15 * SECOND_NS)
    rig.pass_seconds(16)
    rig.settle()
    rig.reply(rig.take(), outcome, error="no Slurm here")
    for seconds in (16, 400, 100_000):
        rig.pass_seconds(seconds)
        rig.settle()
        assert handles(rig.take()) == [RELEASED]
    assert rig.states() == {"sent": 1}


def test_a_job_that_ended_in_vain_is_followed_by_one_of_another_name(make: MakeRig) -> None:
    """A node that failed, and a person who tries a dead run again: each time the job is a new one."""
    rig = make()
    rig.tell(b.create(1))
    rig.reply(rig.take(), "started", handle=RELEASED)
    rig.reply(rig.take(), "again", error="job 7 ended as NODE_FAIL")
    rig.pass_seconds(20)
    rig.settle()
    found = rig.take()
    assert [(event.handle, event.again) for each in found for event in each.events] == [("", 1)]
    rig.reply(found, "started", handle=RELEASED)
    rig.reply(rig.take(), "refused", error="job 8 ended as FAILED")
    assert rig.states() == {"dead": 1}
    rig.ask("retry_runs", rule="reduce")
    rig.settle()
    assert [(event.handle, event.again) for each in rig.take() for event in each.events] == [("", 2)]


def test_another_script_has_a_job_of_another_name_and_a_day_of_its_own(make: MakeRig) -> None:
    """A rule's edit never releases the job that may wait for its former script; earlier failures count no more."""
    rig = make()
    rig.tell(b.create(1))
    rig.reply(rig.take(), "again", error="sbatch did not end")
    rig.pass_seconds(RUN_RETRIED_NS / SECOND_NS - 60)
    script = rule().replace("reduce.sh", "other.sh")
    kept = {name: each for name, each in rig.endpoints.items() if name != "slurm:reduce.sh"}
    rig.dispatcher._actions.follow(rules_of(script), kept)
    for _ in range(2):
        rig.settle()
        rig.pass_seconds(20)
    rig.settle()
    (found,) = rig.take()
    assert (found.endpoint, [event.again for event in found.events]) == ("slurm:other.sh", [1])
    rig.pass_seconds(120)
    rig.reply([found], "again", error="the controller restarts")
    assert rig.states() == {"waiting": 1}


def test_the_day_of_tries_begins_when_a_job_has_failed(make: MakeRig) -> None:
    """A submission that failed at first is forgotten when it worked: a job that waited a day long is followed."""
    rig = make()
    rig.tell(b.create(1))
    rig.reply(rig.take(), "again", error="the controller restarts")
    rig.pass_seconds(30)
    rig.settle()
    rig.reply(rig.take(), "started", handle=RELEASED)
    for _ in range(25):
        rig.pass_seconds(3600)
        rig.settle()
        rig.reply(rig.take(), "started", handle=RELEASED)
    rig.pass_seconds(20)
    rig.settle()
    rig.reply(rig.take(), "again", error="job 7 ended as PREEMPTED")
    assert (rig.states(), [run.again for run in rig.runs()]) == ({"waiting": 1}, [1])


def test_jobs_that_all_end_in_vain_are_bounded(make: MakeRig) -> None:
    """Each job of a run begins, and its node fails: after ten of them the run is dead."""
    rig = make()
    rig.tell(b.create(1))
    jobs = 0
    while rig.states() != {"dead": 1}:
        found = rig.take()
        if found and not found[0].events[0].handle:
            jobs += 1
            rig.reply(found, "started", handle=RELEASED)
        elif found:
            rig.reply(found, "again", error="job 7 ended as NODE_FAIL")
        rig.pass_seconds(4000)
        rig.settle()
        assert jobs <= 10
    assert jobs == 10


def test_an_attempt_without_an_answer_keeps_its_name(make: MakeRig) -> None:
    """Whether a job was submitted is not known: it is looked for by the same name, also when content is newer."""
    rig = make()
    rig.tell(b.create(1))
    first = rig.take()
    rig.pass_seconds(400)
    rig.tell(b.close(1))
    rig.pass_seconds(20)
    rig.settle()
    again = rig.take()
    assert [event.key for each in again for event in each.events] == [each.events[0].key for each in first]
    assert {event.again for each in again for event in each.events} == {0}
    rig.reply(again, "started", handle=RELEASED)
    rig.reply(rig.take(), "ok")
    rig.pass_seconds(20)
    rig.settle()
    rig.reply(rig.take(), "started", handle=RELEASED)
    rig.reply(rig.take(), "ok")
    assert rig.states() == {"done": 2}


def test_one_job_of_a_rule_works_on_a_file_and_running_counts_jobs(make: MakeRig) -> None:
    """The next run for a file waits for its job; and `running` bounds the jobs that go on, not what is out."""
    rig = make(rule("running = 2\n"))
    rig.tell(*(b.create(fid, name=b"%d" % fid) for fid in range(1, 5)))
    first = rig.take()
    assert len(first) == 2
    rig.reply(first, "started", handle=RELEASED, retry_after_ns=10_000 * SECOND_NS)
    rig.tell(*(b.close(FID.parse(read(each.events[0].body).fid)) for each in first))
    rig.pass_seconds(60)
    rig.settle()
    assert rig.take() == []
    assert rig.states() == {"waiting": 4, "sent": 2}


def test_failures_end_after_a_day(make: MakeRig) -> None:
    """A job that cannot be submitted is tried for a day; then its run is dead."""
    rig = make()
    rig.tell(b.create(1))
    rig.reply(rig.take(), "again", error="sbatch ended with 1")
    rig.pass_seconds(RUN_RETRIED_NS // SECOND_NS + 1)
    rig.settle()
    rig.reply(rig.take(), "again", error="sbatch ended with 1")
    assert rig.states() == {"dead": 1}


@each_row(
    ("text", "words"),
    [
        (rule().replace("reduce.sh", "redcue.sh"), "unknown script 'redcue.sh'.*did you mean reduce.sh"),
        (rule().replace("reduce.sh", "../reduce.sh"), "needs `script`"),
        (rule('endpoint = "beamline"\n'), "is not for slurm"),
        (rule('outputs = "."\n'), "is not for slurm"),
        (rule('on = "removed"\n'), "a job works on what is there"),
        (rule('types = ["f", "d"]\n'), "a job works on files, or"),
        (rule(given=', partition = "a b"'), "cannot take as --partition"),
        (rule(given=', partition = "-x"'), "cannot take as --partition"),
        (rule(given=', output = "%j.out"'), "not an absolute path"),
        (rule(given=', arguments = ["{nothing}"]'), "unknown field"),
        (rule(given=', wrap = "rm"'), "unknown key wrap"),
    ],
)
def test_a_wrong_rule_of_slurm(text: str, words: str) -> None:
    """What a rule of slurm cannot say is refused in one sentence."""
    with pytest.raises(ConfigError, match=words):
        rules_of(text)


def test_a_node_that_lacks_slurm_holds_nobody(make: MakeRig) -> None:
    """What one node could not try goes out again soon, however often, and neither rule nor script is held."""
    rig = make()
    rig.tell(b.create(1))
    for _ in range(20):
        rig.reply(rig.take(), "untried", error="node1: sbatch is not installed", retry_after_ns=15 * SECOND_NS)
        assert (rig.states(), rig.runs()[0].attempts) == ({"waiting": 1}, 0)
        assert "node1: sbatch" in rig.ask("actions")["rules"][0]["last_error"]
        rig.pass_seconds(16)
        rig.settle()
    assert [each["held"] for each in rig.ask("actions")["rules"]] == [""]
    assert [each["held"] for each in rig.ask("actions")["endpoints"] if each["held"]] == []
    rig.reply(rig.take(), "started", handle=RELEASED)
    assert rig.states() == {"sent": 1}


def test_what_was_not_tried_says_nothing_of_the_script(make: MakeRig) -> None:
    """A script that fails again and again stays on probation while nodes that lack it give its runs back."""
    rig = make()
    rig.tell(b.create(1))
    for _ in range(6):
        rig.reply(rig.take(), "again", error="the controller is away")
        rig.pass_seconds(3_700)
        rig.settle()
    guards = rig.dispatcher._actions.runs.guards
    assert guards.tripped_endpoints() == ["slurm:reduce.sh"]
    rig.reply(rig.take(), "untried", error="node1: sbatch is not installed")
    assert guards.tripped_endpoints() == ["slurm:reduce.sh"]


@pytest.mark.parametrize(
    ("handle", "says", "since_ns"),
    [
        ("7 1000 released 1700001000", "RUNNING", 1_700_001_000 * SECOND_NS),
        ("7 1000 gone 1700001000", "nothing", 1_700_001_000 * SECOND_NS),
        (RELEASED, "", 0),
    ],
)
def test_a_run_tells_what_slurm_says_of_its_job(make: MakeRig, handle: str, says: str, since_ns: int) -> None:
    """Who asks about a run that goes on is told which job does it, what Slurm says of that, and since when."""
    rig = make()
    rig.tell(b.create(1))
    rig.reply(rig.take(), "started", handle=handle, retry_after_ns=15 * SECOND_NS)
    (run,) = rig.ask("runs", rule="reduce")["runs"]
    assert run["job"] == {"id": 7, "says": says, "since_ns": since_ns}
    (said,) = [line for line in _chain(run, []) if "Slurm" in line]
    assert (f"says {says} of job 7" in said) if since_ns else (said == "  job 7 of Slurm; sacct -j 7 tells more")


@pytest.mark.parametrize(("outcome", "state"), [("ok", "done"), ("refused", "dead")])
def test_a_run_that_has_ended_names_its_job(make: MakeRig, outcome: str, state: str) -> None:
    """Once its job has ended, a run still says which job that was, so that its output can be looked for."""
    rig = make()
    rig.tell(b.create(1))
    rig.reply(rig.take(), "started", handle=RELEASED, retry_after_ns=15 * SECOND_NS)
    rig.pass_seconds(30)
    rig.settle()
    rig.reply(rig.take(), outcome)
    (run,) = rig.ask("runs", rule="reduce")["runs"]
    assert run["state"] == state
    assert "  job 7 of Slurm; sacct -j 7 tells more" in _chain(run, [])
