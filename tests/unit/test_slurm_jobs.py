"""What becomes of runs by what Slurm says: of the end of a job, and of a job that it refuses. Slurm is told."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.job_handles import RELEASED, Handle
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, GONE, OK, REFUSED, STARTED, UNTRIED
from lustre_events.actions.slurm_commands import Caller, JobRow, SlurmCommands, SlurmFailed, SlurmMissing
from lustre_events.domain.times import SECOND_NS
from tests.support.service.slurm_site import OWNER, SlurmSite

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")


@dataclass(frozen=True)
class ToldSlurm(SlurmCommands):
    """A Slurm that knows these jobs, and refuses others with a sentence."""

    rows: tuple[JobRow, ...] = ()
    refusal: str = ""
    known: tuple[JobRow, ...] | None = None
    """What accounting knows; None: it does not answer."""

    def queued(self, names: Collection[str]) -> list[JobRow]:
        """See SlurmCommands."""
        return [row for row in self.rows if row.name in names]

    def accounted(self, jobs: Collection[int]) -> list[JobRow] | None:
        """See SlurmCommands."""
        if self.known is None:
            raise SlurmFailed("sacct ended with 1: Problem talking to the database")
        return list(self.known)

    def submit(self, options: Sequence[str], words: Sequence[str], caller: Caller | None) -> int:
        """See SlurmCommands."""
        raise SlurmFailed(f"sbatch ended with 1: {self.refusal}", self.refusal)

    def cancel(self, job: int, caller: Caller | None) -> None:
        """See SlurmCommands."""
        raise SlurmFailed(f"scancel {job} was called")


@pytest.fixture
def site(open_folder: Path) -> SlurmSite:
    found = SlurmSite(open_folder)
    found.write(1)
    return found


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        (("COMPLETED",), OK), (("CANCELLED",), GONE), (("FAILED",), REFUSED), (("TIMEOUT",), REFUSED),
        (("OUT_OF_MEMORY",), REFUSED), (("DEADLINE",), REFUSED), (("NODE_FAIL",), AGAIN), (("BOOT_FAIL",), AGAIN),
        (("PREEMPTED",), AGAIN), (("RUNNING",), STARTED), (("REQUEUED",), STARTED), (("A_NEW_WORD",), STARTED),
        (("COMPLETED", "RUNNING"), STARTED), (("COMPLETED", "NODE_FAIL"), AGAIN),
        (("NODE_FAIL", "FAILED"), REFUSED), (("COMPLETED", "COMPLETED"), OK),
    ],
)  # fmt: skip
def test_the_end_of_a_job_is_that_of_its_run(site: SlurmSite, states: Sequence[str], outcome: str) -> None:
    """Each state is what the guide says; of an array the worst task counts, when all of them have ended."""
    site.with_commands(ToldSlurm(rows=tuple(JobRow(7, OWNER.uid, state, "le-k") for state in states)))
    found = site.attempt(Parcel("run-k", "k", b"", str(Handle(7, OWNER.uid, RELEASED))))
    assert found.outcome == outcome


def test_a_run_says_that_its_user_holds_the_job(site: SlurmSite) -> None:
    """Nothing goes on until the user releases it, and the run says how."""
    site.with_commands(ToldSlurm(rows=(JobRow(7, OWNER.uid, "PENDING", "le-k", held=True),)))
    found = site.attempt(Parcel("run-k", "k", b"", str(Handle(7, OWNER.uid, RELEASED))))
    assert (found.outcome, "scontrol release 7" in found.error) == (STARTED, True)


def test_a_job_is_followed_for_as_long_as_accounting_does_not_answer(site: SlurmSite) -> None:
    """Two days without an answer end no run; the hour in which a record may be late begins with the first one."""
    now_ns = time.time_ns()
    event = Parcel("run-k", "k", b"", str(Handle(7, OWNER.uid, RELEASED)))
    for hours, known in ((0, ()), (1, None), (48, None), (49, ()), (49.9, ())):
        moment_ns = now_ns + int(hours * 3_600) * SECOND_NS
        site.clock_of(lambda moment_ns=moment_ns: moment_ns)  # type: ignore[misc]
        site.with_commands(ToldSlurm(known=known))
        found = site.attempt(event)
        assert (found.outcome, bool(found.error)) == (STARTED, True)
        event = Parcel("run-k", "k", b"", found.handle)
    site.with_commands(ToldSlurm(known=(JobRow(7, OWNER.uid, "COMPLETED", "le-k"),)))
    assert site.attempt(event).outcome == OK


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", ENDPOINT),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", REFUSED),
        ("sbatch: error: Invalid account or account/partition combination specified", REFUSED),
        ("sbatch: error: Batch job submission failed: Access/permission denied", REFUSED),
        ("sbatch: error: Batch job submission failed: User's group not permitted to use this partition", REFUSED),
        ("sbatch: unrecognized option '--colour=red'", ENDPOINT),
        ("sbatch: error: Unable to open file /etc/lustre-events/slurm/reduce.sh", UNTRIED),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller", AGAIN),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", AGAIN),
    ],
)  # fmt: skip
def test_what_slurm_refuses_costs_no_more_than_it_concerns(site: SlurmSite, said: str, outcome: str) -> None:
    """What one user may not have is about that run; a rule wrong for all holds its script; all else passes."""
    site.with_commands(ToldSlurm(refusal=said))
    assert site.attempt(site.parcel("k")).outcome == outcome


@dataclass(frozen=True)
class LackingSlurm(ToldSlurm):
    """A node without one of Slurm's commands."""

    lacks: str = ""

    def queued(self, names: Collection[str]) -> list[JobRow]:
        """See SlurmCommands."""
        if self.lacks == "squeue":
            raise SlurmMissing("squeue is not installed on this node")
        return []

    def submit(self, options: Sequence[str], words: Sequence[str], caller: Caller | None) -> int:
        """See SlurmCommands."""
        raise SlurmMissing("sbatch is not installed on this node")


