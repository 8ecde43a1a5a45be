"""What travels between dispatcher and courier, as versioned JSON: deliveries, and how they went.

A delivery is sealed (seal.py), so whoever else may write into Redis makes nothing happen. An answer counts only for
a run that is out with the same attempt.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from lustre_events.actions.run_transitions import OUTCOMES, Attempt
from lustre_events.errors import ConfigError

VERSION = 1
MOST_EVENTS = 1_000
MOST_NAMED_BYTES = 32 << 10
"""Of the paths of one run's outputs that an answer has."""


class Parcel(msgspec.Struct, frozen=True, gc=False):
    """One run that is sent: its id in the ledger, its idempotency key, its body; `handle`, `again`: see Run."""

    run: str
    key: str
    body: bytes
    handle: str = ""
    again: int = 0


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """Events for one endpoint that are sent together. `attempt` names this attempt; it ends before `expires_ns`."""

    attempt: str
    endpoint: str
    expires_ns: int
    events: tuple[Parcel, ...]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """How it went for one run; see `run_transitions.Attempt`. Outputs are bytes, which JSON has in base64."""

    run: str
    attempt: str
    outcome: str
    status: int = 0
    error: str = ""
    retry_after_ns: int = 0
    together: int = 0
    handle: str = ""
    outputs: tuple[bytes, ...] | None = None
    made: int = 0
    arrived: int = 0

    @property
    def of_attempt(self) -> Attempt:
        """What the ledger wants to know of it."""
        return Attempt(
            self.outcome, self.status, self.error, self.retry_after_ns, self.together, self.handle, self.outputs,
            self.made, self.arrived,
        )  # fmt: skip


class _Delivery(msgspec.Struct):
    v: int
    delivery: Delivery


class _Answers(msgspec.Struct):
    v: int
    answers: list[Answer]


def encode_delivery(delivery: Delivery) -> bytes:
    """Return a delivery as JSON bytes."""
    return msgspec.json.encode({"v": VERSION, "delivery": delivery})


def decode_delivery(data: bytes) -> Delivery:
    """Return the delivery that `encode_delivery` made. Raises ConfigError."""
    found = _decoded(data, _Delivery, "delivery")
    if not 0 < len(found.delivery.events) <= MOST_EVENTS:
        raise ConfigError(
            "a delivery with no or too many events; dispatcher and courier may differ in version; upgrade both"
        )
    return found.delivery


def encode_answers(answers: list[Answer]) -> bytes:
    """Return answers as JSON bytes."""
    return msgspec.json.encode({"v": VERSION, "answers": answers})


def _is_bounded(answer: Answer) -> bool:
    """Whether the ledger can hold what an answer names and counts."""
    counts = (answer.made, answer.arrived)
    return sum(map(len, answer.outputs or ())) <= MOST_NAMED_BYTES and 0 <= min(counts) <= max(counts) < 1 << 31


def decode_answers(data: bytes) -> list[Answer]:
    """Return the answers that `encode_answers` made. Raises ConfigError."""
    found = _decoded(data, _Answers, "answer").answers
    for each in found:
        if each.outcome not in OUTCOMES or abs(each.retry_after_ns) >= 1 << 63 or abs(each.status) >= 1 << 31:
            raise ConfigError(
                f"an answer with the outcome {each.outcome[:40]!r}, which this dispatcher does not know"
            )
        if not _is_bounded(each):
            raise ConfigError("an answer that names too many outputs; dispatcher and worker may differ in version")
        if any(path.startswith(b"/") or b".." in path.split(b"/") for path in each.outputs or ()):
            raise ConfigError("an answer that names an output outside the file system")
    return found


T = TypeVar("T", _Delivery, _Answers)


def _decoded(data: bytes, kind: type[T], what: str) -> T:
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"this is not a {what} of ours: {exc}") from exc
    if found.v != VERSION:
        raise ConfigError(f"{what} of another version than {VERSION}; upgrade dispatcher and courier together")
    return found
