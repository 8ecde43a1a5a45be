"""The kinds of actions: one module each: what a rule may write and what is sent. KINDS is the registry."""

from __future__ import annotations

from collections.abc import Mapping

from lustre_events.actions.kinds import mail, webhook
from lustre_events.actions.kinds.kind import ActionKind

__all__ = ["KINDS", "ActionKind"]

KINDS: Mapping[str, ActionKind] = {
    "webhook": ActionKind(webhook.read_with, webhook.rendered),
    "mail": ActionKind(mail.read_with, mail.rendered),
}
"""By what a rule's `action` says; an endpoint's `kind` is the same word."""
