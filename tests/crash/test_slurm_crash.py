"""Workers and dispatchers killed, and Slurm restarted, while jobs are submitted: none runs twice, none is lost.

A job that is lost between its start and its node stays RUNNING in Slurm until the node registers. Then it is queued
again, two minutes later. The test has nodes register where nothing has ended for a while, as docs/slurm.md says.

By hand with more, and slurmd and munged killed, too:

    DAEMONS=1 KILLS=200 JOBS=200 nice python -P -m pytest -s tests/crash/test_slurm_crash.py
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lustre_events.actions.delivery import Answer, Delivery, decode_answers, encode_answers
from lustre_events.domain.action_run import DEAD, DONE
from tests.support.model.actions import ActionRig, action_rig
from tests.support.records import builders as b
from tests.support.servers.slurm import Cluster, cluster
from tests.support.service.slurm_site import SlurmSite, queue

KILLS, JOBS = int(os.environ.get("KILLS", "12")), int(os.environ.get("JOBS", "12"))
DAEMONS = bool(os.environ.get("DAEMONS"))
RULE = """
[[rule]]
name = "reduce"
action = "slurm"
with = { script = "reduce.sh", arguments = ["{key}"] }
"""
MOST_SECONDS = 300 + 4 * JOBS + 600 * DAEMONS
QUIET_SECONDS = 40
"""A job counts as missing on its node BatchStartTimeout and MessageTimeout (20 s) after it has been started."""
LONGEST_LIFE = 0.04


@pytest.fixture
def slurm(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    (open_folder / "slurm").mkdir(mode=0o755)
    with cluster(open_folder / "slurm", "MinJobAge=3600\n") as found:  # 200 kills may take longer than 300 s
        monkeypatch.setenv("SLURM_CONF", found.environment["SLURM_CONF"])
        yield found


@dataclass
class Chaos:
    """A dispatcher in this process, a worker that is a fork for each delivery, and what was killed so far."""

    rig: ActionRig
    site: SlurmSite
    slurm: Cluster
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    worker_in: int = 2
    """One in as many deliveries kills its worker."""
    controller_in: int = 8
    """One in as many turns ends the controller."""
    saves: bool = True
    """Whether a controller that ends writes down what it knows."""
    node_in: int = 8
    """One in as many turns kills slurmd, or munged, where DAEMONS says so."""

    def turn(self) -> None:
        """Let a worker do all that went out; kill something as long as there are kills."""
        self.rig.settle()
        deliveries = self.rig.take()
        for delivery in deliveries:
            self._work(delivery)
        self.rig.settle()
        if self._dies("dispatcher", 4):
            self.rig.restart()  # with what it had taken from Redis and not committed
        if self._dies("controller", self.controller_in):
            self.slurm.restart_controller(saves=self.saves)
        for number, name in ((0, "munged"), (2, "slurmd")) if DAEMONS else ():
            if self._dies(name, self.node_in):
                self.slurm.kill(number)
        if not deliveries:
            self.rig.pass_seconds(100)  # beyond a lease, so what was killed is found
            time.sleep(0.02)

    def _dies(self, what: str, one_in: int) -> bool:
        if self.kills.total() >= KILLS or self.chance.randrange(one_in):
            return False
        self.kills[what] += 1
        return True

    def _work(self, delivery: Delivery) -> None:
        dies = self._dies("worker", self.worker_in)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            self._be_worker(delivery, write_end)
        os.close(write_end)
        if dies:
            time.sleep(self.chance.random() * LONGEST_LIFE)
            os.kill(child, signal.SIGKILL)
        with open(read_end, "rb") as pipe:  # noqa: PTH123 - a descriptor
            told = pipe.read().splitlines()
        os.waitpid(child, 0)
        for line in told:
            self.rig.link.put_answers(decode_answers(line))

    def _be_worker(self, delivery: Delivery, write_end: int) -> None:
        try:
            for event, found in self.site.jobs.attempts(delivery):
                answer = Answer(
                    event.run, delivery.attempt, found.outcome, found.status, found.error, found.retry_after_ns,
                    handle=found.handle,
                )  # fmt: skip
                os.write(write_end, encode_answers([answer]) + b"\n")
        finally:
            os._exit(0)


@pytest.mark.timeout(MOST_SECONDS + 60)
def test_no_job_runs_twice_whatever_is_killed(slurm: Cluster, open_folder: Path, tmp_path: Path) -> None:
    """Worker and dispatcher killed, controller restarted, at any moment: each job runs once, each run is done."""
    site = SlurmSite(open_folder)
    rig = action_rig(tmp_path / "index.db", RULE)
    site.clock_of(lambda: rig.now_ns)
    chaos = Chaos(rig, site, slurm, random.Random(1))
    rig.tell(*(b.create(number, name=site.write(number)) for number in range(1, JOBS + 1)))
    ends = time.monotonic() + MOST_SECONDS
    ended, since = 0, time.monotonic()
    while (count := (states := rig.states()).get(DONE, 0) + states.get(DEAD, 0)) < JOBS:
        assert time.monotonic() < ends, (states, chaos.kills, queue(), [run.error for run in rig.runs()])
        if count > ended or time.monotonic() - since > QUIET_SECONDS:
            if count == ended:
                slurm.register_anew()
            ended, since = count, time.monotonic()
        chaos.turn()
    runs = {run.key: run for run in rig.runs()}
    ran = {key: len(site.lines(key)) for key in runs}
    print(f"{JOBS} jobs, killed {dict(chaos.kills)}: {states}, {Counter(ran.values())}")  # noqa: T201 - by hand
    rig.close()
    assert chaos.kills["worker"] > 0
    assert [key for key, count in ran.items() if count > 1] == []
    assert [(run.error, ran[key]) for key, run in runs.items() if run.state != DONE or ran[key] != 1] == []


@pytest.mark.timeout(MOST_SECONDS + 60)
def test_a_controller_that_is_killed_hard_doubles_nothing(
    slurm: Cluster, open_folder: Path, tmp_path: Path
) -> None:
    """It loses what it has not saved, job ids too: of no run two jobs have run, and what is done has run."""
    site = SlurmSite(open_folder)
    rig = action_rig(tmp_path / "index.db", RULE)
    site.clock_of(lambda: rig.now_ns)
    chaos = Chaos(rig, site, slurm, random.Random(1), worker_in=6, controller_in=2, saves=False)
    rig.tell(*(b.create(number, name=site.write(number)) for number in range(1, JOBS + 1)))
    # Not until all have ended: Slurm drains a node that knows the id of a job which comes again.
    for _ in range(4 * KILLS):
        chaos.turn()
    runs = {run.key: run for run in rig.runs()}
    ran = {key: {line.partition("|")[0] for line in site.lines(key)} for key in runs}
    print(f"{JOBS} jobs, killed {dict(chaos.kills)}: {rig.states()}, {Counter(map(len, ran.values()))}")  # noqa: T201
    rig.close()
    assert chaos.kills["controller"] > 0
    assert len(runs) == JOBS
    assert [key for key, jobs in ran.items() if len(jobs) > 1] == []
    assert [key for key, run in runs.items() if run.state == DONE and not ran[key]] == []
    assert [key for key, run in runs.items() if run.state == DEAD and not run.error] == []
