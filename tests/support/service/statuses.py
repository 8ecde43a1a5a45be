"""Statuses for tests, written as the JSON that `lustre-events status --json` gives."""

from __future__ import annotations

from typing import Any

import msgspec

from lustre_events.inspect.status import MdtStatus, Status
from lustre_events.inspect.status.parts import DispatcherStatus


def mdt_of(told: dict[str, Any]) -> MdtStatus:
    """Return the state of an MDT; what is no field of it was published by its reader."""
    own = {name: value for name, value in told.items() if name in MdtStatus.__struct_fields__}
    return msgspec.convert({**own, "told": {name: told[name] for name in told.keys() - own.keys()}}, MdtStatus)


def status_of(told: dict[str, Any]) -> Status:
    """Return a status, of which only some parts need to be there."""
    rest = {"time_ns": 0, **{name: value for name, value in told.items() if name not in {"mdts", "dispatcher"}}}
    if "index" in rest:
        empty: dict[str, Any] = {"objects": 0, "links": 0, "tombstones": 0, "pending": {}, "oldest_due_ns": {},
                                 "documents": {}, "failures": {}, "counters": {}}  # fmt: skip
        rest["index"] = empty | rest["index"]
    if rest.get("rq"):
        workers = [{"name": "", "host": "", "state": "", **each} for each in rest["rq"].get("workers", ())]
        rest["rq"] = {**rest["rq"], "workers": workers}
    found = msgspec.convert(rest, Status)
    if "mdts" in told:
        mdts = {name: mdt_of(state) for name, state in told["mdts"].items()}
        found = msgspec.structs.replace(found, mdts=mdts)
    if "dispatcher" in told:
        found = msgspec.structs.replace(found, dispatcher=DispatcherStatus(told["dispatcher"]))
    return found
