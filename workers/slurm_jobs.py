"""Runs whose work is a job of Slurm: submitted held, as the owner of the file; released when that is committed.

    no handle            a job of the run's name is looked up, or one is submitted, held: STARTED with its id
    JOB UID held         the dispatcher has committed the id: the job is released, others of its name are cancelled
    JOB UID released     it is looked at until it has ended; behind it since when Slurm says RUNNING
    JOB UID gone SINCE   the controller has forgotten it; accounting may still tell how it ended

A worker that is killed between submitting and its answer leaves a held job, which runs nothing and which the next
attempt finds. Two attempts that both submit leave two of them; the id that was committed says which one runs.
"""

from __future__ import annotations

import os
import platform
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from lustre_events.actions.delivery import Delivery, Parcel
from lustre_events.actions.job_handles import HELD, LOST, RELEASED, Handle
from lustre_events.actions.kinds import slurm
from lustre_events.actions.kinds.slurm import JobOrder
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, GONE, OK, REFUSED, STARTED, UNTRIED, Attempt
from lustre_events.actions.slurm_commands import (
    COMMAND_SECONDS,
    Caller,
    JobRow,
    SlurmCommands,
    SlurmFailed,
    SlurmMissing,
)
from lustre_events.changelog.fid import FID
from lustre_events.domain.rules import batch_scripts
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.jobs.messages import JobItem
from workers.contract import readable
from workers.files import Files, OpenFile
from workers.rights import OwnerRefused, Rights

MARGIN_NS = 2 * SECOND_NS
LATE_SECONDS = 3_600
"""So long accounting may be late."""
RUNNING = "RUNNING"
ENDED = {
    "COMPLETED": OK,
    "CANCELLED": GONE,
    "FAILED": REFUSED, "TIMEOUT": REFUSED, "OUT_OF_MEMORY": REFUSED, "DEADLINE": REFUSED,
    "BOOT_FAIL": AGAIN, "NODE_FAIL": AGAIN, "PREEMPTED": AGAIN, "REVOKED": AGAIN,
}  # fmt: skip
"""What becomes of a run whose job has ended in one of these states; in all others it goes on."""
_WORST = (REFUSED, GONE, AGAIN, OK)
"""Of the tasks of an array: what counts first."""
ELSEWHERE_NS = 15 * SECOND_NS
"""When a run goes out again that this node cannot try: another one may have what is missing here."""
_OF_THE_NODE = ("unable to open file",)
_OF_THE_RULE = ("invalid partition", "invalid --", "unrecognized option")
_OF_THE_USER = (
    "invalid account",
    "invalid qos",
    "permission denied",
    "access denied",
    "invalid user",
    "not permitted",
)
"""Slurm says "invalid qos" also of one that only this user may not have: that must not hold it for all others."""


class NotHere(LustreEventsError):
    """This node has not what a run needs, which says nothing about other nodes."""


def left_to_others(why: object) -> Attempt:
    """Return how an attempt ends on a node that lacks what it needs: it was not made, and nothing is held."""
    return Attempt(UNTRIED, error=readable(f"{platform.node()}: {why}"), retry_after_ns=ELSEWHERE_NS)


Jobs = Mapping[str, Sequence[JobRow]]
Accounted = Sequence[JobRow] | SlurmFailed | None
"""What accounting knows of jobs; why it does not answer; None: there is no accounting."""


