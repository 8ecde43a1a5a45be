"""`transfer`: copies at an endpoint. What `with` may say, and what a file worker is told of a run.

    with = { strip = "/proj", files = "{outputs}" }

At the endpoint a file has its path from the mount point on, without what `strip` says. What is copied is the run's
own file, all that is below its directory, or, with `files`, what the container before it in its chain has made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_from_bytes

import msgspec

from lustre_events.actions.kinds.kind import Subject
from lustre_events.config.tables import Location
from lustre_events.errors import ConfigError

OUTPUTS = "{outputs}"
_KEYS = ("strip", "files")


class CopyOrder(msgspec.Struct, frozen=True, gc=False):
    """What a file worker is told: the file (`path` is a hint, percent-encoded), and what its path loses.

    `directory`: all that is below it is copied. `outputs`: these are, instead of the file, as percent-encoded paths
    from the mount point on.
    """

    fid: str
    path: str
    strip: str
    directory: bool = False
    outputs: list[str] | None = None


def read_with(location: Location, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `with` says. Raises `location.error`."""
    for name in table:
        if name not in _KEYS:
            raise location.unknown(f"key {name}", name, _KEYS)
    strip = table.get("strip", "")
    if not isinstance(strip, str) or (strip and not strip.startswith("/")):
        raise location.refusal('has a strip that is not a directory, written from the mount point, such as "/proj"')
    parts = [part for part in strip.split("/") if part]
    if {".", ".."} & set(parts) or "\0" in strip:
        raise location.refusal("has a strip with . or .. in it; write the directory itself")
    found = {"strip": "/".join(parts)}
    if "files" in table:
        if table["files"] != OUTPUTS:
            raise location.refusal(
                f'has files, which can be "{OUTPUTS}" alone: what the container before it has made'
            )
        found["files"] = OUTPUTS
    return found


def rendered(subject: Subject) -> bytes:
    """Return the order of one run."""
    known: Mapping[str, Any] = subject.known
    path = known["path"] if known["encoding"] else quote(known["path"])
    order = {"fid": known["fid"], "path": path, "strip": subject.rule.settings["strip"]}
    if subject.rule.is_about_directories:
        order["directory"] = True
    if "files" in subject.rule.settings:
        order["outputs"] = [quote_from_bytes(each) for each in subject.run.outputs or ()]
    return json.dumps(order).encode()


def read(body: bytes) -> CopyOrder:
    """Return the order that `rendered` made. Raises ConfigError."""
    try:
        return msgspec.json.decode(body, type=CopyOrder)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"not an order of a copy: {exc}; dispatcher and worker may differ in version") from exc
