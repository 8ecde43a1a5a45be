"""Runs that file workers do wait in two queues: copies, which may take hours, and all others."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lustre_events.actions.delivery import (
    Answer,
    Delivery,
    Parcel,
    decode_answers,
    decode_delivery,
    encode_delivery,
)
from lustre_events.actions.delivery_links import WorkersLink
from lustre_events.actions.run_transitions import OK, Attempt
from lustre_events.actions.seal import ANSWER, WORKER, Seal
from lustre_events.config.settings import ActionsSettings, Settings, WorkerSettings
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import queue_of_instance
from lustre_events.node import wiring
from lustre_events.sources.local_fid import fid_of_fd
from tests.support.rows import each_row
from workers.action_jobs import ActionExecutor
from workers.files import Files
from workers.leftovers import Leftovers
from workers.process_runtime import ProcessRuntime
from workers.rights import Rights
from workers.wiring import for_queue

KEY = b"k" * 32
NOW_NS = 10**18
FAR_NS = NOW_NS + 3_600 * 10**9


def delivery(endpoint: str) -> Delivery:
    return Delivery("attempt", endpoint, FAR_NS, (Parcel("run", "key", b"{}"),))


class Jobs:
    """What was put into RQ's queues."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, int]] = []

    def enqueue_actions(self, queue: str, sealed: Sequence[tuple[str, bytes, int]]) -> None:
        """Take jobs."""
        opened = Seal(KEY, WORKER).opened
        self.found += [(queue, decode_delivery(opened(data)).endpoint, seconds) for _, data, seconds in sealed]


class Copies:
    """A worker's part that copies, and says so."""

    def attempts(self, given: Delivery) -> Iterator[tuple[Parcel, Attempt]]:
        """Copy."""
        yield from ((event, Attempt(OK)) for event in given.events)


class Answers:
    """What was answered."""

    def __init__(self) -> None:
        self.found: list[Answer] = []

    def answer(self, data: bytes) -> None:
        """Take answers."""
        self.found += decode_answers(Seal(KEY, ANSWER).opened(data))


@pytest.fixture
def executor(tmp_path: Path) -> ActionExecutor:
    files, rights = Files(bytes(tmp_path), fid_of_fd), Rights(None)
    return ActionExecutor(
        Seal(KEY, WORKER), (), files, ProcessRuntime(None), rights, Answers(),
        Leftovers(tmp_path / "attempts", files.mount, rights),
        clock=lambda: NOW_NS, transfers=cast("Any", Copies()),
    )  # fmt: skip


def sealed(endpoint: str) -> str:
    return base64.b64encode(Seal(KEY, WORKER).sealed(encode_delivery(delivery(endpoint)))).decode()


def test_copies_wait_in_a_queue_of_their_own() -> None:
    """A copy goes into the queue of copies, a container and a job into that of actions, each for its lease."""
    jobs = Jobs()
    link = WorkersLink(cast("Any", jobs), cast("Any", None), Seal(KEY, WORKER), lambda: NOW_NS)
    link.put([delivery(each) for each in ("transfer:archive", "container:calibrate", "slurm:reduce.sh")])
    assert sorted(jobs.found) == [
        ("actions", "container:calibrate", 3600), ("actions", "slurm:reduce.sh", 3600),
        ("transfers", "transfer:archive", 3600),
    ]  # fmt: skip


def test_a_copy_that_waited_before_an_upgrade_is_made(executor: ActionExecutor) -> None:
    """The version before put copies into the queue of actions: a worker of that one still makes them."""
    executor.run(sealed("transfer:archive"))
    assert [each.outcome for each in cast("Any", executor.answers).found] == ["ok"]


def test_a_worker_for_copies_does_nothing_else(executor: ActionExecutor) -> None:
    """Who moves a container's run into the queue of copies has it refused, and holds nothing by that."""
    alone = replace(executor, copies_only=True)
    with pytest.raises(ConfigError, match="in the queue of copies"):
        alone.run(sealed("container:calibrate"))
    alone.run(sealed("transfer:archive"))
    assert len(cast("Any", executor.answers).found) == 1


@each_row(
    ("instance", "queue"),
    [
        ("builtin", "builtin"), ("actions", "actions"), ("transfers", "transfers"), ("transfers-2", "transfers"),
        ("actions-10", "actions"), ("1", ""), ("", ""), ("transfers-", ""), ("transfers-a", ""), ("my-actions", ""),
        ("transfers-2\n", ""),
    ],
)  # fmt: skip
def test_the_name_of_a_worker_says_its_queue(instance: str, queue: str) -> None:
    """A worker serves the queue that its name begins with, with a number behind it or not."""
    assert queue_of_instance(instance) == queue


def test_a_worker_for_copies_needs_no_container() -> None:
    """It serves its queue, whatever [worker] says of queue, pool and runtime; other names change nothing."""
    own = for_queue(Settings(worker=WorkerSettings(queue="default", pool="p")), "transfers").worker
    assert (own.queue, own.pool, own.runtime, own.unpack_images) == ("transfers", "", "process", False)
    assert for_queue(Settings(worker=WorkerSettings(queue="x")), "").worker.queue == "x"


@each_row(
    ("settings", "queues"),
    [
        (ActionsSettings(), ()), (ActionsSettings(transfers=True), ("transfers",)),
        (ActionsSettings(folders=("/a",), transfers=True), ("actions", "transfers")),
        (ActionsSettings(slurm_scripts="/s"), ("actions",)),
    ],
)  # fmt: skip
def test_which_queues_a_site_has(settings: ActionsSettings, queues: tuple[str, ...]) -> None:
    """`run` starts a worker for each, and the doctor says which has none."""
    assert wiring.queues_of_actions(Settings(actions=settings)) == queues
