"""A status as values, and as the JSON that `lustre-events status --json` gives.

What could not be asked is None, and left out of the JSON. What readers and the dispatcher publish is kept as it
came (`told`): the JSON gives all of it, text by text; here are those facts that something is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lustre_events.jobs.pool_states import PoolState
from lustre_events.jobs.queues import RqStats
from lustre_events.streams.documents import IndexerState


class CursorPlace(msgspec.Struct, frozen=True):
    """How far an epoch of an MDT is in the index."""

    mdt: str
    epoch: int
    position: int


class IndexStatus(msgspec.Struct, frozen=True):
    """Sums of the index. By extractor: `documents`, `failures`; by reason: `pending`, `oldest_due_ns`."""

    objects: int
    links: int
    tombstones: int
    pending: Mapping[str, int]
    oldest_due_ns: Mapping[str, int]
    documents: Mapping[str, int]
    failures: Mapping[str, int]
    counters: Mapping[str, int]
    cursors: Sequence[CursorPlace] = ()
    bytes: int = 0
    full: Sequence[tuple[str, int]] = ()
    """Extractors with an owner of files (uid) who has all the keys of documents that one owner may have."""


class StreamStatus(msgspec.Struct, frozen=True):
    """The stream of one epoch: indexes of the first and last record kept, and of the last one committed."""

    epoch: int
    committed: int
    last_index: int
    first_index: int
    blocks: int
    bytes: int


class LossStatus(msgspec.Struct, frozen=True):
    """Records that are or may be lost; `last_index` 0: the end is not known yet."""

    epoch: int
    first_index: int
    last_index: int
    time_ns: int
    reason: str
    accepted: bool


class MdtStatus(msgspec.Struct, frozen=True):
    """How far one MDT is. `committed_index` None: the index is away."""

    told: Mapping[str, str] = {}
    streams: Sequence[StreamStatus] = ()
    committed_index: int | None = None
    behind: int = 0
    losses: Sequence[LossStatus] = ()

    def number(self, name: str) -> float | None:
        """Return a number that the reader published; None: it has not."""
        text = self.told.get(name, "")
        return (float(text) if "." in text else int(text)) if text else None

    @property
    def waiting(self) -> str:
        """What the reader waits for; empty: it reads."""
        return self.told.get("waiting", "")

    @property
    def user_lost(self) -> bool:
        """Whether the MDT does not know the changelog user."""
        return self.told.get("user_lost") == "1"

    @property
    def user(self) -> str | None:
        """The changelog user."""
        return self.told.get("user")

    @property
    def updated_ns(self) -> int:
        """When the reader said last that it lives; 0: never."""
        return _time(self.told, "updated_ns")

    @property
    def caught_up_ns(self) -> int:
        """When the reader had read all that there was; 0: never."""
        return _time(self.told, "caught_up_time_ns")

    @property
    def open_losses(self) -> list[LossStatus]:
        """The losses that nobody has accepted."""
        return [loss for loss in self.losses if not loss.accepted]

    def json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        own = msgspec.to_builtins(self)
        del own["told"]
        return {**self.told, **own}


class DispatcherStatus(msgspec.Struct, frozen=True):
    """What the dispatcher published."""

    told: Mapping[str, str] = {}

    @property
    def alive_ns(self) -> int:
        """When it said last that it lives; 0: never."""
        return _time(self.told, "alive_ns")

    @property
    def holder(self) -> str:
        """Host and process id of the active one; empty: it has not said so."""
        return self.told.get("holder", "")

    @property
    def standbys(self) -> list[str]:
        """Host and process id of those that wait."""
        try:
            return msgspec.json.decode(self.told.get("standbys", "[]"), type=list[str])
        except msgspec.MsgspecError:
            return []


class ExtractorStatus(msgspec.Struct, frozen=True):
    """What an extractor does. `version` None: the dispatcher has not reported it (ExtractorRegistry.published).

    `results` are of all time, by status; durations and failures are recent ones where there are results, else of
    all time.
    """

    version: str | None = None
    suspended: str | None = None
    disabled: bool = False
    failing: int = 0
    results: Mapping[str, int] = {}
    files_per_second: float | None = None
    failure_rate: float | None = None
    p50_seconds: float | None = None
    p95_seconds: float | None = None


class RatesStatus(msgspec.Struct, frozen=True):
    """How fast the dispatcher's counters grew, per second, in the last `seconds`."""

    records: float
    results: float
    jobs: float
    job_files: float
    links: float
    seconds: float