@pytest.mark.parametrize("lacks", ["squeue", "sbatch", "script", "folder", "rights"])
def test_what_one_node_lacks_is_left_to_another_one(site: SlurmSite, lacks: str) -> None:
    """Without a command, the script or its rights this node has not tried: it says which node it is, and why."""
    site.with_commands(LackingSlurm(lacks=lacks))
    if lacks == "script":
        site.script.unlink()
    elif lacks == "folder":
        shutil.rmtree(site.script.parent)
    elif lacks == "rights":
        site.script.chmod(0o777)
    found = site.attempt(site.parcel("k"))
    assert (found.outcome, found.error.partition(": ")[0]) == (UNTRIED, platform.node())
    assert found.retry_after_ns > 0


def test_a_node_without_slurm_leaves_the_look_at_a_job_to_another_one(site: SlurmSite) -> None:
    """A job goes on wherever it is looked at: who cannot look has not tried, and says why."""
    site.with_commands(LackingSlurm(lacks="squeue"))
    found = site.attempt(Parcel("run-k", "k", b"", str(Handle(7, OWNER.uid, RELEASED))))
    assert (found.outcome, "squeue is not installed" in found.error) == (UNTRIED, True)


def test_a_name_that_no_script_can_have_is_refused(site: SlurmSite) -> None:
    """No other node has a script of such a name either, so its run is dead."""
    site.with_commands(ToldSlurm())
    found = site.attempt(site.parcel("k"), "../scripts/reduce.sh")
    assert (found.outcome, "no job script" in found.error) == (REFUSED, True)


# Scripts, names and commands that others could use


def give_away(path: Path) -> None:
    os.chown(path, OWNER.uid, OWNER.gid)


@pytest.mark.parametrize("place", ["script", "folder"])
@pytest.mark.parametrize(
    "opened",
    [lambda path: path.chmod(0o775), lambda path: path.chmod(0o757), give_away],
    ids=["group", "all", "owner"],
)
def test_nothing_that_somebody_else_can_write_is_submitted(
    site: SlurmSite, place: str, opened: Callable[[Path], None]
) -> None:
    """A script, or its folder, that its group, all, or another user could write makes no job."""
    site.with_commands(ToldSlurm())
    assert site.attempt(site.parcel("k")).outcome == AGAIN
    opened(site.script if place == "script" else site.script.parent)
    found = site.attempt(site.parcel("k"))
    assert (found.outcome, "others could change it" in found.error) == (UNTRIED, True)


