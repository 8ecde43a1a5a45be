"""Runs of actions: a container for a file, as its owner, whose outputs are published; a job of Slurm; a copy.

What Redis brings counts only with the seal of the site's dispatcher, and until the attempt's end. The folder of the
action, the rights and the target are this node's own to decide.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote_to_bytes

from lustre_events.actions.delivery import (
    MOST_NAMED_BYTES,
    Answer,
    Delivery,
    Parcel,
    decode_delivery,
    encode_answers,
)
from lustre_events.actions.kinds import orders
from lustre_events.actions.kinds.orders import RunOrder
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, GONE, OK, REFUSED, UNTRIED, Attempt
from lustre_events.actions.seal import ANSWER, Seal
from lustre_events.catalog import action_folders, manifest
from lustre_events.catalog.action_folders import ContainerAction
from lustre_events.changelog.fid import FID
from lustre_events.domain.rules import batch_scripts, containers, transfers
from lustre_events.domain.rules.file_workers import work_of
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError, ExtractorError, LustreEventsError, UnknownExtractor
from lustre_events.jobs.messages import JobItem
from workers import publication
from workers.as_owner import as_owner
from workers.contract import readable
from workers.file_copies import Transfers
from workers.files import Files, OpenFile
from workers.leftovers import Leftovers
from workers.privileges import Account
from workers.publication import OutputsRefused, Place, Step
from workers.rights import OwnerRefused, Rights
from workers.runs import ActionRuntime, Outputs, RunOutcome
from workers.slurm_jobs import SlurmJobs, left_to_others

log = logging.getLogger(__name__)

MARGIN_NS = 2 * SECOND_NS
WAIT_SECONDS = 1.0


class AnswerSink(Protocol):
    """Where answers go."""

    def answer(self, data: bytes) -> None:
        """Store answers. Raises StreamUnavailable, StreamFull."""


def _nothing(_step: str) -> None:
    """Go on: nobody wants to kill this process here."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One run on this node: its file, its action, what the program is told, and where outputs go."""

    order: RunOrder
    action: ContainerAction
    file: OpenFile
    settings: str
    place: Place


