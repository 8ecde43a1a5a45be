"""Slurm's commands, by argv and each with a deadline: sbatch, scontrol, scancel, squeue, sacct.

Jobs are submitted held, so none runs before somebody has written down which one it is; `scontrol release` lets it
go. A held job stays in the queue, so it is found there by its name however long ago it was submitted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lustre_events import subprocesses
from lustre_events.errors import ExtractorError

COMMAND_SECONDS = 20.0
"""Longer than Slurm's own commands try to reach a controller that is away, with its usual MessageTimeout."""
MOST_SAID = 300
DISABLED = "accounting storage is disabled"
_COLUMNS = "%A|%F|%U|%T|%j|%S|%r"
_ALWAYS = {"SLURM_TIME_FORMAT": "%s"}
"""Times are seconds since the epoch, wherever this node is."""
_KEPT = ("PATH", "SLURM_CONF", "LD_LIBRARY_PATH")


class SlurmFailed(ExtractorError):
    """A command of Slurm failed, or did not end in time; the sentence has what it said. `said`: that alone."""

    def __init__(self, sentence: str, said: str = "") -> None:
        super().__init__(sentence)
        self.said = said


class SlurmMissing(SlurmFailed):
    """A command of Slurm is not installed here."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a command: a user of this machine; None instead: this process's own user."""

    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job, or a task of an array of jobs, whose id is then that of the array. `held`: by its own user.

    `since`: when it has begun, or will, in seconds since the epoch; 0: that is not known.
    """

    job: int
    uid: int
    state: str
    name: str
    held: bool = False
    since: int = 0


@dataclass(frozen=True, slots=True)
class SlurmCommands:
    """Calls them."""

    seconds: float = COMMAND_SECONDS

    def submit(self, options: Sequence[str], words: Sequence[str], caller: Caller | None) -> int:
        """Submit a job, held, and return its id. Raises SlurmFailed: then it may be there all the same."""
        fixed = ("--parsable", "--hold", "--export=NIL", "--propagate=NONE", "--input=/dev/null")
        said = self._run(["sbatch", *fixed, *options, *words], caller)
        number = said.strip().partition(";")[0]
        if not number.isdecimal():
            raise SlurmFailed(f"sbatch said {said[:MOST_SAID]!r} instead of the id of a job")
        return int(number)

    def release(self, job: int, caller: Caller | None) -> None:
        """Let a held job go. Raises SlurmFailed."""
        self._run(["scontrol", "release", str(job)], caller)

    def cancel(self, job: int, caller: Caller | None) -> None:
        """Cancel a job. Raises SlurmFailed."""
        self._run(["scancel", str(job)], caller)

    def queued(self, names: Collection[str]) -> list[JobRow]:
        """Return the jobs of these names that the controller knows. Raises SlurmFailed."""
        said = self._run(["squeue", "-h", "-a", "--states=all", f"--name={','.join(names)}", "-o", _COLUMNS], None)
        rows = [line.split("|", 6) for line in said.splitlines()]
        return [
            JobRow(
                int(array if array.isdecimal() else job), int(uid), state, name, held=reason == "JobHeldUser",
                since=int(since) if since.isdecimal() else 0,
            )
            for job, array, uid, state, name, since, reason in (row for row in rows if len(row) == 7)
        ]  # fmt: skip

    def accounted(self, jobs: Collection[int]) -> list[JobRow] | None:
        """Return what accounting knows of these jobs; None: there is no accounting. Raises SlurmFailed."""
        ids = ",".join(map(str, sorted(jobs)))
        argv = ["sacct", "-n", "-P", "-X", f"--jobs={ids}", "-o", "JobID,UID,State,JobName"]
        try:
            said = self._run(argv, None)
        except SlurmMissing:
            return None
        except SlurmFailed as exc:
            if DISABLED in exc.said:
                return None
            raise
        rows = [line.split("|", 3) for line in said.splitlines()]
        return [
            JobRow(int(job.partition("_")[0]), int(uid), state.partition(" ")[0], name)
            for job, uid, state, name in (row for row in rows if len(row) == 4)
            if job.partition("_")[0].isdecimal() and uid.isdecimal()
        ]

    def check(self) -> str:
        """Ask the controllers, and return what they say. Raises SlurmFailed."""
        return self._run(["scontrol", "ping"], None).strip()

    def _run(self, argv: Sequence[str], caller: Caller | None) -> str:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | _ALWAYS
        who = {} if caller is None else {"user": caller.uid, "group": caller.gid, "extra_groups": caller.groups}
        try:
            done = subprocesses.run(argv, self.seconds, environment=environment, cwd="/", umask=0o022, **who)
        except FileNotFoundError as exc:
            raise SlurmMissing(f"{argv[0]} is not installed on this node; install the client of Slurm") from exc
        except subprocess.TimeoutExpired as exc:
            raise SlurmFailed(f"{argv[0]} did not end within {self.seconds:g} s") from exc
        except OSError as exc:
            raise SlurmFailed(f"{argv[0]} cannot be started ({exc.strerror})") from exc
        if done.returncode != 0:
            said = _readable(done.stderr)
            raise SlurmFailed(f"{argv[0]} ended with {done.returncode}: {said}", said)
        return done.stdout.decode("utf-8", "replace")


def _readable(said: bytes) -> str:
    """Return what a command said as one short line."""
    text = " ".join(said.decode("utf-8", "replace").split())
    return "".join(each if each.isprintable() else "?" for each in text)[-MOST_SAID:] or "nothing"
