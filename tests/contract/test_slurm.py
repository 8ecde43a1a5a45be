"""The contract of `slurm`, to Debian's Slurm: a job as the owner, once, whatever is killed or does not answer."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from lustre_events.actions.delivery import Delivery, Parcel
from lustre_events.actions.job_handles import HELD, RELEASED, Handle
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, GONE, OK, REFUSED, STARTED, UNTRIED, Attempt
from lustre_events.actions.slurm_commands import JobRow, SlurmCommands
from lustre_events.domain.rules.batch_scripts import endpoint_name
from lustre_events.node.doctor.slurm_client import look
from tests.support.servers.slurm import cluster
from tests.support.service.slurm_site import OWNER, SlurmSite, queue
from workers.slurm_jobs import LATE_SECONDS

pytestmark = pytest.mark.long

ODD = b"-a 'b' \xff\n$(touch no);|c"


@pytest.fixture(scope="module")
def _slurm() -> Iterator[None]:
    """A Slurm for all tests here; its commands find it by SLURM_CONF."""
    folder = Path(tempfile.mkdtemp(prefix="lustre-events-test-"))
    folder.chmod(0o755)
    with cluster(folder) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", found.environment["SLURM_CONF"])
        yield
    shutil.rmtree(folder)


@pytest.fixture
def site(_slurm: None, open_folder: Path) -> SlurmSite:
    found = SlurmSite(open_folder)
    found.write(1)
    return found


def key_of(folder: SlurmSite, name: str) -> str:
    """Return a key that no other test has: jobs of all tests are in one queue."""
    return f"{name}{folder.tree.parent.name[-8:]}"


def has_ended(attempt: Attempt) -> bool:
    return attempt.outcome != STARTED


def test_a_job_runs_as_the_owner_and_gets_its_words_unchanged(site: SlurmSite) -> None:
    """The job is the owner's, and what a name or an argument has in it is never read by a shell of ours."""
    key, name = key_of(site, "own"), site.write(1, ODD)
    event = site.parcel(key, path="".join(f"%{each:02X}" for each in name), arguments=("$(id) `x`",))
    first = site.attempt(event)
    assert (first.outcome, first.retry_after_ns) == (STARTED, 0)
    assert Handle.parse(first.handle).phase == HELD
    assert "JobHeldUser" in queue(f"--name=le-{key}")
    assert site.until(event, has_ended).outcome == OK
    job = Handle.parse(first.handle).job
    path = os.fsdecode(os.fsencode(site.tree) + b"/" + name)
    assert (site.ran / key).read_bytes() == os.fsencode(f"{job}|{OWNER.uid}|{path}|$(id) `x`\n")
    assert {each.name for each in site.ran.iterdir()} == {key}
    assert sorted(each.name for each in site.tree.iterdir() if each.name[0] != "f") == ["ran"]


@pytest.mark.parametrize("name", [b"--uid=0", b"--array=1-9", b"$(touch no)", b"a'b\n#SBATCH --uid=0"])
def test_no_name_or_argument_becomes_an_option_of_sbatch(site: SlurmSite, name: bytes) -> None:
    """Names of files and directories, and arguments of a rule, are words of the job, whatever they look like."""
    key, folder = key_of(site, "words"), site.tree / os.fsdecode(name)
    folder.mkdir()
    shutil.move(site.tree / "f1", folder / "f1")
    (folder / "ran").symlink_to(site.ran)
    said = os.fsdecode(name).replace("\n", " ")
    event = site.parcel(key, path=quote(name) + "/f1", arguments=(said,))
    assert site.until(event, has_ended).outcome == OK
    (uid, *words) = (site.ran / key).read_text().strip("\n").split("|")[1:]
    assert (uid, words) == (str(OWNER.uid), [str(folder / "f1"), said])
    assert {each.name for each in site.ran.iterdir()} == {key}


def test_a_users_rule_submits_for_that_users_files_alone(site: SlurmSite) -> None:
    """A file that is somebody else's by now has no job of the rule of who owned it before."""
    event = site.parcel(key_of(site, "author"))
    body = json.loads(event.body)
    others = Parcel(event.run, event.key, json.dumps({**body, "author": OWNER.uid + 1}).encode())
    found = site.attempt(others)
    assert (found.outcome, "and the rule to uid" in found.error) == (REFUSED, True)
    assert queue(f"--name=le-{event.key}") == ""
    own = Parcel(event.run, event.key, json.dumps({**body, "author": OWNER.uid}).encode())
    assert site.until(own, has_ended).outcome == OK


