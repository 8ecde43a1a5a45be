"""What each kind of action has to say, and what is known of an object when a body is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.config.tables import Location
from lustre_events.domain.action_run import Run
from lustre_events.domain.rules.action_rules import ActionRule


@dataclass(frozen=True, slots=True)
class Subject:
    """What a body is made from: the run, its rule, the body's data with all fields filled in, and what is known."""

    run: Run
    rule: ActionRule
    data: Any
    known: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ActionKind:
    """One kind of action. `read_with` reads what `with` says; `rendered` makes the bytes that are sent."""

    read_with: Callable[[Location, Mapping[str, Any]], Mapping[str, Any]]
    rendered: Callable[[Subject], bytes]
