"""The kinds of actions: one module each: what a rule may write and what is sent. KINDS is the registry."""

from __future__ import annotations

from collections.abc import Mapping

from lustre_events.actions.kinds import cloud_event, mail, slurm, transfer
from lustre_events.actions.kinds.kind import ActionKind

__all__ = ["KINDS", "OF_WORKERS", "ActionKind"]

_EVENT = ActionKind(cloud_event.read_with, cloud_event.rendered)

KINDS: Mapping[str, ActionKind] = {
    "webhook": _EVENT,
    "mail": ActionKind(mail.read_with, mail.rendered),
    "nats": _EVENT,
    "redis": _EVENT,
    "kafka": _EVENT,
}
"""By what a rule's `action` says; an endpoint's `kind` is the same word."""
OF_WORKERS: Mapping[str, ActionKind] = {
    "slurm": ActionKind(slurm.read_with, slurm.rendered),
    "transfer": ActionKind(transfer.read_with, transfer.rendered),
}
"""Kinds that file workers do, without a folder of an action."""
