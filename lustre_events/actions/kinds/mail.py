"""`mail`: one message for each run; `with` may give its subject, a template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lustre_events.actions.kinds.kind import Subject
from lustre_events.config.tables import Location
from lustre_events.domain.rules import templates

DEFAULT_SUBJECT = "{rule}: {trigger} {path}"
MOST_SUBJECT = 200


def read_with(location: Location, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `with` says. Raises `location.error`."""
    for name, value in table.items():
        if name != "subject":
            raise location.unknown(f"key {name}", name, ("subject",))
        if not isinstance(value, str) or not 0 < len(value) <= MOST_SUBJECT:
            raise location.refusal(f"has a subject that is no text of 1 to {MOST_SUBJECT} characters")
        templates.check(value, location)
        if templates.asks(value, "outputs"):
            raise location.refusal("has a subject that names {outputs}, which is a list; name it in `body`")
    return dict(table)


def rendered(subject: Subject) -> bytes:
    """Return subject and text; what a mail cannot hold in its head is left out there."""
    template = subject.rule.settings.get("subject", DEFAULT_SUBJECT)
    head = str(templates.filled(template, subject.known))
    line = "".join(each if each.isprintable() else "?" for each in head)[:MOST_SUBJECT]
    data = subject.data
    text = data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False)
    author = subject.rule.author
    found = {"subject": line, "text": text, "time_ns": subject.run.event_ns, "user": author.name if author else ""}
    return json.dumps(found).encode()