def test_jobs_of_another_user_with_the_name_of_a_run_neither_end_it_nor_are_ended(site: SlurmSite) -> None:
    """Only jobs of the file's owner are cancelled as second ones, and only they tell how the run ended."""
    event = Parcel("run-k", "k", b"", str(Handle(7, OWNER.uid, RELEASED)))
    stranger = JobRow(8, OWNER.uid + 1, "PENDING", "le-k", held=True)
    site.with_commands(ToldSlurm(rows=(JobRow(7, OWNER.uid, "RUNNING", "le-k"), stranger)))
    assert (site.attempt(event).outcome, site.attempt(event).error) == (STARTED, "")
    others = [JobRow(7, OWNER.uid + 1, "COMPLETED", "le-k"), JobRow(7, OWNER.uid, "COMPLETED", "le-j")]
    for known in others:
        site.with_commands(ToldSlurm(rows=(stranger,), known=(known,)))
        assert site.attempt(event).outcome == STARTED


def test_an_order_with_an_option_that_no_rule_can_have_is_refused(site: SlurmSite) -> None:
    """Options of sbatch are those of rules, whoever has written the order."""
    site.with_commands(ToldSlurm())
    found = site.attempt(site.parcel("k", uid="0"))
    assert (found.outcome, "--uid" in found.error) == (REFUSED, True)


def test_a_command_gets_the_owners_rights_and_none_of_the_workers_environment(
    site: SlurmSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of sbatch would be options, and others could be secrets: it gets what leads it to Slurm alone."""
    program, said = site.tree / "sbatch", site.ran / "said"
    program.write_text(f'#!/bin/sh\n{{ id -u; id -g; id -G; echo "$*"; env; echo; }} > {said}\necho 5\n')
    program.chmod(0o755)
    for name in ("SBATCH_ARRAY_INX", "SBATCH_UID", "LUSTRE_EVENTS_REDIS_URL", "PYTHONPATH"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PATH", f"{site.tree}:{os.environ['PATH']}")
    assert SlurmCommands().submit([], [], Caller(OWNER.uid, OWNER.gid, (OWNER.gid, 60_001))) == 5
    uid, gid, groups, words, *variables = said.read_text().split("\n")
    assert (uid, gid) == (str(OWNER.uid), str(OWNER.gid))
    assert set(groups.split()) == {str(OWNER.gid), "60001"}
    assert {"--hold", "--export=NIL"} <= set(words.split())
    names = {each.partition("=")[0] for each in variables} - {"PWD", "OLDPWD", "SHLVL", "_", ""}
    assert names <= {"PATH", "SLURM_CONF", "LD_LIBRARY_PATH", "SLURM_TIME_FORMAT"}


@dataclass(frozen=True)
class NotingSlurm(ToldSlurm):
    """A Slurm that takes each job, and notes who has submitted it."""

    callers: list[Caller | None] = field(default_factory=list)

    def submit(self, options: Sequence[str], words: Sequence[str], caller: Caller | None) -> int:
        """See SlurmCommands."""
        self.callers.append(caller)
        return 7


def test_a_job_is_submitted_with_all_groups_of_its_owner(site: SlurmSite) -> None:
    """What only members of a group may use in Slurm is there for the owner of a file as for whoever logs in."""
    slurm, member = NotingSlurm(), replace(OWNER, groups=(OWNER.gid, 60_001))
    site.with_commands(slurm)
    site.jobs = replace(site.jobs, rights=replace(site.jobs.rights, by_uid=lambda _uid: member))

    assert site.attempt(site.parcel("k")).outcome == STARTED
    assert slurm.callers == [Caller(OWNER.uid, OWNER.gid, (OWNER.gid, 60_001))]


@pytest.mark.parametrize(("state", "since"), [("RUNNING", 1_795_809_435), ("PENDING", 0), ("REQUEUED", 0)])
def test_a_run_keeps_since_when_its_job_is_running(site: SlurmSite, state: str, since: int) -> None:
    """What Slurm says of a job that goes on is kept with the run, since Slurm may say it for very long."""
    site.with_commands(ToldSlurm(rows=(JobRow(7, OWNER.uid, state, "le-k", since=1_795_809_435),)))
    found = site.attempt(Parcel("run-k", "k", b"", str(Handle(7, OWNER.uid, RELEASED))))
    assert (found.outcome, found.error, Handle.parse(found.handle).since) == (STARTED, "", since)
