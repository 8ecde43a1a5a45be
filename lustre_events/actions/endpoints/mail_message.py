"""The messages that events become: plain text in UTF-8, one for each event, or for all that a search has matched.

No value adds a header: `email` refuses a line's end in a subject.
"""

from __future__ import annotations

import email.policy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.kinds import mail
from lustre_events.actions.run_transitions import REFUSED, Attempt
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError

LONGEST_LINE = 900
"""Bytes of a line that need no encoding; RFC 5322 allows 998."""

Reached = Callable[[str], frozenset[str]]
"""Returns which recipients have the event of a key already."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message: of which events of a batch, by their places; their keys; who gets it, and who has it already."""

    message: EmailMessage
    places: Sequence[int]
    keys: Sequence[str]
    everybody: Sequence[str]
    reached: frozenset[str]


def letters_of(
    batch: Sequence[Parcel], endpoint: Endpoint, reached: Reached
) -> tuple[list[Letter], dict[int, Attempt]]:
    """Return the messages of a batch, and of the events that can be none what becomes of them, by their places."""
    groups: dict[tuple[object, ...], dict[int, Mapping[str, Any]]] = {}
    refused: dict[int, Attempt] = {}
    letters: list[Letter] = []
    for place, event in enumerate(batch):
        try:
            found: dict[str, Any] = json.loads(event.body)
            message_of(found, event.key, endpoint)
            whose = _together(found, reached(event.key)) or (place,)
        except ConfigError as exc:
            refused[place] = Attempt(REFUSED, error=str(exc))
        except (ValueError, LookupError, TypeError, AttributeError) as exc:
            refused[place] = Attempt(REFUSED, error=f"its body is not a mail ({type(exc).__name__})")
        else:
            groups.setdefault(whose, {})[place] = found
    for group in groups.values():
        found = dict(mail.matching(list(group.values())))
        keys = [batch[place].key for place in group]
        everybody = endpoint.recipients(str(found.get("user", "")))
        message = message_of(found, "\0".join(keys), endpoint)
        letters.append(Letter(message, list(group), keys, everybody, reached(keys[0])))
    return letters, refused


def _together(found: Mapping[str, Any], reached: frozenset[str]) -> tuple[object, ...]:
    """Return what events have in common that go out as one message; (): it is sent alone."""
    if not found.get("search") or not found["paths"]:
        return ()
    return found["search"], found["query"], found["user"], reached


def message_of(found: Mapping[str, Any], key: str, endpoint: Endpoint) -> EmailMessage:
    """Return the message of an event, as text that every mail program shows.

    Raises:
        ConfigError: nobody gets it.
        ValueError, LookupError, TypeError: the body is none of a mail.
    """
    message = EmailMessage(email.policy.SMTP)
    message["From"] = endpoint.sender
    message["To"] = ", ".join(endpoint.recipients(str(found.get("user", ""))))
    message["Subject"] = str(found["subject"])
    message["Date"] = format_datetime(datetime.fromtimestamp(found["time_ns"] // SECOND_NS, UTC))
    digest = hashlib.sha256(key.encode()).hexdigest()[:40]
    message["Message-ID"] = f"<{digest}@{endpoint.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    text = str(found["text"])
    plain = text.isascii() and all(len(line) <= LONGEST_LINE for line in text.splitlines())
    message.set_content(text, cte="7bit" if plain else "quoted-printable")
    return message
