"""A Slurm of one node for tests, without systemd: munged, slurmctld and slurmd, ended by their process ids.

With `accounting` slurmdbd over MariaDB, too, which can be stopped and started meanwhile.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.need import missing, need
from tests.support.servers.accounting import Accounting

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=1000,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """A Slurm that runs: the environment in which its commands find it, and its processes with their commands."""

    folder: Path
    environment: dict[str, str]
    commands: list[list[str]]
    running: list[subprocess.Popen[bytes]]
    accounting: Accounting | None = None

    def start(self, number: int) -> None:
        """Start munged (0), slurmctld (1) or slurmd (2)."""
        with (self.folder / f"log.{number}").open("ab") as log:
            environment = {**os.environ, **self.environment}
            process = subprocess.Popen(self.commands[number], stdout=log, stderr=log, env=environment)
        self.running[number : number + 1] = [process]

    def kill(self, number: int) -> None:
        """Kill munged, slurmctld or slurmd, and start it again."""
        self.running[number].kill()
        self.running[number].wait(20)
        self.start(number)

    def account(self) -> Accounting:
        """Let the cluster have accounting from now on, and return it; before, it has none."""
        if self.accounting is None:
            made = Accounting(self.folder, self.environment, free_ports(2))
            made.begin()
            with (self.folder / "slurm.conf").open("a") as file:
                file.write(made.of_cluster)
            self.accounting = made
            self.restart_controller()
            made.until_registered()
        return self.accounting

    def restart_controller(self, *, saves: bool = True) -> None:
        """End slurmctld, and start it again; unless it `saves` its state, it forgets what it learned last."""
        end = self.running[1].terminate if saves else self.running[1].kill
        end()
        self.running[1].wait(20)
        self.start(1)

    def register_anew(self) -> None:
        """Let nodes tell the controller which jobs they have, as admins do where Slurm has lost the end of one."""
        said(["scontrol", "reconfigure"], self.environment)

    def last_words(self) -> str:
        """Return what all of them have logged."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("log.*")))


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run the node and yield the environment in which its commands find it."""
    with cluster(folder) as found:
        yield found.environment


@contextmanager
def cluster(folder: Path, more: str = "") -> Iterator[Cluster]:
    """Run the node, with `more` lines of configuration, and yield it when it takes jobs."""
    programs = {name: need(name) for name in ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")}
    if os.geteuid() != 0:
        missing("slurmd must be started by root")
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o700)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    configuration = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, ports=free_ports(2)) + more)
    environment = {"SLURM_CONF": str(configuration)}
    munge = [f"--{option}={folder}/munge/{option}" for option in ("key-file", "pid-file", "log-file", "seed-file")]
    key.rename(folder / "munge" / "key-file")
    commands = [
        [programs["munged"], "--force", "--foreground", f"--socket={folder}/munge.sock", *munge],
        [programs["slurmctld"], "-D", "-f", str(configuration)],
        [programs["slurmd"], "-D", "-f", str(configuration)],
    ]
    found = Cluster(folder, environment, commands, [])
    try:
        for number in range(len(commands)):
            found.start(number)
        ends = time.monotonic() + 20
        while "idle" not in said([programs["sinfo"]], environment):
            if time.monotonic() > ends:
                raise AssertionError(found.last_words())
            time.sleep(0.1)
        yield found
    finally:
        if found.accounting is not None:
            found.accounting.end()
        for process in reversed(found.running):
            process.terminate()
            process.wait(20)


def said(command: list[str], environment: dict[str, str]) -> str:
    """Return what a command of Slurm prints, also where it fails."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
