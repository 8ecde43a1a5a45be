"""Rules of actions in a file of rules: each [[rule]] that says `action`.

[[rule]]
name = "who removes raw data"         # shown with its runs and counts
on = ["removed", "renamed"]           # what happens: content, created, removed, renamed, attributes, xattr, hsm
directories = ["/proj/*/raw/**"]      # conditions as for extractors: extensions, globs, owners, min_size, ...
query = "common.instrument:ARPES"            # for on = "document": a document was written, and this finds the file
types = ["f", "d"]                    # files, directories; default: files
action = "webhook"                    # mail, nats, redis, kafka, transfer; slurm; or an action that has a folder
endpoint = "data-managers"            # listed in the file that [actions] endpoints names
with = {}                             # settings of the action itself
body = { path = "{path}" }            # JSON with fields in it; default: all that is known of the object
batch = 1                             # most events that are sent together
complete = { marker = "*.done" }      # for on = "directory": when one is complete; min_files, quiet_seconds
late = "report"                       # files that come after that: report, again or ignore
after = "reduce"                      # instead of `on`: when that rule's run for the same object has succeeded
settle_seconds = 2.0                  # default: [dispatcher] settle_seconds; for `removed`: 0
expires_seconds = 604800              # an event that is older is listed, and not sent
burst = 10000                         # with more runs in a minute the rule is held; 0: never
per_minute = 0                        # most runs that are sent in a minute; 0: any number
running = 0                           # most runs that are given out at the same time; 0: any number
audience = ["alice"]                  # users who must be allowed to see what is sent; default: not checked
outputs = "../calibrated"             # for a container: where its outputs go, relative to the file's directory
own = false                           # true: it also fires for what containers have put into the file system
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Location, key, values
from lustre_events.domain.rules import batch_scripts, chains, containers, templates, transfers
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.complete import LATE, REPORT, read_complete
from lustre_events.domain.rules.conditions import KEYS, NOT, Accounts, Condition, conditions_of
from lustre_events.domain.rules.endpoints import Endpoint, unknown
from lustre_events.domain.rules.grants import Author
from lustre_events.domain.times import SECOND_NS
from lustre_events.domain.triggers import CONTENT, DIRECTORY, DOCUMENT, TRIGGERS
from lustre_events.errors import LustreEventsError

TYPES = ("f", "d")
MOST_BATCH = 500
ON = (*TRIGGERS, DOCUMENT, DIRECTORY)
_DAY = 86_400
_LATER = ("schedule",)
"""Triggers that the design has and this version has not."""

CheckQuery = Callable[[str], object]
"""Refuses a query that cannot be understood, or whose answer changes with time alone. Raises LustreEventsError."""

ReadWith = Callable[[Location, Mapping[str, Any]], Mapping[str, Any]]
"""Reads what `with` says to one kind of action. Raises `location.error`."""


@dataclass(frozen=True, slots=True)
class ActionNames:
    """What rules of actions may name: kinds of actions, each with what reads its `with`, and endpoints."""

    kinds: Mapping[str, ReadWith] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    check_query: CheckQuery = bool
    author: Author | None = None
    """Whose own rules they are; None: the site's."""
    folders: Mapping[str, ReadWith] = field(default_factory=dict)
    """The actions that have a folder, which run in a container; each with what reads its `with`.

    A user's own one is named USER/NAME here.
    """
    of_workers: Mapping[str, ReadWith] = field(default_factory=dict)
    """Kinds that file workers do without a folder; each with what reads its `with`."""
    extractors_in: tuple[str, ...] = ()
    """The folders in which extractors are looked for, for the sentence about one that is in none of them."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a [[rule]] of an action says beside its conditions, `on`, `with` and `body`."""

    name: str = key("", longest=100)
    action: str = ""
    endpoint: str = key("", needed="name one of the file that [actions] endpoints names")
    outputs: str = key("", longest=1_000)
    own: bool = False
    types: tuple[str, ...] = key(
        ("f",), fits=TYPES.__contains__, expected="types are f (files) and d (directories)"
    )
    batch: int = key(1, least=1, most=MOST_BATCH)
    settle_seconds: float | None = key(None, least=0, most=_DAY)
    expires_seconds: float = key(7.0 * _DAY, least=1, most=366 * _DAY)
    burst: int = key(10_000, least=0, most=1_000_000_000)
    per_minute: int = key(0, least=0, most=10_000_000)
    running: int = key(0, least=0, most=100_000)
    query: str = key("", longest=2_000)
    audience: tuple[str, ...] = ()
    late: str = key(REPORT, choices=LATE)
    after: str = key("", longest=100)


_CONDITIONS = {name: each for name, each in KEYS.items() if name != "events"}
_OTHERS = (*_CONDITIONS, NOT, "on", "with", "body", "complete")