@dataclass(frozen=True, slots=True)
class ActionExecutor:
    """Runs deliveries. `step` is called between the steps of a publication."""

    seal: Seal
    folders: tuple[Path, ...]
    files: Files
    runtime: ActionRuntime
    rights: Rights
    answers: AnswerSink
    leftovers: Leftovers
    clock: Callable[[], int] = time.time_ns
    step: Step = _nothing
    jobs: SlurmJobs | None = None
    """What submits jobs of Slurm; None: there are no scripts here."""
    transfers: Transfers | None = None
    """What copies files to endpoints; None: nothing does here."""
    sleep: Callable[[float], None] = field(default=time.sleep)
    user_actions: Path | None = None
    """The folder with users' own actions; None: there is none here."""
    copies_only: bool = False
    """Whether it serves the queue of copies, in which the dispatcher puts nothing else."""

    def run(self, sealed: str) -> None:
        """Run one delivery, and say how it went.

        Raises:
            ConfigError: it is not the dispatcher's, or is too late.
            StreamUnavailable, StreamFull: the answer could not be stored until the lease had ended.
        """
        try:
            delivery = decode_delivery(self.seal.opened(base64.b64decode(sealed, validate=True)))
        except (binascii.Error, ConfigError) as exc:
            log.error("a run of an action is refused: %s", exc, extra={"action": "refuse"})  # noqa: TRY400
            raise ConfigError(f"a run of an action is refused: {exc}") from exc
        if self.clock() >= delivery.expires_ns:
            raise ConfigError("a run of an action came after its attempt had ended; it is given out again")
        if self.copies_only and not transfers.target_of(delivery.endpoint):
            raise ConfigError(f"a run of {delivery.endpoint!r} is in the queue of copies, where it does not belong")
        for event, attempt in self._attempts(delivery):
            log.info(
                "%s: %s %s", work_of(delivery.endpoint), attempt.outcome, attempt.error,
                extra={"action": "run", "run": event.run},
            )  # fmt: skip
            self._answer(delivery, event, attempt)

    def _attempts(self, delivery: Delivery) -> Iterator[tuple[Parcel, Attempt]]:
        if batch_scripts.script_of(delivery.endpoint):
            special: SlurmJobs | Transfers | None = self.jobs
            said = "no job is submitted here: set [actions] slurm_scripts on this node, too"
        elif transfers.target_of(delivery.endpoint):
            special, said = self.transfers, "nothing is copied here: set [actions] transfers on this node, too"
        else:
            yield from ((event, self._attempt(delivery, event)) for event in delivery.events)
            return
        if special is not None:
            yield from special.attempts(delivery)
        else:
            yield from ((event, left_to_others(said)) for event in delivery.events)

    def _answer(self, delivery: Delivery, event: Parcel, attempt: Attempt) -> None:
        answer = Answer(
            event.run, delivery.attempt, attempt.outcome, attempt.status, attempt.error[:500],
            attempt.retry_after_ns, handle=attempt.handle, outputs=attempt.outputs, made=attempt.made,
            arrived=attempt.arrived,
        )  # fmt: skip
        sealed = self.seal.of(ANSWER).sealed(encode_answers([answer]))
        while True:
            try:
                return self.answers.answer(sealed)
            except LustreEventsError:
                if self.clock() >= delivery.expires_ns:
                    raise
                self.sleep(WAIT_SECONDS)

    def _attempt(self, delivery: Delivery, event: Parcel) -> Attempt:
        try:
            order = orders.read(event.body)
            action = self._action(containers.action_of(delivery.endpoint))
            seconds = action_folders.seconds_of(action.manifest)
            if self.clock() > delivery.expires_ns - MARGIN_NS - int(seconds * SECOND_NS):
                return Attempt(UNTRIED, error="it came too late to end within its lease")
            settings = json.dumps(action.settings(order.settings))
            item = JobItem(FID.parse(order.fid), 0, unquote_to_bytes(order.path))
        except (ConfigError, ValueError) as exc:
            return Attempt(REFUSED, error=readable(exc))
        except ExtractorError as exc:
            return Attempt(ENDPOINT, error=readable(exc))
        try:
            file = self.files.open(item)
        except OSError as exc:
            return Attempt(AGAIN, error=f"the file cannot be opened: {readable(exc.strerror)}")
        if file is None:
            return Attempt(GONE, error="the file is not there any more")
        with file:
            return self._on_file(delivery, event, order, action, file, settings)

    def _on_file(  # noqa: PLR0917 - what one attempt is about
        self,
        delivery: Delivery,
        event: Parcel,
        order: RunOrder,
        action: ContainerAction,
        file: OpenFile,
        settings: str,
    ) -> Attempt:
        if why := self._unfit(file, order, action):
            return Attempt(REFUSED, error=why)
        try:
            image = self.runtime.provenance(action.manifest)
            rights = replace(self.rights, as_owner=True)
            account = rights.account_for(action.manifest, str(image["image_digest"]), file.uid)
            place = self._place(file, event.run, delivery.expires_ns, order, action)
            return self._in_place(Assignment(order, action, file, settings, place), account)
        except (OwnerRefused, OutputsRefused) as exc:
            return Attempt(REFUSED, error=readable(exc))
        except ExtractorError as exc:
            return Attempt(ENDPOINT, error=readable(exc))
        except OSError as exc:
            return Attempt(AGAIN, error=readable(exc.strerror or exc))

    def _unfit(self, file: OpenFile, order: RunOrder, action: ContainerAction) -> str:
        """Return why no action runs on a file, or not this one; empty: it does."""
        if not file.regular or file.released:
            why = "HSM has its content on tape" if file.regular else "it is not a regular file"
            return f"{why}, so no action runs on it"
        if self.rights.own_uid not in {0, file.uid}:
            return f"it belongs to uid {file.uid}, and this worker is uid {self.rights.own_uid}"
        others = {order.author, action.manifest.uid} - {None, file.uid}
        if others:
            return f"it belongs to uid {file.uid}, and the rule or its action to uid {min(filter(None, others))}"
        return ""

    def _place(self, file: OpenFile, run: str, expires_ns: int, order: RunOrder, action: ContainerAction) -> Place:
        inside = file.path.removeprefix(self.files.mount.rstrip(b"/"))
        directory = containers.directory_of(inside, order.outputs)
        if directory is None:
            raise OutputsRefused(f"outputs = {order.outputs!r} leads out of the file system from there")
        marker = publication.marker_of(inside, action.manifest.name)
        return Place(self.files.mount, directory, marker, containers.staging_name(run, expires_ns), file.uid)

    def _in_place(self, work: Assignment, account: Account | None) -> Attempt:
        place = work.place
        self.leftovers.note(place)
        try:
            return self._noted(work, account)
        finally:
            self.leftovers.forget(place, os.fstat(work.file.fd).st_dev)

    def _noted(self, work: Assignment, account: Account | None) -> Attempt:
        place = work.place
        try:
            made = as_owner(account, partial(publication.prepare, place, self.clock(), self.step), OutputsRefused)
        except OutputsRefused:
            self.leftovers.drop(place)
            raise
        if made is not None:  # an attempt before this one has published
            return _published(place, made)
        try:
            outcome = self._program(work, account)
            if outcome.status != "ok":
                return _failed(outcome)
            facts = os.fstat(work.file.fd)
            publish = partial(
                publication.publish, place, work.action.manifest.outputs, (facts.st_dev, facts.st_ino),
                {"rule": work.order.rule, "key": work.order.key}, self.step, self.clock,
            )  # fmt: skip
            return _published(place, as_owner(account, publish, OutputsRefused))
        finally:
            as_owner(account, partial(publication.discard, place), OutputsRefused)

    def _program(self, work: Assignment, account: Account | None) -> RunOutcome:
        left_ns = containers.expiry_of(work.place.name) - self.clock() - MARGIN_NS
        seconds = max(1.0, left_ns / SECOND_NS - action_folders.MARGIN_SECONDS / 2)
        held = os.open(work.place.staging, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            runtime = self.runtime.acting_as(account)
            outputs = Outputs(work.place.staging, held)
            return runtime.act(work.action.manifest, work.file, outputs, work.settings, seconds)
        finally:
            os.close(held)

    def _action(self, name: str) -> ContainerAction:
        """Return an action as it is now. Raises UnknownExtractor, ManifestError."""
        if "/" in name and self.user_actions is not None:
            return action_folders.load_own(self.user_actions, name)
        for folder in self.folders if manifest.NAME.match(name) else ():
            if (folder / name / manifest.FILE_NAME).is_file():
                return action_folders.load(folder / name)
        raise UnknownExtractor(f"no action {name!r} is installed here; see [actions] on this node")


def _published(place: Place, names: Sequence[str]) -> Attempt:
    """Return how an attempt ended that has published, with the paths of its outputs, as far as they may be told."""
    paths = [b"/".join(part for part in (place.directory, os.fsencode(name)) if part) for name in names]
    told = itertools.accumulate(map(len, paths))
    few = tuple(path for path, size in zip(paths, told, strict=True) if size <= MOST_NAMED_BYTES)
    return Attempt(OK, outputs=few, made=len(paths))


def _failed(outcome: RunOutcome) -> Attempt:
    if outcome.status == "gone":
        return Attempt(GONE, error="the file is not there any more")
    return Attempt(REFUSED if outcome.final else AGAIN, error=outcome.error)