@dataclass(frozen=True, slots=True)
class SlurmJobs:
    """Submits jobs and looks at them."""

    scripts: Path
    files: Files
    rights: Rights
    commands: SlurmCommands
    look_seconds: float
    clock: Callable[[], int] = time.time_ns

    def attempts(self, delivery: Delivery) -> Iterator[tuple[Parcel, Attempt]]:
        """Yield how it went for each run of a delivery."""
        try:
            jobs = self._jobs({_name(event) for event in delivery.events})
        except SlurmFailed as exc:
            yield from ((event, self._unknown(event, exc)) for event in delivery.events)
            return
        ended = self._accounted([event for event in delivery.events if event.handle], jobs)
        for event in delivery.events:
            try:
                yield event, self._attempt(delivery, event, jobs[_name(event)], ended)
            except ConfigError as exc:
                yield event, Attempt(REFUSED, error=readable(exc))

    def _unknown(self, event: Parcel, exc: SlurmFailed) -> Attempt:
        """Return how an attempt ends that cannot know which jobs there are."""
        if isinstance(exc, SlurmMissing):
            return left_to_others(exc)
        return self._later(event.handle, readable(exc)) if event.handle else Attempt(AGAIN, error=readable(exc))

    def _attempt(self, delivery: Delivery, event: Parcel, jobs: Sequence[JobRow], ended: Accounted) -> Attempt:
        if event.handle:
            return self._looked_at(event, jobs, ended)
        if self.clock() > delivery.expires_ns - MARGIN_NS - int(2 * COMMAND_SECONDS * SECOND_NS):
            return Attempt(UNTRIED, error="it came too late to end within its lease")
        return self._started(event, batch_scripts.script_of(delivery.endpoint), jobs)

    def _jobs(self, names: Collection[str]) -> Jobs:
        found: defaultdict[str, list[JobRow]] = defaultdict(list)
        for row in self.commands.queued(sorted(names)):
            found[row.name].append(row)
        return found

    # Submitting

    def _started(self, event: Parcel, script: str, jobs: Sequence[JobRow]) -> Attempt:
        order = slurm.read(event.body)
        try:
            item = JobItem(FID.parse(order.fid), 0, unquote_to_bytes(order.path))
        except ValueError as exc:
            return Attempt(REFUSED, error=readable(exc))
        try:
            file = self.files.open(item)
        except OSError as exc:
            return Attempt(AGAIN, error=f"the file cannot be opened: {readable(exc.strerror)}")
        if file is None:
            return Attempt(GONE, error="the file is not there any more")
        with file:
            try:
                return self._submitted(event, order, script, file, jobs)
            except OwnerRefused as exc:
                return Attempt(REFUSED, error=readable(exc))

    def _submitted(
        self, event: Parcel, order: JobOrder, script: str, file: OpenFile, jobs: Sequence[JobRow]
    ) -> Attempt:
        uid = file.uid
        if order.author not in {None, uid}:
            return Attempt(REFUSED, error=f"it belongs to uid {uid}, and the rule to uid {order.author}")
        account = self.rights.owner(uid)
        known = [row.job for row in jobs if row.uid == uid]
        if known:
            return Attempt(STARTED, handle=str(Handle(min(known), uid, HELD)))
        try:
            path = self._script(script)
        except NotHere as exc:
            return left_to_others(exc)
        caller = None if account is None else Caller(account.uid, account.gid, account.groups)
        options = {"output": "/dev/null", **order.options, "job-name": _name(event),
                   "chdir": os.fsdecode(_place(file))}  # fmt: skip
        words = [str(path), os.fsdecode(file.path), *self._words(order)]
        try:
            job = self.commands.submit([f"--{name}={value}" for name, value in options.items()], words, caller)
        except SlurmFailed as exc:
            if isinstance(exc, SlurmMissing) or any(each in exc.said.lower() for each in _OF_THE_NODE):
                return left_to_others(exc)
            return Attempt(_refusal(exc.said), error=readable(exc))
        return Attempt(STARTED, handle=str(Handle(job, uid, HELD)))

    def _words(self, order: JobOrder) -> Iterator[str]:
        """Yield the arguments of a job; paths of outputs as they are on this node."""
        mount = self.files.mount.rstrip(b"/") + b"/"
        for each in order.arguments:
            if isinstance(each, str):
                yield each
            else:
                yield from (os.fsdecode(mount + unquote_to_bytes(path)) for path in each)

    def _script(self, name: str) -> Path:
        """Return a script that nobody but the site can have written.

        Raises:
            ConfigError: no script can have this name.
            NotHere: there is none here, or others could write it.
        """
        path = self.scripts / name
        if not batch_scripts.SCRIPT.match(name):
            raise ConfigError(f"no job script can be named {name!r}; dispatcher and worker may differ in version")
        try:
            facts = {each: each.stat() for each in (self.scripts, path)}
        except OSError as exc:
            raise NotHere(
                f"no job script {name!r} is here ({exc.strerror}); put it into [actions] slurm_scripts of this node"
            ) from exc
        for each, found in facts.items():
            if found.st_uid not in {0, self.rights.own_uid} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise NotHere(f"{each}: others could change it, so no job is made from it; chown root, chmod go-w")
        if not stat.S_ISREG(facts[path].st_mode):
            raise NotHere(f"{path} is not a file; put the job script {name!r} there")
        return path

    # Looking

    def _accounted(self, events: Sequence[Parcel], jobs: Jobs) -> Accounted:
        """Return what accounting knows of jobs that the controller has forgotten, or why it does not answer."""
        handles = [(event, _handle(event)) for event in events]
        gone = [
            handle.job
            for event, handle in handles
            if handle is not None and not any(row.job == handle.job for row in jobs.get(_name(event), ()))
        ]
        if not gone:
            return ()
        try:
            return self.commands.accounted(gone)
        except SlurmFailed as exc:
            return exc

    def _looked_at(self, event: Parcel, jobs: Sequence[JobRow], ended: Accounted) -> Attempt:
        handle = Handle.parse(event.handle)
        own = [row for row in jobs if row.uid == handle.uid]
        mine = [row for row in own if row.job == handle.job]
        try:
            self._cancel_others(handle, own)
            if not mine:
                return self._forgotten(event, handle, ended)
            if handle.phase == HELD:
                if any(row.state == "PENDING" for row in mine):
                    self.commands.release(handle.job, self._caller(handle.uid))
                return self._later(str(Handle(handle.job, handle.uid, RELEASED)))
        except SlurmFailed as exc:
            return self._later(event.handle, readable(exc))
        return self._ended(event, handle, mine)

    def _cancel_others(self, handle: Handle, own: Sequence[JobRow]) -> None:
        """Cancel held jobs of the same name: an attempt that was given up has submitted them after all."""
        for row in own:
            if row.job != handle.job and row.held and row.state == "PENDING":
                self.commands.cancel(row.job, self._caller(handle.uid))

    def _ended(self, event: Parcel, handle: Handle, rows: Sequence[JobRow]) -> Attempt:
        """Return how a job ended, or that it goes on."""
        if any(row.state not in ENDED for row in rows):
            said = f"job {handle.job} is held in Slurm; `scontrol release {handle.job}` lets it go"
            held = any(row.held and row.state == "PENDING" for row in rows)
            since = min((row.since for row in rows if row.state == RUNNING), default=0)
            return self._later(str(Handle(handle.job, handle.uid, RELEASED, since)), said if held else "")
        row = min(rows, key=lambda each: _WORST.index(ENDED[each.state]))
        outcome = ENDED[row.state]
        said = "" if outcome == OK else f"job {handle.job} ended as {row.state}"
        return Attempt(outcome, error=said, handle=event.handle)

    def _forgotten(self, event: Parcel, handle: Handle, ended: Accounted) -> Attempt:
        """Return how a job ended that the controller has forgotten, by accounting, which may be late or absent.

        While that does not answer no time counts as late.
        """
        if isinstance(ended, SlurmFailed):
            return self._later(str(Handle(handle.job, handle.uid, RELEASED)), readable(ended))
        rows = [
            row for row in ended or () if (row.job, row.uid, row.name) == (handle.job, handle.uid, _name(event))
        ]
        if rows and all(row.state in ENDED for row in rows):
            return self._ended(event, handle, rows)
        now = self.clock() // SECOND_NS
        since = handle.since if handle.phase == LOST else now
        if ended is not None and now - since < LATE_SECONDS:
            return self._later(
                str(Handle(handle.job, handle.uid, LOST, since)), "Slurm does not tell of its job now"
            )
        why = "there is no accounting" if ended is None else f"accounting does not know it after {LATE_SECONDS} s"
        return Attempt(
            REFUSED, error=f"how job {handle.job} ended is not known: the controller has forgotten it, and {why};"
            " look whether its work is done, then retry or drop this run",
        )  # fmt: skip

    def _later(self, handle: str, error: str = "") -> Attempt:
        return Attempt(STARTED, handle=handle, error=error, retry_after_ns=int(self.look_seconds * SECOND_NS))

    def _caller(self, uid: int) -> Caller | None:
        try:
            account = self.rights.owner(uid)
        except OwnerRefused as exc:
            raise SlurmFailed(str(exc)) from exc
        return None if account is None else Caller(account.uid, account.gid, account.groups)


def _place(file: OpenFile) -> bytes:
    """Return where a job begins: in the directory that it is about, or in that of its file."""
    return file.path if file.facts()["type"] == "d" else os.path.dirname(file.path)  # noqa: PTH120 - bytes


def _name(event: Parcel) -> str:
    """Return the name of a run's job: its key, and how many of its jobs have ended in vain."""
    return f"le-{event.key}-{event.again}" if event.again else f"le-{event.key}"


def _handle(event: Parcel) -> Handle | None:
    try:
        return Handle.parse(event.handle)
    except ConfigError:
        return None  # who looks at it says so


def _refusal(said: str) -> str:
    """Return what becomes of a run whose job sbatch refuses: by its words, for its exit code is always the same."""
    low = said.lower()
    if any(each in low for each in _OF_THE_USER):
        return REFUSED
    return ENDPOINT if any(each in low for each in _OF_THE_RULE) else AGAIN
