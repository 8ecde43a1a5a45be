"""Subscriptions: saved searches whose users are told of each new document that the search finds.

Each is a rule of that user's own, `on = "document"`, for an endpoint that the site grants: it has the user's view,
and counts in the quotas as rules of the user's file do. The dispatcher keeps them, one file USER.json for each user
in a folder of its own; the console asks for them, and writes no file of anybody's.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from lustre_events.config.tables import Location
from lustre_events.domain.rules.action_file import ActionNames, action_rule
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.grants import Allowance, Author
from lustre_events.domain.rules.rule_file import HERE
from lustre_events.domain.triggers import DOCUMENT
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.jobs.requests import arguments_as

SUFFIX = ".json"
MOST_NAME = 80
MOST_QUERY = 4_000
MOST_IN_A_MAIL = 100
"""Files that one mail lists, where the search has matched more than one of them meanwhile."""


class FollowedSearch(msgspec.Struct, frozen=True):
    """A search under a name, and the endpoint that is told."""

    name: str
    query: str
    endpoint: str


class _File(msgspec.Struct):
    """What stands in a user's file."""

    uid: int
    subscriptions: list[FollowedSearch]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What rules may name, and what a user is granted."""

    known: ActionNames
    of_user: Callable[[str], Allowance]


def rule_of(author: Author, wanted: FollowedSearch, known: ActionNames) -> ActionRule:
    """Return the rule that a subscription is. Raises ConfigError: it cannot be one, or is not granted."""
    location = Location(f"subscription {wanted.name!r}")
    endpoint = known.endpoints.get(wanted.endpoint)
    if wanted.endpoint not in author.allowance.endpoints or endpoint is None:
        granted = ", ".join(sorted(author.allowance.endpoints)) or "none"
        raise location.refusal(f"is for {wanted.endpoint!r}, which the site does not grant; granted are: {granted}")
    table: dict[str, Any] = {
        "on": DOCUMENT, "query": wanted.query, "action": endpoint.kind, "endpoint": wanted.endpoint,
    }  # fmt: skip
    if endpoint.kind == "mail":
        table["batch"] = MOST_IN_A_MAIL
    rule = action_rule(location, f"search {wanted.name}", table, HERE, replace(known, author=author))
    return replace(rule, search=wanted.name)


class SubscriptionFolder:
    """The files of a folder; `path` is made at the first subscription."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self) -> list[Path]:
        """Return the files, by name. Raises OSError."""
        try:
            return sorted(each for each in self.path.iterdir() if each.name.endswith(SUFFIX))
        except FileNotFoundError:
            return []

    def of(self, user: str, uid: int) -> list[FollowedSearch]:
        """Return a user's subscriptions; none of whoever had that name before. Raises ConfigError."""
        path = self._path(user)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as exc:
            raise ConfigError(f"{path}: these subscriptions cannot be read ({exc}); remove the file") from exc
        return found.subscriptions if found.uid == uid else []

    def put(self, user: str, uid: int, subscriptions: Sequence[FollowedSearch]) -> None:
        """Keep a user's subscriptions in the place of those before. Raises ConfigError: the disk refuses it."""
        path = self._path(user)
        fresh = path.with_suffix(".new")
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(_File(uid, list(subscriptions))))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as exc:
            raise ConfigError(
                f"{path}: this subscription cannot be kept ({exc.strerror}); give the dispatcher a folder of its "
                "own in [dispatcher] subscriptions"
            ) from exc

    def _path(self, user: str) -> Path:
        if not user or user.startswith(".") or "/" in user or "\0" in user:
            raise ConfigError(f"{user!r} is not a user's name")
        return self.path / f"{user}{SUFFIX}"


def users_subscriptions(
    folder: SubscriptionFolder, allowed: Allowed, others: Mapping[int, Sequence[ActionRule]]
) -> tuple[dict[int, tuple[ActionRule, ...]], list[str]]:
    """Return the rules of all subscriptions by uid, behind those of the users' own files; and what is wrong."""
    found: dict[int, tuple[ActionRule, ...]] = {}
    problems: list[str] = []
    try:
        paths = folder.files()
    except OSError as exc:
        why = f"{folder.path}: subscriptions cannot be read ({exc.strerror}), so they do not count here; correct"
        return {}, [f"{why} [dispatcher] subscriptions"]
    for path in paths:
        user = path.name.removesuffix(SUFFIX)
        try:
            uid = pwd.getpwnam(user).pw_uid
            author = Author(user, uid, allowed.of_user(user))
            before = others.get(uid, ())
            rules, wrong = _rules(author, folder.of(user, uid), allowed.known, before)
        except KeyError:
            problems.append(f"{path}: {user} is not a user on this node, so nobody is told")
            continue
        except LustreEventsError as exc:
            problems.append(str(exc))
            continue
        problems += [f"{path}: {each}" for each in wrong]
        if rules:
            found[uid] = (*before, *rules)
    return found, problems