def test_a_job_whose_submission_had_no_answer_is_found_by_its_name(site: SlurmSite) -> None:
    """Killed between submitting and the answer: the next attempt finds the job, which has not run meanwhile."""
    event = site.parcel(key_of(site, "found"))
    first = site.attempt(event)
    again = site.attempt(event)
    assert (again.outcome, again.handle) == (STARTED, first.handle)
    assert site.until(event, has_ended).outcome == OK
    assert len(site.lines(event.key)) == 1


def test_of_two_jobs_of_one_run_the_one_that_is_committed_runs(site: SlurmSite) -> None:
    """A submission that came through late leaves a second job: it is cancelled, and has never run."""
    event = site.parcel(key_of(site, "two"))
    committed = site.attempt(event)
    site.jobs.commands.submit([f"--job-name=le-{event.key}", "--output=/dev/null"],
                              [str(site.script), "x", event.key], site.jobs._caller(OWNER.uid))  # fmt: skip
    ended = site.until(Parcel(event.run, event.key, b"", committed.handle), has_ended)
    assert ended.outcome == OK
    assert [line.partition("|")[0] for line in site.lines(event.key)] == [committed.handle.partition(" ")[0]]
    assert sorted(line.split()[2] for line in queue(f"--name=le-{event.key}").splitlines()) == [
        "CANCELLED", "COMPLETED",
    ]  # fmt: skip


def test_since_when_a_job_is_running_is_known(site: SlurmSite) -> None:
    """A job that takes long tells when it began, as the controller has it, wherever its time zone is."""
    event = site.parcel(key_of(site, "long"))
    site.script.write_text("#!/bin/sh\nexec sleep 300\n")
    running = site.until(event, lambda found: bool(found.handle and Handle.parse(found.handle).since))
    handle = Handle.parse(running.handle)
    assert abs(handle.since - time.time()) < 60
    site.jobs.commands.cancel(handle.job, site.jobs._caller(OWNER.uid))
    assert site.until(Parcel(event.run, event.key, b"", running.handle), has_ended).outcome == GONE


def test_a_job_of_another_user_with_the_name_of_a_run_is_none_of_it(site: SlurmSite) -> None:
    """Who gives a job the name of a run, to have it taken for done, changes nothing."""
    event = site.parcel(key_of(site, "stranger"))
    site.jobs.commands.submit([f"--job-name=le-{event.key}", "--output=/dev/null"], [str(site.script)], None)
    found = site.attempt(event)
    assert Handle.parse(found.handle).uid == OWNER.uid
    assert len(queue(f"--name=le-{event.key}").splitlines()) == 2


def test_how_a_job_ends(site: SlurmSite) -> None:
    """A job that fails makes a dead run with its state, one that somebody cancels a cancelled run."""
    failing = site.parcel(key_of(site, "fails"), arguments=("", "3"))
    ended = site.until(failing, has_ended)
    assert (ended.outcome, "ended as FAILED" in ended.error) == (REFUSED, True)
    event = site.parcel(key_of(site, "cancelled"))
    first = site.attempt(event)
    site.jobs.commands.cancel(Handle.parse(first.handle).job, site.jobs._caller(OWNER.uid))
    assert site.until(event, has_ended).outcome == GONE
    assert site.lines(event.key) == []
    after = Parcel(event.run, event.key, event.body, "", 1)  # a person tries it again: another job
    assert site.until(after, has_ended).outcome == OK


@pytest.mark.parametrize(
    ("options", "script", "outcome", "words"),
    [
        ({"partition": "nix"}, "reduce.sh", ENDPOINT, "nvalid partition"),
        ({"time": "x"}, "reduce.sh", ENDPOINT, "Invalid --time"),
        ({}, "other.sh", UNTRIED, "no job script 'other.sh' is here"),
        ({}, "../scripts/reduce.sh", REFUSED, "no job script"),
    ],
)
def test_what_is_wrong_with_a_rule_holds_no_more_than_it_must(
    site: SlurmSite, options: dict[str, str], script: str, outcome: str, words: str
) -> None:
    """What would fail for each file on all nodes holds the script, with what sbatch said; a node holds nothing."""
    event = site.parcel(key_of(site, "wrong"), **options)
    found = site.attempt(event, script)
    assert (found.outcome, words in found.error) == (outcome, True), found
    assert queue(f"--name=le-{event.key}") == ""


def test_a_script_that_others_could_change_is_not_submitted(site: SlurmSite) -> None:
    """Jobs are made of what only the site can write, and the doctor says so, too."""
    site.script.chmod(0o777)
    found = site.attempt(site.parcel(key_of(site, "open")))
    assert (found.outcome, "others could change it" in found.error) == (UNTRIED, True)
    assert "others could change it" in next(each.text for each in look(site.script.parent))


