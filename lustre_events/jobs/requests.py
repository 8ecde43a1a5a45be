"""What a person asks of the dispatcher, the index's only writer, and its answer, as versioned JSON.

A request is carried out within one transaction of the dispatcher, or refused with a sentence. It may be carried
out twice (a crash between the commit and the answer), so each kind of request is idempotent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from lustre_events.errors import ConfigError

VERSION = 1
MOST_FILES = 1_000
"""Most files that one request may name."""

ANSWER_SECONDS = 10.0
"""How long a command usually waits for the answer."""

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, gc=False):
    """`action` names what is asked for; `id` is the one that Redis gave it. `refusal`: why it cannot be read."""

    id: str
    action: str
    arguments: dict[str, Any] = {}
    refusal: str = ""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """The answer to the request `id`: a result, or the sentence that says why there is none."""

    id: str
    result: dict[str, Any] = {}
    error: str = ""


def encode_request(action: str, arguments: Mapping[str, Any]) -> bytes:
    """Return a request as JSON bytes; `arguments` are JSON types."""
    return msgspec.json.encode({"v": VERSION, "action": action, "arguments": dict(arguments)})


def decode_request(request_id: str, data: bytes) -> Request:
    """Return the request that `encode_request` made; one that cannot be read has a refusal."""
    try:
        version = msgspec.json.decode(data, type=_Versioned).v
        if version != VERSION:
            return Request(request_id, "", refusal=f"a request of version {version}: this dispatcher understands "
                           f"version {VERSION}; upgrade one of the two")  # fmt: skip
        found = msgspec.json.decode(data, type=_Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        return Request(request_id, "", refusal=f"not a request of ours: {exc}")
    if not _fits(found.arguments):
        return Request(
            request_id, "", refusal="a request has a number beyond 64 bits, or a text with a zero character"
        )
    return Request(request_id, found.action, found.arguments)


def _fits(arguments: dict[str, Any]) -> bool:
    """Whether a database can hold every number and text of some arguments."""
    left: list[Any] = [arguments]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += (*value.keys(), *value.values())
        elif isinstance(value, list):
            left += value
        elif isinstance(value, int):
            if not -(1 << 63) <= value < 1 << 63:
                return False
        elif isinstance(value, str) and "\0" in value:
            return False
    return True


def encode_reply(reply: Reply) -> bytes:
    """Return a reply as JSON bytes."""
    return msgspec.json.encode({"v": VERSION, "result": reply.result, "error": reply.error})


def result_of(data: bytes) -> dict[str, Any]:
    """Return the result in the reply that `encode_reply` made.

    Raises:
        ConfigError: the dispatcher refused the request (its own sentence), or is of another version.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).v
        if version != VERSION:
            raise ConfigError(
                f"an answer of version {version}: this command understands version {VERSION}; upgrade it"
            )
        reply = msgspec.json.decode(data, type=_Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"the dispatcher's answer cannot be read: {exc}; upgrade the older of the two") from exc
    if reply.error:
        raise ConfigError(reply.error)
    return reply.result


def arguments_as(kind: type[T], arguments: Mapping[str, Any]) -> T:
    """Return a request's arguments as a value of their msgspec Struct.

    Raises:
        ConfigError: they are not what this version knows.
    """
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"the arguments of a request are wrong: {exc}; command and dispatcher may differ in "
                          "version: upgrade the older of the two") from exc  # fmt: skip


def unanswered(timeout_seconds: float) -> str:
    """Return the sentence for a request that nobody has answered."""
    return (
        f"no dispatcher answered within {timeout_seconds:g} s, so the request was withdrawn; start the dispatcher, "
        "or see what blocks it: lustre-events status"
    )


class _Versioned(msgspec.Struct):
    v: int


class _Request(msgspec.Struct):
    action: str
    arguments: dict[str, Any]


class _Reply(msgspec.Struct):
    result: dict[str, Any]
    error: str