def is_action(table: Mapping[str, Any]) -> bool:
    """Whether a [[rule]] is one of an action."""
    return "action" in table


def action_rule(
    location: Location, name: str, table: Mapping[str, Any], accounts: Accounts, known: ActionNames
) -> ActionRule:
    """Return the rule of an action that a [[rule]] says.

    Raises:
        ConfigError: a key or value is wrong; the message names the nearest valid one.
    """
    if "extractor" in table:
        raise location.at("extractor").refusal("and action exclude each other; write two rules")
    entry = _Entry(**values(_Entry, table, location, others=_OTHERS))
    author = known.author
    _check_name(location, name, author)
    _check_audience(location.at("audience"), entry.audience, accounts, author)
    action, read_with = _action(location, entry.action, known)
    on = _triggers_of(location, table, entry, author)
    _check_action(location, table, entry, on, known, action=action)
    _check_query(location, entry, on, known)
    complete = read_complete(location, table, on, author)
    body = table.get("body")
    if body is not None:
        _check_body(location.at("body"), body)
    given = table.get("with", {})
    if not isinstance(given, dict):
        raise location.at("with").refusal("must be a table, e.g. { subject = '...' }")
    settings = read_with(location.at("with"), given)
    granted = _granted(location, action, entry, settings, known)
    conditions = _conditions(location, table, accounts, granted)
    return ActionRule(
        name=_full_name(name, author),
        on=on, types=frozenset(entry.types if complete is None else "d"), conditions=conditions,
        complete=complete, late=entry.late, action=action,
        endpoint=_endpoint_of(location, action, entry, settings, known), outputs=entry.outputs, own=entry.own,
        settings=settings, body=body, batch=entry.batch,
        settle_ns=None if entry.settle_seconds is None else int(entry.settle_seconds * SECOND_NS),
        expires_ns=int(entry.expires_seconds * SECOND_NS), burst=_burst(entry, author), per_minute=entry.per_minute,
        running=entry.running, query=entry.query, author=author, audience=entry.audience,
        after=entry.after and _full_name(entry.after, author),
        digest=_digest({**table, "granted": granted} if granted else table),
    )  # fmt: skip


def _check_action(
    location: Location,
    table: Mapping[str, Any],
    entry: _Entry,
    on: frozenset[str],
    known: ActionNames,
    *,
    action: str,
) -> None:
    """Refuse what is not for the action that a rule names."""
    if action in known.kinds:
        _check_endpoint(location, entry, known)
        containers.check_none(location, entry.outputs)
    elif action == transfers.KIND:
        transfers.check(location, table, on)
        _check_endpoint(location, entry, known)
    elif action in known.of_workers:
        batch_scripts.check(location, table, on)
    else:
        containers.check(location, table, entry.outputs, on, known.author)


def _full_name(name: str, author: Author | None) -> str:
    return name if author is None else f"{author.name}/{name}"


def _triggers_of(
    location: Location, table: Mapping[str, Any], entry: _Entry, author: Author | None
) -> frozenset[str]:
    """Return what a rule starts on: what happens, or another rule's success."""
    if "after" in table:
        return chains.check(location, table, entry.after, author)
    chains.refuse_alone(location, table)
    return _triggers(location.at("on"), table.get("on", [CONTENT]))


def _action(location: Location, name: str, known: ActionNames) -> tuple[str, ReadWith]:
    """Return the action that a rule names, and what reads its `with`. Raises `location.error`: there is none."""
    others = {**known.of_workers, **known.kinds}
    action = containers.named(name, known.author, known.folders)
    if action:
        return action, known.folders[action]
    if name in others:
        return name, others[name]
    raise location.unknown(f"action {name!r}", name, [*containers.usable(known.author, known.folders), *others])


def _granted(
    location: Location, action: str, entry: _Entry, settings: Mapping[str, Any], known: ActionNames
) -> tuple[str, ...]:
    """Return where a user's rule may hold by its grant; nothing: everywhere. Raises `location.error`."""
    if action in known.folders:
        return containers.granted(location, action, known.author)
    if action == batch_scripts.KIND:
        return batch_scripts.granted(location.at("with"), settings, known.author)
    found = known.author.allowance.endpoints[entry.endpoint] if known.author is not None else ()
    if found and action == transfers.KIND:
        transfers.check_granted(location, settings)
    return found


def _endpoint_of(
    location: Location, action: str, entry: _Entry, settings: Mapping[str, Any], known: ActionNames
) -> str:
    """Return the endpoint that a rule names, or what stands for one."""
    if action == transfers.KIND:
        return transfers.endpoint_name(transfers.target_of(entry.endpoint) or entry.endpoint)
    if action in known.of_workers:
        return batch_scripts.endpoint_of(location.at("with"), settings, known.endpoints)
    return entry.endpoint or containers.endpoint_name(action)


