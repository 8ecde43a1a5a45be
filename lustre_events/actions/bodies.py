"""What is sent for a run: the fields that are known of its object in the rule's body, once for all tries.

A name that is no UTF-8 is percent-encoded as a whole, and `encoding` says so: JSON has no bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_from_bytes

from lustre_events.actions.kinds import KINDS, OF_WORKERS, orders
from lustre_events.actions.kinds.cloud_event import when
from lustre_events.actions.kinds.kind import Subject
from lustre_events.domain.action_run import Run, Seen
from lustre_events.domain.rules import templates
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.triggers import RENAMED
from lustre_events.errors import ConfigError

DEFAULT_FIELDS = (
    "rule", "trigger", "path", "old_path", "encoding", "fid", "type", "size", "mtime", "owner", "group", "jobid",
    "files",
)  # fmt: skip
"""What a rule without a body sends, as far as it is known."""


def known_of(run: Run, path: bytes, seen: Seen, documents: Mapping[str, Any]) -> dict[str, Any]:
    """Return what texts of a body may name."""
    shown, encoding = text_of(path)
    old = run.before.paths[0] if run.before is not None and run.before.paths and run.began == RENAMED else None
    return {
        "path": shown,
        "old_path": None if old is None else text_of(old)[0],
        "name": text_of(path.rpartition(b"/")[2])[0].lstrip("/"),
        "encoding": encoding,
        "fid": str(run.fid),
        "type": seen.type,
        "size": seen.size,
        "mtime": None if seen.mtime_ns is None else when(seen.mtime_ns),
        "owner": seen.uid,
        "group": seen.gid,
        "mode": None if seen.mode is None else f"{seen.mode & 0o7777:04o}",
        "mime": seen.mime,
        "jobid": None if run.jobid is None else text_of(run.jobid)[0].lstrip("/"),
        "trigger": run.trigger,
        "rule": run.rule,
        "time": when(run.event_ns),
        "key": run.key,
        "files": run.files,
        "outputs": None if run.outputs is None else [text_of(each)[0] for each in run.outputs],
        "doc": documents,
    }


def text_of(path: bytes) -> tuple[str, str | None]:
    """Return a path from the mount point on as text, and how it is encoded; None: as it is."""
    whole = b"/" + path.lstrip(b"/")
    try:
        return whole.decode(), None
    except UnicodeDecodeError:
        return quote_from_bytes(whole), "percent"


def rendered(rule: ActionRule, run: Run, known: Mapping[str, Any]) -> bytes:
    """Return what is sent. Raises ConfigError: it is too large, or names what is not known."""
    if templates.asks(rule.body, "outputs") or templates.asks(rule.settings, "outputs"):
        _check_outputs(run)
    if rule.body is None:
        data = {name: known[name] for name in DEFAULT_FIELDS if known[name] is not None}
    else:
        data = templates.filled(rule.body, known, rule.most_body)
    make = orders.rendered if rule.outputs else {**KINDS, **OF_WORKERS}[rule.action].rendered
    body = make(Subject(run, rule, data, known))
    if len(body) > rule.most_body:
        raise ConfigError(
            f"the body has {len(body)} bytes; {rule.most_body / 1024:g} KiB are the most, so name less in it"
        )
    return body


def _check_outputs(run: Run) -> None:
    if run.outputs is None:
        raise ConfigError(
            "it names {outputs}, and no run before it has said what it made; is its worker an older one?"
        )
    if run.made > len(run.outputs):
        raise ConfigError(
            f"it names {{outputs}}, and the run before it has made {run.made} files, more than can be named; let it"
            " look into their directory instead"
        )


def place_of(path: bytes) -> bytes:
    """Return what stands for a path in the index: a digest of it."""
    return hashlib.sha256(path).digest()[:16]
