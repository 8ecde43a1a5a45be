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
    not = { globs = ["*.tmp"], directories = ["/scratch/**"] }   # what is left out: extensions, globs,
                                      # directories, owners, groups, mimes
    extractor = "tabular"
    last = false                      # true: if this rule holds, later rules are not asked
    queue = "default"
    priority = 0                      # higher ones go first
    settle_seconds = 2.0              # default: [dispatcher] settle_seconds
    min_age_seconds = 0               # wait until the content's last change is this long ago
    recall = false                    # true: read also what HSM has released, which recalls it from tape

A [[rule]] that says `action` instead of `extractor` is one of action_file.py.

A rule holds if all of its conditions are met; a list is met if one of its entries is. Names are bytes. The rule
does not hold for a file that meets one condition of `not`, nor while this is not known, e.g. because the path of
the directory is not complete.

A user's own file is written in the same way. Its rules apply to that user's files only, whatever they say. The
names of these rules, and of the user's own extractors, get `USER/` in front. They may use the queue `default`,
queues that are named after the user (`alice`, `alice-gpu`) and the pool of that name (`pool-alice`), and no
priority above 0. A file may have at most 100 rules, with 500 entries in their lists. Rules of actions may name
endpoints that the site grants.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lustre_events.config.tables import Location, key, values
from lustre_events.config.toml_text import read_toml
from lustre_events.domain.rules import chains
from lustre_events.domain.rules.action_file import ActionNames, action_rule, is_action
from lustre_events.domain.rules.action_rules import ActionRule, ActionRules
from lustre_events.domain.rules.conditions import KEYS, NOT, Accounts, conditions_of
from lustre_events.domain.rules.containers import check_loops
from lustre_events.domain.rules.directories import Reach, segments_of
from lustre_events.domain.rules.rules import DEFAULT_QUEUE, Rule, Rules, Work
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.jobs import pools
from lustre_events.jobs.messages import ACTIONS_QUEUE, BUILT_IN, BUILTIN_QUEUE, STAT, TRANSFERS_QUEUE

MOST_RULES = 100
"""In one user's file; `MOST_LISTED`: globs, extensions and other entries of lists, all together."""
MOST_LISTED = 500
MOST_NAME = 100
_QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_MOST_PRIORITY = 1_000_000
_DAY = 86_400
NOTHING = ActionNames()
HERE = Accounts()
"""Users and groups as this node knows them."""
_YEAR = 366 * _DAY


@dataclass(frozen=True, slots=True)
class _File:
    """What stands in a file beside its rules."""

    match: str = key("all", choices=("all", "first"))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a [[rule]] says beside its conditions."""

    name: str = ""
    extractor: str | None = None
    last: bool = False
    queue: str = key(DEFAULT_QUEUE, fits=_QUEUE.match,
                     expected="a queue's name has letters, digits, dot, - and _, at most 64")  # fmt: skip
    priority: int = 0
    settle_seconds: float | None = key(None, least=0, most=_DAY)
    min_age_seconds: float = key(0.0, least=0, most=_YEAR)
    recall: bool = False


def parse(  # noqa: PLR0917 - what a file may name
    text: str | bytes,
    origin: str,
    extractors: Collection[str],
    accounts: Accounts = HERE,
    user: str = "",
    known: ActionNames = NOTHING,
) -> Rules:
    """Return the rules of a TOML text. `extractors` are the installed ones; `user`: whose file it is, if one's.

    The built-in `stat` is always installed; `known` are kinds of actions and endpoints.

    Raises:
        ConfigError: not TOML, or a key or value is wrong; the message names the rule, the key and the
            nearest valid one.
    """
    table = read_toml(text, origin)
    file = _File(**values(_File, table, Location(origin), others=("rule",)))
    entries = table.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{origin}: rules are written as [[rule]], with double brackets")
    if user:
        _check_amount(origin, entries)
    rules: list[Rule] = []
    actions: list[ActionRule] = []
    names: set[str] = set()
    for number, table in enumerate(entries, start=1):
        name = table.get("name", f"rule {number}")
        location = Location(origin, f"[[rule]] {name!r}")
        if is_action(table):
            if user and known.author is None:
                raise location.at("action").refusal("is not granted to any user here; ask the site for a grant")
            actions.append(action_rule(location, name, table, accounts, known))
        else:
            first = file.match == "first"
            rules.append(
                _rule(location, name, table, accounts, extractors, user, first=first, folders=known.extractors_in)
            )
        if name in names:
            raise ConfigError(f"{origin}: two rules are named {name!r}; give each its own name")
        names.add(name)
    _check_granted(origin, known, len(actions))
    linked = chains.linked(origin, actions)
    check_loops(origin, linked)
    if known.author is None:
        return Rules(tuple(rules), actions=ActionRules(linked))
    return Rules(tuple(rules), actions=ActionRules((), {known.author.uid: linked} if linked else {}))


def _rule(  # noqa: PLR0917 - what a file may name
    location: Location,
    name: str,
    table: Mapping[str, Any],
    accounts: Accounts,
    extractors: Collection[str],
    user: str,
    *,
    first: bool,
    folders: Sequence[str],
) -> Rule:
    entry = _Entry(**values(_Entry, table, location, others=(*KEYS, NOT)))
    conditions = conditions_of(location, table, accounts)
    work = _work(location, name, entry, extractors, user, folders)
    return Rule(work, conditions, _reach(table), first or entry.last, _reach(table.get(NOT, {})))


def _reach(table: Mapping[str, Any]) -> Reach:
    globs = (segments_of(glob.encode("utf-8", "surrogateescape")) for glob in table.get("directories", ()))
    return Reach(tuple(globs))


def _check_granted(origin: str, known: ActionNames, count: int) -> None:
    if known.author is not None and count > known.author.allowance.rules:
        raise ConfigError(
            f"{origin}: {count} rules of actions, and the site grants {known.author.allowance.rules} to"
            f" {known.author.name}; remove some"
        )


def _check_amount(origin: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse more rules of one user than can be asked about every file of that user's in no time."""
    if len(entries) > MOST_RULES:
        raise ConfigError(f"{origin}: more than {MOST_RULES} rules; ask the site for rules of its own")
    tables = [*entries, *(entry[NOT] for entry in entries if isinstance(entry.get(NOT), dict))]
    listed = sum(len(value) for table in tables for value in table.values() if isinstance(value, list))
    if listed > MOST_LISTED:
        raise ConfigError(f"{origin}: its lists have more than {MOST_LISTED} entries; make them shorter")
    for entry in entries:
        if len(str(entry.get("name", ""))) > MOST_NAME:
            raise ConfigError(f"{origin}: the name of a rule has more than {MOST_NAME} characters; make it shorter")


