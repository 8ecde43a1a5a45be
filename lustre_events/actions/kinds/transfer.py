"""`transfer`: a copy of each file at an endpoint. What `with` may say, and what a file worker is told of a run.

    with = { strip = "/proj" }

At the endpoint a file has its path from the mount point on, without what `strip` says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from lustre_events.actions.kinds.kind import Subject
from lustre_events.config.tables import Location
from lustre_events.errors import ConfigError


class CopyOrder(msgspec.Struct, frozen=True, gc=False):
    """What a file worker is told: the file (`path` is a hint, percent-encoded), and what its path loses."""

    fid: str
    path: str
    strip: str


def read_with(location: Location, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `with` says. Raises `location.error`."""
    for name in table:
        if name != "strip":
            raise location.unknown(f"key {name}", name, ("strip",))
    strip = table.get("strip", "")
    if not isinstance(strip, str) or (strip and not strip.startswith("/")):
        raise location.refusal('has a strip that is no directory, from the mount point on, such as "/proj"')
    parts = [part for part in strip.split("/") if part]
    if {".", ".."} & set(parts) or "\0" in strip:
        raise location.refusal("has a strip with . or .. in it; write the directory itself")
    return {"strip": "/".join(parts)}


def rendered(subject: Subject) -> bytes:
    """Return the order of one run."""
    known: Mapping[str, Any] = subject.known
    path = known["path"] if known["encoding"] else quote(known["path"])
    return json.dumps({"fid": known["fid"], "path": path, "strip": subject.rule.settings["strip"]}).encode()


def read(body: bytes) -> CopyOrder:
    """Return the order that `rendered` made. Raises ConfigError."""
    try:
        return msgspec.json.decode(body, type=CopyOrder)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"not an order of a copy: {exc}; dispatcher and worker may differ in version") from exc