def test_the_doctor_tells_the_controller_and_the_lack_of_accounting(site: SlurmSite) -> None:
    """On a node that can submit jobs the doctor names the controller, and says what no accounting means."""
    said = [each.text for each in look(site.script.parent)]
    assert any("is UP" in each for each in said)
    assert any("there is no accounting" in each for each in said)


def test_files_that_no_job_may_be_made_for(site: SlurmSite) -> None:
    """Root's file makes no job as root, a file that is gone cancels its run, and too late an attempt is none."""
    event = site.parcel(key_of(site, "root"))
    os.chown(site.tree / "f1", 0, 0)
    found = site.attempt(event)
    assert (found.outcome, "below [worker] min_uid" in found.error) == (REFUSED, True)
    (site.tree / "f1").unlink()
    assert site.attempt(event).outcome == GONE
    late = Delivery("a", endpoint_name("reduce.sh"), time.time_ns() + 10**9, (event,))
    assert [each.outcome for _, each in site.jobs.attempts(late)] == [UNTRIED]
    assert queue(f"--name=le-{event.key}") == ""


# What does not answer


def test_without_accounting_a_job_that_was_forgotten_is_dead_and_not_submitted_again(site: SlurmSite) -> None:
    """How it ended is not known, so a person decides: nothing is done twice, nothing silently counts as done."""
    event = site.parcel(key_of(site, "forgotten"))
    found = site.attempt(Parcel(event.run, event.key, b"", str(Handle(999_999, OWNER.uid, RELEASED))))
    assert (found.outcome, "there is no accounting" in found.error) == (REFUSED, True)


class LateAccounting(SlurmCommands):
    """Accounting that says nothing of a job, or that it still runs, until it says how the job ended."""

    rows: tuple[JobRow, ...] = ()

    def accounted(self, jobs: object) -> list[JobRow] | None:
        """See SlurmCommands."""
        return list(self.rows)


@pytest.mark.parametrize("first", ["", "RUNNING"])
def test_late_accounting_is_waited_for(site: SlurmSite, first: str) -> None:
    """A job that the controller has forgotten goes on until accounting tells its end, or has had its time."""
    event = site.parcel(key_of(site, "late"))
    row = JobRow(999_999, OWNER.uid, first, f"le-{event.key}")
    site.with_commands(accounting(row) if first else accounting())
    waiting = site.attempt(Parcel(event.run, event.key, b"", str(Handle(999_999, OWNER.uid, RELEASED))))
    assert waiting.outcome == STARTED
    since = Handle.parse(waiting.handle).since
    assert abs(since - time.time()) < 60
    again = Parcel(event.run, event.key, b"", waiting.handle)
    assert site.attempt(again).handle == waiting.handle
    late = Handle(999_999, OWNER.uid, "gone", since - LATE_SECONDS)
    assert site.attempt(Parcel(event.run, event.key, b"", str(late))).outcome == REFUSED
    site.with_commands(accounting(JobRow(999_999, 1, "FAILED", row.name), row_as(row, "COMPLETED")))
    assert site.attempt(again).outcome == OK


def accounting(*rows: JobRow) -> SlurmCommands:
    """Return commands whose accounting knows these jobs."""
    made = type("Told", (LateAccounting,), {"rows": rows, "__slots__": ()})
    return made()


def row_as(row: JobRow, state: str) -> JobRow:
    """Return a job in another state."""
    return JobRow(row.job, row.uid, state, row.name)


@pytest.mark.parametrize("manner", ["hangs", "fails", "missing"])
def test_a_slurm_that_does_not_answer(
    open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    """A command that hangs costs its deadline, and a job that goes on stays known, however long that lasts."""
    site = SlurmSite(open_folder)
    site.write(1)
    programs = tmp_path / "bin"
    programs.mkdir()
    says = "exec sleep 600" if manner == "hangs" else "echo 'Unable to contact slurm controller' >&2; exit 1"
    for name in ("squeue", "sbatch"):
        (programs / name).write_text(f"#!/bin/sh\n{says}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere" if manner == "missing" else f"{programs}:/bin:/usr/bin")
    site.with_commands(SlurmCommands(seconds=0.5))
    event, handle = site.parcel("k"), str(Handle(5, OWNER.uid, RELEASED))
    began = time.monotonic()
    found = site.attempt(event)
    known = site.attempt(Parcel(event.run, event.key, b"", handle))
    assert time.monotonic() - began < 60
    assert found.outcome == (UNTRIED if manner == "missing" else AGAIN), found
    if manner == "missing":
        assert known.outcome == UNTRIED
    else:
        assert (known.outcome, known.handle, bool(known.error)) == (STARTED, handle, True)
