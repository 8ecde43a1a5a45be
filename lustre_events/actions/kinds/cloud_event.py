"""An event as CloudEvents 1.0 has it, in JSON: what webhooks and brokers get.

`id` is the idempotency key, `sequence` orders the events of one object, `data` is the rule's body.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from lustre_events.actions.kinds.kind import Subject
from lustre_events.config.tables import Location
from lustre_events.domain.times import SECOND_NS

SOURCE = "urn:lustre-events"
TYPE = "io.lustre-events.file"
_encode = json.JSONEncoder(separators=(",", ":")).encode


def read_with(location: Location, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `with` says: nothing, so far. Raises `location.error`."""
    for name in table:
        raise location.unknown(f"key {name}", name, ())
    return {}


def rendered(subject: Subject) -> bytes:
    """Return one event."""
    run, known = subject.run, subject.known
    event = {
        "specversion": "1.0",
        "id": run.key,
        "source": _source(subject.rule.name),
        "type": f"{TYPE}.{run.trigger}",
        "subject": known["path"],
        "time": known["time"],
        "datacontenttype": "application/json",
        "sequence": run.stamp.hex(),
        "data": subject.data,
    }
    return _encode({name: value for name, value in event.items() if value}).encode()


@functools.lru_cache(1_000)
def _source(rule: str) -> str:
    return f"{SOURCE}:{quote(rule, safe='')}"


def when(time_ns: int) -> str:
    """Return a time as RFC 3339 has it, in microseconds."""
    whole, rest = divmod(time_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(whole, UTC).isoformat()[:-6]}.{rest // 1000:06d}Z"