class HeldStatus(msgspec.Struct, frozen=True):
    """Why nothing goes out of a rule or to an endpoint (`kind`), since when."""

    kind: str
    name: str
    why: str
    since_ns: int


class ActionRuleStatus(msgspec.Struct, frozen=True):
    """How a rule of an action does since the dispatcher began: runs done, the time of 99 of 100, its last error."""

    done: int = 0
    p99_seconds: float | None = None
    last_error_ns: int = 0


class ActionsStatus(msgspec.Struct, frozen=True):
    """What the dispatcher tells of actions.

    `runs` are those that have not ended, or are dead, by rule and state, counted up to some thousands. `failing`
    endpoints are tried once a minute. `courier_silent_seconds`: for how long no courier has taken what waits.
    `rules`: how they do, under the names that metrics have (action_rules.metric_names).
    """

    runs: Mapping[str, Mapping[str, int]] = {}
    oldest_due_ns: int = 0
    held: Sequence[HeldStatus] = ()
    failing: Sequence[str] = ()
    deliveries_waiting: int = 0
    courier_silent_seconds: float = 0.0
    rules: Mapping[str, ActionRuleStatus] = {}

    def count(self, state: str) -> int:
        """Return how many runs are in a state."""
        return sum(states.get(state, 0) for states in self.runs.values())


class GroupLoss(msgspec.Struct, frozen=True):
    """Records that a subscriber group was cut off from."""

    mdt: str
    epoch: int
    first_index: int
    last_index: int
    time_ns: int


class GroupStatus(msgspec.Struct, frozen=True):
    """How far a subscriber group is behind, by MDT, and what it lost."""

    behind: Mapping[str, int] = {}
    unacknowledged_blocks: int = 0
    consumers: int = 0
    lost: Sequence[GroupLoss] = ()


class IndexersStatus(msgspec.Struct, frozen=True):
    """What indexers have published, by name; portions of results that they have not written yet."""

    waiting: int
    indexers: Mapping[str, IndexerState] = {}


class HistoryStatus(msgspec.Struct, frozen=True):
    """How far the history is, as its keeper published it; `behind`: indexes that it has not taken yet."""

    updated_ns: int = 0
    bytes: int = 0
    most_bytes: int = 0
    oldest_ns: int = 0
    newest_ns: int = 0
    waiting: str = ""
    behind: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The status of the whole service. `problems` could not be asked; `rules_problems` are the dispatcher's."""

    time_ns: int
    problems: Sequence[str] = ()
    rules_problems: Sequence[str] = ()
    index: IndexStatus | None = None
    mdts: Mapping[str, MdtStatus] | None = None
    dispatcher: DispatcherStatus | None = None
    groups: Mapping[str, GroupStatus] | None = None
    history: HistoryStatus | None = None
    rq: RqStats | None = None
    pools: Mapping[str, PoolState] | None = None
    actions: ActionsStatus | None = None
    indexers: IndexersStatus | None = None
    rates: RatesStatus | None = None
    extractors: Mapping[str, ExtractorStatus] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """The index's counters; none where it is away."""
        return {} if self.index is None else self.index.counters

    def extractor(self, name: str) -> ExtractorStatus:
        """Return what is known of an extractor."""
        return self.extractors.get(name) or ExtractorStatus()

    def json(self) -> dict[str, Any]:
        """Return it as JSON types, without what could not be asked."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        if self.mdts is not None:
            found["mdts"] = {name: state.json() for name, state in self.mdts.items()}
        if self.dispatcher is not None:
            found["dispatcher"] = dict(self.dispatcher.told)
        return {name: part for name, part in found.items() if part is not None or name == "rates"}


def _time(told: Mapping[str, str], name: str) -> int:
    text = told.get(name, "")
    return int(text) if text.isdecimal() else 0
