"""`mail`: a text for people, one message for each run; `with` may give its subject, a template.

What a subscription sends says which search was matched: several of them go out as one message (`matching`).
In every line that has a path, characters that cannot be printed are escapes: a name adds no line to a mail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lustre_events.actions.kinds.kind import Subject
from lustre_events.config.tables import Location
from lustre_events.domain.rules import templates
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.grants import MOST_BODY
from lustre_events.domain.triggers import (
    AFTER,
    ATTRIBUTES,
    CONTENT,
    CREATED,
    DIRECTORY,
    DOCUMENT,
    HSM,
    REMOVED,
    RENAMED,
    XATTR,
)
from lustre_events.errors import one_line

MOST_SUBJECT = 200
MOST_NAME = 80
"""Characters of a name in a subject; the text has all of it."""
NOT_UTF8 = " (this name is not UTF-8: %XX stands for one byte)"
_HAPPENED = {
    CONTENT: "was written",
    CREATED: "was created",
    REMOVED: "was removed",
    RENAMED: "was renamed",
    ATTRIBUTES: "has new attributes",
    XATTR: "has new extended attributes",
    HSM: "was archived, released or restored",
    DOCUMENT: "has a new document",
    DIRECTORY: "is complete",
}
_LINES = (
    ("old_path", "Old path"), ("files", "Files"), ("size", "Size in bytes"), ("mtime", "Modified"),
    ("owner", "Owner (uid)"), ("group", "Group (gid)"), ("jobid", "Job"), ("fid", "FID"), ("time", "When"),
)  # fmt: skip
_NAMES = ("path", "old_path", "name", "jobid")
"""What is known of a file that may be any bytes."""


def read_with(location: Location, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `with` says. Raises `location.error`."""
    for name, value in table.items():
        if name != "subject":
            raise location.unknown(f"key {name}", name, ("subject",))
        if not isinstance(value, str) or not 0 < len(value) <= MOST_SUBJECT:
            raise location.refusal(f"has a subject that is not a text of 1 to {MOST_SUBJECT} characters")
        templates.check(value, location)
        if templates.asks(value, "outputs"):
            raise location.refusal("has a subject that names {outputs}, which is a list; name it in `body`")
    return dict(table)


def rendered(subject: Subject) -> bytes:
    """Return subject, text and user as JSON, and which search was matched where a subscription sends it."""
    rule, known = subject.rule, subject.known
    user = rule.author.name if rule.author else ""
    found = {
        "subject": _subject(rule, known),
        "text": _text(subject),
        "time_ns": subject.run.event_ns,
        "user": user,
    }
    if rule.search:
        found |= {"search": rule.search, "query": rule.query, "paths": [_path(known)]}
        found |= _matched([found])
    return json.dumps(found).encode()


def matching(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return one mail for what one search of one user has matched: `events` are bodies that `rendered` made."""
    newest = max(events, key=lambda event: int(event["time_ns"]))
    return {**newest, **_matched(events)} if len(events) > 1 else newest


def _subject(rule: ActionRule, known: Mapping[str, Any]) -> str:
    template = rule.settings.get("subject")
    if template is not None:
        return one_line(str(templates.filled(template, known, MOST_BODY)))[:MOST_SUBJECT]
    happened = _happened(rule, known, _shortened(one_line(known["name"] or "/")))
    return one_line(f"{happened} (rule '{_name(rule)}')")[:MOST_SUBJECT]


def _text(subject: Subject) -> str:
    rule = subject.rule
    if isinstance(rule.body, str):
        safe = {name: one_line(subject.known[name] or "") for name in _NAMES}
        return str(templates.filled(rule.body, {**subject.known, **safe}, rule.most_body))
    if rule.body is not None:
        return json.dumps(subject.data, indent=2, ensure_ascii=False)
    known = subject.known
    facts = [f"{label}: {one_line(str(known[name]))}" for name, label in _LINES if known[name] is not None]
    return "\n".join([f"{_happened(rule, known, _path(known))}.", "", *facts, "", _why(rule), ""])


def _happened(rule: ActionRule, known: Mapping[str, Any], name: str) -> str:
    if known["trigger"] == AFTER:
        return f"{name}: rule '{rule.after}' has succeeded"
    return f"{name} {_HAPPENED[known['trigger']]}"


def _path(known: Mapping[str, Any]) -> str:
    return one_line(known["path"]) + (NOT_UTF8 if known["encoding"] else "")


def _shortened(name: str) -> str:
    """Return a name whose middle is left out if it is long: what it ends with says what kind of file it is."""
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 30]}...{name[-27:]}"


def _name(rule: ActionRule) -> str:
    return rule.name if rule.author is None else rule.name.removeprefix(f"{rule.author.name}/")


def _why(rule: ActionRule) -> str:
    """Return why the mail comes, and how it is stopped."""
    if rule.author is None:
        return f"The site's rule '{rule.name}' sends this mail. To stop it, ask your administrators."
    user = rule.author.name
    return (
        f"The rule '{_name(rule)}' of {user} sends this mail. To stop it, remove the rule from {user}.toml,\n"
        f"the file of {user}'s own rules."
    )


def _matched(events: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return subject and text of a mail about what a search has matched."""
    search, user, query = (str(events[-1][name]) for name in ("search", "user", "query"))
    paths = sorted({path for event in events for path in event["paths"]})
    said = "1 new or changed file matches" if len(paths) == 1 else f"{len(paths)} new or changed files match"
    line = one_line(f"{said} your search '{search}'")
    text = [
        f"{line}:", "", *paths, "", f"The query: {one_line(query)}", "",
        f"This mail comes because {user} subscribed to this search. To stop these mails, open the console as",
        f"{user}, follow the link 'Saved searches', and press 'Stop' beside '{one_line(search)}'.", "",
    ]  # fmt: skip
    return {"subject": line[:MOST_SUBJECT], "text": "\n".join(text)}
