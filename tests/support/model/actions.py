"""A dispatcher with rules of actions, and a courier that tests play themselves."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from lustre_events.actions.delivery import Answer, Delivery
from lustre_events.actions.kinds import KINDS, OF_WORKERS
from lustre_events.actions.run_transitions import OK
from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.run_settling import NOTHING_TO_READ
from lustre_events.domain.action_run import STATES, Run, decode_run
from lustre_events.domain.rules import batch_scripts, containers
from lustre_events.domain.rules.action_file import ActionNames
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.file_workers import work_of
from lustre_events.domain.rules.grants import Allowance, Author
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import ConfigError, StreamUnavailable
from lustre_events.index.visibility import Viewer
from lustre_events.jobs.messages import STAT, Job
from lustre_events.node.action_parts import check_query
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import MDT0, Rig, answers
from tests.support.records.builders import START_NS

ENDPOINTS = {
    "beamline": Endpoint("beamline", "webhook", "https://beamline.example.org/hook"),
    "other": Endpoint("other", "webhook", "https://other.example.org/hook"),
    "managers": Endpoint(
        "managers", "mail", "smtp://mail.example.org", sender="a@example.org", to=("b@example.org",)
    ),
    "container:calibrate": containers.endpoint("calibrate", 60, 2),
    "container:alice/mine": containers.endpoint("alice/mine", 60, 2),
    "container:bob/his": containers.endpoint("bob/his", 60, 2),
    "slurm:reduce.sh": batch_scripts.endpoint("reduce.sh"),
    "slurm:other.sh": batch_scripts.endpoint("other.sh"),
    "transfer:archive": Endpoint("transfer:archive", "transfer", "file:///archive", timeout_seconds=60),
}
KNOWN = ActionNames(
    {name: kind.read_with for name, kind in KINDS.items()}, ENDPOINTS, check_query,
    folders=dict.fromkeys(("calibrate", "alice/mine", "bob/his"), lambda _location, given: given),
    of_workers={name: kind.read_with for name, kind in OF_WORKERS.items()},
)  # fmt: skip

NO_FIELDS: dict[str, Any] = {}


def rules_of(text: str) -> Rules:
    """Return the rules of a text, over two webhooks and a mail."""
    return parse(text, "rules", ("tabular", "hdf5"), HERE, "", KNOWN)


ALICE = Author(
    "alice",
    1000,
    Allowance({"beamline": (), "managers": ("/home/**",)}, rules=3, per_minute=60, runs=100, body_bytes=500),
)
BOB = Author("bob", 1001, ALICE.allowance)
GROUPS = {"1000": Viewer(1000, frozenset({100})), "1001": Viewer(1001, frozenset({100})), "carol": Viewer(1002)}
"""Users as this node knows them, by what rules call them."""


def own_rules_of(text: str, author: Author = ALICE) -> Rules:
    """Return the rules of a user's own file."""
    known = replace(KNOWN, author=author)
    return parse(text, f"{author.name}.toml", ("tabular",), HERE, author.name, known)


def viewer_of(name: str) -> Viewer:
    """Return a user with the user's groups. Raises ConfigError."""
    if name not in GROUPS:
        raise ConfigError(f"{name!r}: this machine knows no such user")
    return GROUPS[name]


class MemoryLink:
    """The way to the courier; `away` lets every call fail."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.entries: list[tuple[str, list[Answer]]] = []
        self.count = 0
        self.away = False

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """See `actions.link.CourierLink`."""
        self._check()
        self.deliveries += deliveries

    def waiting(self) -> int:
        """See `actions.link.CourierLink`."""
        self._check()
        return sum(not work_of(each.endpoint) for each in self.deliveries)

    def answers(self) -> list[tuple[str, list[Answer]]]:
        """See `actions.link.CourierLink`."""
        self._check()
        return list(self.entries)

    def acknowledge(self, ids: Sequence[str]) -> None:
        """See `actions.link.CourierLink`."""
        self._check()
        self.entries = [entry for entry in self.entries if entry[0] not in ids]

    def put_answers(self, answers: list[Answer]) -> None:
        """Answer as the courier does."""
        self.count += 1
        self.entries.append((str(self.count), answers))

    def _check(self) -> None:
        if self.away:
            raise StreamUnavailable("Redis is away")


class ActionRig(Rig):
    """A Rig whose rules are active since just before the first record; `tell` is what happens, then time passes."""

    link: MemoryLink
    directories: Collection[FID] = ()
    """`stat` sees that these are directories."""

    def begin(self) -> None:
        """Let the rules become active."""
        self.settle()
        self.pass_seconds(1000)

    def tell(self, *records: ChangelogRecord, facts: Mapping[str, Any] | None = None, mdt: str = MDT0) -> None:
        """Let records come, `stat` see the objects, and everything settle."""
        jobs = self.play(*records, mdt=mdt)
        for _ in range(4):
            self.answer(jobs, "ok", **({"document": dict(facts)} if facts else NO_FIELDS))
            self.pass_seconds(1)
            self.settle()
            jobs = self.queue.take()
        self.pass_seconds(16)
        self.settle()

    def answer(self, jobs: Iterable[Job], status: str = "ok", **fields: Any) -> None:
        """Answer every object of the jobs, and let the dispatcher take it."""
        for job in jobs:
            found = answers(job, status, **fields)
            for each in found:
                directory = job.extractor == STAT and each.fid in self.directories
                document = {**each.document, "type": "d"} if directory else each.document
                self.results.put([msgspec.structs.replace(each, document=document)])
        self.settle()

    def take(self) -> list[Delivery]:
        """Take what went out."""
        found, self.link.deliveries = self.link.deliveries, []
        return found

    def reply(self, deliveries: Sequence[Delivery], outcome: str = OK, **fields: Any) -> None:
        """Answer deliveries as the courier does, and let the dispatcher take it."""
        for delivery in deliveries:
            together = len(delivery.events) - 1
            self.link.put_answers(
                [
                    Answer(event.run, delivery.attempt, outcome, **{"together": together, **fields})
                    for event in delivery.events
                ]
            )
        self.settle()

    def sent(self) -> list[dict[str, Any]]:
        """Take what went out, say that it arrived, and return the events' data."""
        found = self.take()
        self.reply(found)
        return [json.loads(event.body)["data"] for delivery in found for event in delivery.events]

    def runs(self) -> list[Run]:
        """Return the ledger."""
        rows = self.select("SELECT data FROM run ORDER BY made_ns, id")
        return [decode_run(bytes(data)) for data in rows]

    def states(self) -> dict[str, int]:
        """Return how many runs are in each state that any is in."""
        found = [run.state for run in self.runs()]
        return {state: found.count(state) for state in STATES if state in found}


def action_rig(path: IndexPlace, rules: str | Rules, **settings: Any) -> ActionRig:
    """Return a rig with rules that are active."""
    rig = ActionRig(
        path,
        rules=rules_of(rules) if isinstance(rules, str) else rules,
        settings=DispatcherSettings(**settings),
        now_ns=START_NS,
        link=MemoryLink(),
        reading=replace(NOTHING_TO_READ, of_user=viewer_of),
        endpoints=ENDPOINTS,
    )
    rig.begin()
    return rig
