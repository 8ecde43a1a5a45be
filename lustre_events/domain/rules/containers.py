"""Rules of actions that run in a container: what they may say, where outputs go, and loops that can be proven.

What a run puts into the file system fires no rule, but those that say `own`. A rule that says it and holds for what
it causes would run for ever; where that follows from directories alone, the file of rules is refused. Else the
guards hold it: more than MOST_DEPTH runs that each come from the one before, or too many at one place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lustre_events.config.tables import Location
from lustre_events.domain.rules.action_rules import ActionRule, user_of
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.grants import OWN, Author
from lustre_events.domain.triggers import AFTER, CONTENT, CREATED, DOCUMENT, RENAMED
from lustre_events.errors import ConfigError

KIND = "container"
STAGING = b".lustre-events"
"""The directory, in the one where outputs go, with a directory for each run; no rule reaches what is in it."""
STAGING_GLOB = f"**/{STAGING.decode()}"
MOST_DEPTH = 8
_FIRES_FOR = frozenset({CONTENT, CREATED, RENAMED})
_TRIGGERS = frozenset({CONTENT, CREATED, RENAMED, DOCUMENT, AFTER})
_ELSEWHERE = ("endpoint", "body", "batch", "audience")
_STAGED = re.compile(rb"([0-9a-f]{32})-([0-9]{1,19})(?:\.plan)?")
_WILD = re.compile(r"[*?]|\[[^]]*\]")


def endpoint_name(action: str) -> str:
    """Return what stands for a container's action where an endpoint has its name; no endpoint is named so."""
    return f"{KIND}:{action}"


def action_of(endpoint: str) -> str:
    """Return the action that `endpoint_name` was given; empty: this is an endpoint of the site's file."""
    return endpoint.removeprefix(f"{KIND}:") if endpoint.startswith(f"{KIND}:") else ""


def is_own(rule: str, endpoint: str) -> bool:
    """Whether a rule is a user's own, and runs an action of that user, who has written what answers."""
    return bool(user := user_of(rule)) and action_of(endpoint).startswith(f"{user}/")


def endpoint(action: str, seconds: float, at_once: int) -> Endpoint:
    """Return the endpoint that stands for the file workers which run an action, for as long as it may take."""
    return Endpoint(endpoint_name(action), KIND, f"{KIND}://{action}", timeout_seconds=seconds, at_once=at_once)


def check_none(location: Location, outputs: str) -> None:
    """Refuse outputs of an action that makes none. Raises `location.error`."""
    if outputs:
        raise location.at("outputs").refusal("is for actions that run in a container; remove it")


def named(action: str, author: Author | None, folders: Collection[str]) -> str:
    """Return the action that a rule means: a user's own before the site's; empty: it is none of these folders."""
    own = f"{author.name}/{action}" if author is not None else ""
    if own in folders:
        return own
    return action if action in folders and "/" not in action else ""


def usable(author: Author | None, folders: Collection[str]) -> list[str]:
    """Return the actions that somebody's rules could name, as they would."""
    own = f"{author.name}/" if author is not None else "/"
    return [each.removeprefix(own) for each in folders if "/" not in each or each.startswith(own)]


def granted(location: Location, action: str, author: Author | None) -> tuple[str, ...]:
    """Return where a rule for an action may hold; nothing: everywhere. Raises `location.error`: not granted."""
    if author is None:
        return ()
    may = author.allowance.actions
    if "/" in action:
        if OWN not in may:
            raise location.at("action").refusal("is your own, which the site does not grant; ask for `own_actions`")
        return may[OWN]
    if action not in may:
        found = ", ".join(sorted(set(may) - {OWN})) or "none"
        raise location.at("action").refusal(
            f"is {action!r}, which the site does not grant to {author.name}; granted are: {found}"
        )
    return may[action]