def _rules(
    author: Author, wanted: Sequence[FollowedSearch], known: ActionNames, before: Sequence[ActionRule]
) -> tuple[list[ActionRule], list[str]]:
    names, rules, wrong = {rule.name for rule in before}, list[ActionRule](), list[str]()
    for each in wanted:
        try:
            rule = rule_of(author, each, known)
        except LustreEventsError as exc:
            wrong.append(str(exc))
            continue
        if rule.name in names:
            wrong.append(f"{rule.name!r} is the name of a rule in the user's file, too; rename that one")
        elif len(before) + len(rules) >= author.allowance.rules:
            wrong.append(
                f"subscription {each.name!r} is beyond the {author.allowance.rules} rules that are granted"
            )
        else:
            rules.append(rule)
    return rules, wrong


class _Wanted(msgspec.Struct):
    """Who asks; and the subscription."""

    user: str
    uid: int
    name: str = ""
    query: str = ""
    endpoint: str = ""


class SubscriptionRequests:
    """Carries out what the console asks: it has made sure who the user is. Asked twice, it is done once."""

    def __init__(self, folder: SubscriptionFolder, allowed: Callable[[], Allowed]) -> None:
        self._folder = folder
        self._allowed = allowed

    def handlers(self) -> dict[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]]:
        """Return what carries requests out, by their names."""
        return {"subscriptions": self._tell, "subscribe": self._subscribe, "unsubscribe": self._end}

    def _tell(self, _turn: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = _asked(arguments)
        allowed = self._allowed()
        author = Author(asked.user, asked.uid, allowed.of_user(asked.user))
        found = self._folder.of(asked.user, asked.uid)
        granted = author.allowance.endpoints
        return {
            "subscriptions": [
                msgspec.to_builtins(each) | {"wrong": _wrong(author, each, allowed)} for each in found
            ],
            "endpoints": [
                {"endpoint": name, "kind": each.kind}
                for name, each in sorted(allowed.known.endpoints.items())
                if name in granted
            ],
        }

    def _subscribe(self, _turn: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked, allowed = _asked(arguments), self._allowed()
        if not asked.name.isprintable() or not 0 < len(asked.name) <= MOST_NAME or len(asked.query) > MOST_QUERY:
            raise ConfigError(
                f"a subscription has a name of 1 to {MOST_NAME} characters and a query of {MOST_QUERY} at most; "
                "save the search under a shorter name"
            )
        author = Author(asked.user, asked.uid, allowed.of_user(asked.user))
        wanted = FollowedSearch(asked.name, asked.query, asked.endpoint)
        rule_of(author, wanted, allowed.known)
        kept = _without(self._folder.of(asked.user, asked.uid), asked.name)
        if len(kept) >= author.allowance.rules:
            raise ConfigError(
                f"{author.allowance.rules} rules are granted, and as many subscriptions; end one first"
            )
        self._folder.put(asked.user, asked.uid, [*kept, wanted])
        return {}

    def _end(self, _turn: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = _asked(arguments)
        found = self._folder.of(asked.user, asked.uid)
        kept = _without(found, asked.name)
        if len(kept) < len(found):
            self._folder.put(asked.user, asked.uid, kept)
        return {"ended": len(kept) < len(found)}


def _asked(arguments: Mapping[str, Any]) -> _Wanted:
    asked = arguments_as(_Wanted, arguments)
    try:
        known = pwd.getpwnam(asked.user).pw_uid
    except KeyError as exc:
        raise ConfigError(f"{asked.user!r} is not a user on the dispatcher's node") from exc
    if known != asked.uid:
        raise ConfigError(f"{asked.user} has another uid on the dispatcher's node; ask the site to correct it")
    return asked


def _without(found: Collection[FollowedSearch], name: str) -> list[FollowedSearch]:
    return [each for each in found if each.name != name]


def _wrong(author: Author, each: FollowedSearch, allowed: Allowed) -> str:
    try:
        rule_of(author, each, allowed.known)
    except LustreEventsError as exc:
        return str(exc)
    return ""


def stamped(folder: SubscriptionFolder) -> Iterator[Path]:
    """Yield the files whose changes matter."""
    try:
        yield from folder.files()
    except OSError:
        return
