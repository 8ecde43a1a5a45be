"""A container's action: what its file worker is told of one run. There is one kind for all folders of actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from lustre_events.actions.kinds.kind import Subject
from lustre_events.domain.rules import templates
from lustre_events.errors import ConfigError


class RunOrder(msgspec.Struct, frozen=True, gc=False):
    """What a file worker is told: the file (`path` is a hint, percent-encoded), the settings, where outputs go.

    `author`: the uid of the user whose own rule it is, who must own the file; None: the rule is the site's.
    """

    fid: str
    path: str
    settings: dict[str, Any]
    outputs: str
    rule: str
    key: str
    author: int | None = None


def rendered(subject: Subject) -> bytes:
    """Return the order of one run."""
    known: Mapping[str, Any] = subject.known
    path = known["path"] if known["encoding"] else quote(known["path"])
    settings = templates.filled(subject.rule.settings, known, subject.rule.most_body)
    order = {"fid": known["fid"], "path": path, "settings": settings, "outputs": subject.rule.outputs,
             "rule": subject.rule.name, "key": subject.run.key}  # fmt: skip
    if subject.rule.author is not None:
        order["author"] = subject.rule.author.uid
    return json.dumps(order).encode()


def read(body: bytes) -> RunOrder:
    """Return the order that `rendered` made. Raises ConfigError."""
    try:
        return msgspec.json.decode(body, type=RunOrder)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"not an order of a run: {exc}; dispatcher and worker may differ in version") from exc