def _conditions(
    location: Location, table: Mapping[str, Any], accounts: Accounts, granted: Sequence[str]
) -> tuple[Condition, ...]:
    """Return what a rule asks of a file, and where it may hold by its grant."""
    found = conditions_of(location, table, accounts)
    if granted:
        found += conditions_of(location, {"directories": list(granted)}, accounts)
    return tuple(each for each in found if each.key != "events")


def _check_name(location: Location, name: str, author: Author | None) -> None:
    if author is None and "/" in name:
        raise location.at("name").refusal(
            "has a /, which stands between a user and the user's own rule; leave it out"
        )
    if not name.isprintable():
        raise location.at("name").refusal("has characters that cannot be printed; leave them out")


def _check_audience(location: Location, audience: Sequence[str], accounts: Accounts, author: Author | None) -> None:
    if audience and author is not None:
        raise location.refusal("is for the site's rules; yours sends what you may see")
    for name in audience:
        try:
            accounts.uid_of(name)
        except KeyError as exc:
            raise location.refusal(f"has {name!r}, and there is no such user on this node") from exc


def _burst(entry: _Entry, author: Author | None) -> int:
    """Return a rule's `burst`; a user's is never above the runs that the site grants."""
    if author is None:
        return entry.burst
    return min(entry.burst or author.allowance.runs, author.allowance.runs)


def _check_endpoint(location: Location, entry: _Entry, known: ActionNames) -> None:
    endpoints, author = known.endpoints, known.author
    if not entry.endpoint:
        raise location.at("endpoint").refusal("is missing; name one of the file that [actions] endpoints names")
    if author is not None and entry.endpoint not in author.allowance.endpoints:
        granted = ", ".join(sorted(author.allowance.endpoints)) or "none"
        raise location.at("endpoint").refusal(
            f"is {entry.endpoint!r}, which the site does not grant to {author.name}; granted are: {granted}"
        )
    name = _endpoint_named(location, entry, endpoints)
    kind = endpoints[name].kind
    if kind != entry.action:
        raise location.at("endpoint").refusal(
            f"is {entry.endpoint!r}, one for {kind}; {entry.action} needs its own kind"
        )
    if author is None and endpoints[name].for_authors:
        raise location.at("endpoint").refusal(
            f"is {entry.endpoint!r}, which writes to the user whose own rule it is; the site needs another one"
        )


def _endpoint_named(location: Location, entry: _Entry, endpoints: Mapping[str, Endpoint]) -> str:
    """Return the name that an endpoint has among all of them. Raises `location.error`: it is none."""
    copied_to = transfers.endpoint_name(entry.endpoint)
    name = copied_to if copied_to in endpoints else entry.endpoint
    if name in endpoints:
        return name
    others = list(endpoints)
    if entry.action == transfers.KIND:
        others = [found for each in endpoints if (found := transfers.target_of(each))]
    if others or entry.action != transfers.KIND:
        raise location.at("endpoint").refusal(f"is {name!r}, which does not exist{unknown(name, others)}")
    raise location.at("action").refusal(
        "needs [actions] transfers = true, and an endpoint of this kind in the file of endpoints"
    )


def _triggers(location: Location, given: Any) -> frozenset[str]:
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not listed or not all(isinstance(each, str) for each in listed):
        raise location.refusal(f"must be one trigger or a list of them; known are: {', '.join(ON)}")
    for each in listed:
        if each in _LATER:
            raise location.refusal(f"has {each!r}, which this version cannot do yet; known are: {', '.join(ON)}")
        if each not in ON:
            raise location.refusal(f"has an unknown trigger {each!r}{nearest(each, ON)}")
    return frozenset(listed)


def _check_query(location: Location, entry: _Entry, on: Collection[str], names: ActionNames) -> None:
    if DOCUMENT not in on:
        if entry.query:
            raise location.at("query").refusal(f"is for on = {DOCUMENT!r} only; remove one of the two")
        return
    if len(on) > 1 or entry.types != ("f",):
        raise location.at("on").refusal(f"has {DOCUMENT!r}, which stands alone, and is about files only")
    if not entry.query:
        raise location.at("query").refusal("is missing; write what documents must match, as in a search, or *")
    try:
        names.check_query(entry.query)
    except LustreEventsError as exc:
        raise location.at("query").refusal(f"cannot be asked: {exc}") from exc


def _check_body(location: Location, body: Any) -> None:
    if not isinstance(body, dict | list | str):
        raise location.refusal("must be a table, a list or a text")
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise location.refusal(
            "has a value that JSON cannot hold (a date, or an infinite number); write it as a text"
        ) from exc
    templates.check(body, location)


def _digest(table: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True, default=str).encode()).hexdigest()


def names_of(rules: Collection[ActionRule]) -> str:
    """Return the names of rules, for a sentence."""
    return ", ".join(sorted(rule.name for rule in rules))
