"""A file of rules: an ordered list in TOML.

    match = "all"                     # or "first": stop at the first rule that holds, as if each had `last = true`

    [[rule]]
    name = "tables"                   # default: "rule 1", ...
    extensions = ["csv", "tar.gz"]    # of the file's name, upper or lower case
    globs = ["run-*"]                 # on the file's name
    directories = ["/proj/*/raw/**"]  # on its directory, from the mount point; ** is any number of levels
    owners = ["alice", 1000]          # user names or uids
    groups = ["physics", 100]         # group names or gids
    min_size = "1k"                   # bytes, or with k, M, G, T, P (factors of 1024)
    max_size = "10G"
    max_age_seconds = 86400           # since the last change of the content
    mimes = ["image/*"]               # the type by content
    events = ["content", "name"]      # what happened: content, attributes, name
    extractor = "tabular"
    last = false                      # true: where this rule holds, no later one is asked
    queue = "default"
    priority = 0                      # greater ones go first
    settle_seconds = 2.0              # default: [dispatcher] settle_seconds
    min_age_seconds = 0               # wait until the content's last change is this long ago
    recall = false                    # true: read also what HSM has released, which recalls it from tape

A rule holds if each condition that it names holds; of a list one entry is enough. Names are bytes.

A user's file is written in the same way. Its rules are about that user's files only, whatever they say; their
names and those of the user's own extractors get `USER/` in front; they may use the queue `default` and queues that
are named after the user (`alice`, `alice-gpu`), and no priority above 0. There are at most 100
of them, with 500 entries in their lists.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lustre_events.config.settings import nearest
from lustre_events.config.toml_text import read_toml
from lustre_events.domain.pending import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import STAT
from lustre_events.rules.conditions import KEYS, Accounts, read
from lustre_events.rules.directories import Reach, segments_of
from lustre_events.rules.rules import DEFAULT_QUEUE, Rule, Rules, Work

MOST_RULES = 100
"""In one user's file; `MOST_LISTED`: globs, extensions and other entries of lists, all together."""
MOST_LISTED = 500
MOST_NAME = 100
_QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_MATCH = ("all", "first")
_MOST_PRIORITY = 1_000_000
_DAY = 86_400
HERE = Accounts()
"""Users and groups as this node knows them."""
_YEAR = 366 * _DAY

_WORK_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "extractor": str,
    "last": bool,
    "queue": str,
    "priority": int,
    "settle_seconds": (int, float),
    "min_age_seconds": (int, float),
    "recall": bool,
}
_KIND = {str: "a string", bool: "true or false", int: "a whole number", (int, float): "a number"}


def parse(
    text: str | bytes, origin: str, extractors: Collection[str], accounts: Accounts = HERE, user: str = ""
) -> Rules:
    """Return the rules of a TOML text. `extractors` are the installed ones; `user`: whose file it is, if one's.

    The built-in `stat` is always installed.

    Raises:
        ConfigError: not TOML, or a key or value is wrong; the message names the rule, the key and the
            nearest valid one.
    """
    table = read_toml(text, origin)
    for key in table:
        if key not in ("match", "rule"):
            raise ConfigError(f"{origin}: unknown key {key}{nearest(key, ('match', 'rule'))}")
    match = table.get("match", "all")
    if match not in _MATCH:
        raise ConfigError(f"{origin}: match is {match!r}; it must be one of: {', '.join(_MATCH)}")
    entries = table.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{origin}: rules are written as [[rule]], with double brackets")
    if user:
        _check_amount(origin, entries)
    rules: list[Rule] = []
    names: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        name = entry.get("name", f"rule {number}")
        place = f"{origin}: [[rule]] {name!r}"
        _check_keys(place, entry)
        work = _work(place, name, entry, extractors, user)
        if work.rule in names:
            raise ConfigError(f"{origin}: two rules are named {name!r}; give each its own name")
        names.add(work.rule)
        conditions = read(place, entry, accounts)
        globs = tuple(segments_of(glob.encode("utf-8", "surrogateescape")) for glob in entry.get("directories", ()))
        rules.append(Rule(work, conditions, Reach(globs), match == "first" or entry.get("last", False)))
    return Rules(tuple(rules))


def _check_amount(origin: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse more rules of one user than can be asked about every file of that user's in no time."""
    if len(entries) > MOST_RULES:
        raise ConfigError(f"{origin}: more than {MOST_RULES} rules; ask the site for rules of its own")
    listed = sum(len(value) for entry in entries for value in entry.values() if isinstance(value, list))
    if listed > MOST_LISTED:
        raise ConfigError(f"{origin}: its lists have more than {MOST_LISTED} entries; make them shorter")
    for entry in entries:
        if len(str(entry.get("name", ""))) > MOST_NAME:
            raise ConfigError(f"{origin}: the name of a rule has more than {MOST_NAME} characters; make it shorter")


def _check_keys(place: str, entry: Mapping[str, Any]) -> None:
    for key, value in entry.items():
        if key in KEYS:
            continue
        if key not in _WORK_KEYS:
            raise ConfigError(f"{place}: unknown key {key}{nearest(key, (*_WORK_KEYS, *KEYS))}")
        kind = _WORK_KEYS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{place}: {key} must be {_KIND[kind]}, not {value!r}")


def _work(place: str, name: str, entry: Mapping[str, Any], extractors: Collection[str], user: str) -> Work:
    queue = entry.get("queue", DEFAULT_QUEUE)
    if _QUEUE.match(queue) is None:
        raise ConfigError(f"{place}: {queue!r} is no name for a queue; use letters, digits, dot, - and _")
    if user and queue not in (DEFAULT_QUEUE, user) and not queue.startswith(f"{user}-"):
        raise ConfigError(
            f"{place}: the queue of a user's rule is {DEFAULT_QUEUE}, {user} or {user}-..., not {queue!r}"
        )
    priority, most = entry.get("priority", 0), 0 if user else _MOST_PRIORITY
    if not -_MOST_PRIORITY <= priority <= most:
        raise ConfigError(f"{place}: priority must lie between {-_MOST_PRIORITY} and {most}")
    settle_ns = _seconds(place, entry, "settle_seconds", _DAY)
    return Work(
        extractor=_extractor(place, entry.get("extractor"), extractors, user),
        queue=queue,
        priority=priority,
        settle_ns=settle_ns,
        rule=f"{user}/{name}" if user else name,
        min_age_ns=_seconds(place, entry, "min_age_seconds", _YEAR) or 0,
        recall=entry.get("recall", False),
    )


def _extractor(place: str, name: str | None, extractors: Collection[str], user: str) -> str:
    usable = {each for each in extractors if "/" not in each or each.startswith(f"{user}/")}
    if not user:
        usable.add(STAT)
    if name is None:
        raise ConfigError(f"{place}: extractor is missing; installed are: {', '.join(sorted(usable))}")
    for each in (f"{user}/{name}", name):
        if each in usable:
            return each
    raise ConfigError(f"{place}: unknown extractor {name!r}{nearest(name, tuple(usable))}")


def _seconds(place: str, entry: Mapping[str, Any], key: str, most: int) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if not 0 <= value <= most:
        raise ConfigError(f"{place}: {key} must lie between 0 and {most} ({most // _DAY} days)")
    return int(value * SECOND_NS)