def check(
    location: Location, table: Mapping[str, Any], outputs: str, on: frozenset[str], author: Author | None
) -> None:
    """Refuse what a rule of a container cannot say. Raises `location.error`."""
    if author is not None and "own" in table:
        raise location.at("own").refusal("is for the site's rules; yours never fire for what containers make")
    for name in _ELSEWHERE:
        if name in table:
            raise location.at(name).refusal("is for actions that send something; a container takes `with`")
    if not on <= _TRIGGERS:
        raise location.at("on").refusal(
            f"has {', '.join(sorted(on - _TRIGGERS))}; a container runs on a file that is there:"
            f" {', '.join(sorted(_TRIGGERS - {AFTER}))}"
        )
    if tuple(table.get("types", ("f",))) != ("f",):
        raise location.at("types").refusal("has more than f; a container runs on files only")
    parts = outputs.split("/")
    if not outputs or outputs.startswith("/") or "" in parts or STAGING.decode() in parts:
        raise location.at("outputs").refusal(
            'must be where outputs go, from the file\'s directory on: ".", "thumbnails", "../calibrated"'
        )


def directory_of(path: bytes, outputs: str) -> bytes | None:
    """Return where outputs of the file at `path` go, from the mount point on; None: that is above it."""
    found = [name for name in path.strip(b"/").split(b"/")[:-1] if name]
    for name in outputs.encode().split(b"/"):
        if name == b"..":
            if not found:
                return None
            found.pop()
        elif name != b".":
            found.append(name)
    return b"/".join(found)


def staging_name(run: str, expires_ns: int) -> bytes:
    """Return the name of a run's directory in STAGING: with it until when its attempt lasts."""
    return b"%b-%d" % (run.encode(), expires_ns)


def run_of(name: bytes) -> str:
    """Return the id of the run whose directory, or that of its plan, has this name; empty: it is no run's."""
    found = _STAGED.fullmatch(name)
    return found[1].decode() if found else ""


def expiry_of(name: bytes) -> int:
    """Return until when the attempt lasts whose directory has this name; 0: it is no run's."""
    found = _STAGED.fullmatch(name)
    return int(found[2]) if found else 0


def check_loops(origin: str, rules: Sequence[ActionRule]) -> None:
    """Refuse rules of which one would surely cause itself again and again. Raises ConfigError.

    Surely: what fires asks for nothing but directories, so any output fires it, and so does any success before it.
    """
    for rule in rules:
        for directory in _samples(rule) if rule.outputs else ():
            chain = _followed(rule, directory, rules)
            if chain:
                names = " -> ".join(repr(each) for each in chain[:MOST_DEPTH])
                raise ConfigError(
                    f"{origin}: rules start each other endlessly ({names}), since `own` is true and any output"
                    " fires them; put outputs where they do not hold, or remove `own`"
                )


def _samples(rule: ActionRule) -> Iterator[bytes]:
    """Yield directories in which a rule holds, made from its globs."""
    globs = [glob for each in rule.conditions if each.key == "directories" for glob in each.written] or ["/x/y/z"]
    for glob in globs:
        for stars in ("", "x/y/z"):
            filled = _WILD.sub("x", glob.replace("**", stars))
            directory = "/".join(part for part in filled.split("/") if part).encode()
            if rule.could_hold_in(directory):
                yield directory


def _followed(rule: ActionRule, directory: bytes, rules: Sequence[ActionRule]) -> list[str]:
    """Return the names of rules that surely follow each other for more than MOST_DEPTH steps; else nothing."""
    level = {(rule.name, directory): [rule]}
    for _ in range(MOST_DEPTH):
        after = {}
        for (_, place), chain in level.items():
            for other, target in _next(chain[-1], place, rules):
                after[other.name, target] = [*chain, other]
        level = after
    again = (chain for chain in level.values() if len({each.name for each in chain}) < len(chain))
    return [each.name for each in next(again, ())]


def _next(rule: ActionRule, place: bytes, rules: Sequence[ActionRule]) -> Iterator[tuple[ActionRule, bytes]]:
    """Yield the rules that surely start when one has worked in a directory, each with where its own file is."""
    target = directory_of(place + b"/x", rule.outputs) if rule.outputs else None
    for other in rules:
        if other.after == rule.name and _asks_no_more(other, place):
            yield other, place
        elif target is not None and other.own and other.on & _FIRES_FOR and _asks_no_more(other, target):
            yield other, target


def _asks_no_more(rule: ActionRule, directory: bytes) -> bool:
    """Whether a rule holds for any file in a directory."""
    directories_only = all(each.key == "directories" and not each.excludes for each in rule.conditions)
    return directories_only and rule.holds(File(directory + b"/x"), "f")