def _is_of(user: str, queue: str) -> bool:
    """Whether a user's rules may name a queue: the one for all, that user's own, and that user's pool."""
    pool = pools.pool_of(queue)
    if pool:
        return pool == user
    return queue in {DEFAULT_QUEUE, user} or queue.startswith(f"{user}-")


def _work(  # noqa: PLR0917 - what a file may name
    location: Location,
    name: str,
    entry: _Entry,
    extractors: Collection[str],
    user: str,
    folders: Sequence[str],
) -> Work:
    if user and not _is_of(user, entry.queue):
        raise location.at("queue").refusal(
            f"is {entry.queue!r}; that of a user's rule is {DEFAULT_QUEUE}, {user}, {user}-... or "
            f"{pools.queue_of(user)}"
        )
    extractor = _extractor(location.at("extractor"), entry.extractor, extractors, user, folders)
    if entry.queue == BUILTIN_QUEUE and extractor not in BUILT_IN:
        raise location.at("queue").refusal(f"is {BUILTIN_QUEUE!r}, which is for `stat`, `heal` and `scan` only")
    if entry.queue in {ACTIONS_QUEUE, TRANSFERS_QUEUE}:
        raise location.at("queue").refusal(f"is {entry.queue!r}, which is for actions only; leave `queue` out")
    if pools.pool_of(entry.queue) and extractor in BUILT_IN:
        raise location.at("queue").refusal(
            f"is {entry.queue!r}: a pool's workers are not trusted with the facts of files; leave `queue` out"
        )
    most = 0 if user else _MOST_PRIORITY
    if not -_MOST_PRIORITY <= entry.priority <= most:
        raise location.at("priority").refusal(
            f"must lie between {-_MOST_PRIORITY} and {most}, not {entry.priority}"
        )
    return Work(
        extractor=extractor,
        queue=entry.queue,
        priority=entry.priority,
        settle_ns=None if entry.settle_seconds is None else int(entry.settle_seconds * SECOND_NS),
        rule=f"{user}/{name}" if user else name,
        min_age_ns=int(entry.min_age_seconds * SECOND_NS),
        recall=entry.recall,
    )


def _extractor(
    location: Location, name: str | None, extractors: Collection[str], user: str, folders: Sequence[str]
) -> str:
    usable = {each for each in extractors if "/" not in each or each.startswith(f"{user}/")}
    if not user:
        usable.add(STAT)
    if name is None:
        raise location.refusal(f"is missing; installed are: {', '.join(sorted(usable))}")
    for each in (f"{user}/{name}", name):
        if each in usable:
            return each
    unknown = str(location.unknown(f"extractor {name!r}", name, usable))
    install = f"put the extractor's folder into {' or '.join(folders)}" if folders else ""
    if user:
        install = "install it as your own with: lustre-events extractor add FOLDER --own"
    joined = f"{unknown} If not," if unknown.endswith("?") else f"{unknown};"
    raise ConfigError(f"{joined} {install}" if install else unknown)
