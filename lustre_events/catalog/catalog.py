"""What is installed and what the rules say, as files say it now: read, and looked at again for changes.

A change of a rules file, of a user's rules or of an extractor's folder counts from the next look on. What is wrong
then is a sentence, and what was right before goes on: a broken rules file keeps the old rules, a broken extractor
the old one, and a user's broken file harms nobody else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from lustre_events.catalog import action_folders, manifest, own_extractors
from lustre_events.catalog.looks import Looks, Unanswered
from lustre_events.catalog.manifest import Manifest
from lustre_events.catalog.own_extractors import Own
from lustre_events.catalog.program_files import Room, walk
from lustre_events.catalog.subscriptions import Allowed, SubscriptionFolder, stamped, users_subscriptions
from lustre_events.catalog.user_rules import RuleText, UsersRules, groups_of, rule_files, user_rules
from lustre_events.config.nearest import nearest
from lustre_events.config.toml_text import read_toml, sentence
from lustre_events.domain.rules import batch_scripts, containers, transfers
from lustre_events.domain.rules import endpoints as endpoint_file
from lustre_events.domain.rules.action_file import ActionNames, CheckQuery, ReadWith
from lustre_events.domain.rules.action_rules import ActionRule, ActionRules
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.grants import Grant, allowance_of, grants_of
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import ConfigError, LustreEventsError

MOST_PROBLEMS = 200

Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, inode, mtime in ns and size of every file that matters."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything lies. `rules` and `user_rules` None: there are none."""

    rules: Path | None
    user_rules: Path | None
    extractors: tuple[Path, ...]
    user_extractors: Path | None
    endpoints: Path | None = None
    kinds: Mapping[str, ReadWith] = field(default_factory=dict)
    """The kinds of actions, each with what reads its `with`."""
    check_query: CheckQuery = bool
    exclude: tuple[str, ...] = ()
    """Globs of paths that no rule reaches."""
    actions: tuple[Path, ...] = ()
    """Folders with actions that run in a container."""
    subscriptions: SubscriptionFolder | None = None
    of_workers: Mapping[str, ReadWith] = field(default_factory=dict)
    """Kinds of actions that file workers do without a folder, each with what reads its `with`."""
    scripts: Path | None = None
    """The folder of job scripts; None: there is none."""
    transfers: bool = False
    """Whether file workers copy files to endpoints of that kind; else these count as not there."""
    user_actions: Path | None = None
    """The folder with a folder per user, which holds that user's own actions; None: there is none."""

    @property
    def has_containers(self) -> bool:
        """Whether actions run in containers here."""
        return bool(self.actions) or self.user_actions is not None


@dataclass(frozen=True, slots=True)
class Found:
    """Rules and extractors (by identity) that fit together, and a sentence for each thing that is wrong."""

    rules: Rules = field(default_factory=Rules)
    extractors: Mapping[str, Manifest] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


class Catalog:
    """Reads the places, and tells when something there has changed."""

    def __init__(self, places: Places, looks: Looks | None = None) -> None:
        self._places = places
        self._stamp: Stamp = ()
        self._looks = looks or Looks()
        self._texts: Mapping[Path, RuleText] = {}
        self._own: dict[Path, Mapping[Path, Own]] = {}
        self.found = Found()

    def load(self) -> Found:
        """Return what there is.

        Raises:
            ConfigError, ManifestError: what belongs to the site is wrong. What belongs to users is a problem.
        """
        self._looks.begin()
        return self._loaded(tuple(_stamps(self._places, self._looks)))

    def _loaded(self, stamp: Stamp) -> Found:
        self._looks.begin()
        extractors, problems = self._extractors()
        known, grants, wrong = self._action_names()
        site = _site_rules(self._places.rules, extractors, known)
        users = UsersRules(
            self._places.user_rules, extractors, known, grants, looks=self._looks, before=self._texts
        )
        self._texts = users.texts
        own = users.actions | self._subscriptions(known, grants, users)
        self._stamp = () if self._looks.left_some else stamp
        actions = ActionRules(site.actions.rules, own, frozenset(users.paused))
        exclude = (*self._places.exclude, *([containers.STAGING_GLOB] if self._places.has_containers else []))
        rules = Rules(site.rules, users.rules, actions).leaving_out(exclude)
        self.found = Found(rules, extractors, _told([*problems, *wrong, *users.problems]), known.endpoints)
        return self.found

    def _subscriptions(
        self, known: ActionNames, grants: Sequence[Grant], users: UsersRules
    ) -> dict[int, tuple[ActionRule, ...]]:
        folder = self._places.subscriptions
        if folder is None:
            return {}
        found, problems = users_subscriptions(folder, _allowed(known, grants), users.actions)
        users.problems += problems
        return found

    def allowed(self) -> Allowed:
        """Return what users' rules may name now, and what each is granted. Raises ConfigError."""
        self._looks.begin()
        known, grants, _ = self._action_names()
        return _allowed(known, grants)

    def user_file(self, path: Path) -> Rules:
        """Return the rules of one user's file, wherever it is. Raises as `user_rules`."""
        self._looks.begin()
        known, grants, _ = self._action_names()
        return user_rules(path, self.extractors(), known, grants)[1]

    def _action_names(self) -> tuple[ActionNames, Sequence[Grant], list[str]]:
        """Return what rules of actions may name, what is granted, and what is wrong with users' own actions."""
        endpoints, grants = read_endpoints_and_grants(self._places.endpoints)
        installed = action_folders.load_all(self._places.actions)
        scripts = batch_scripts.endpoints(self._places.scripts)
        _check_granted(grants, installed, scripts, self._places)
        own, wrong = self._of_users(self._places.user_actions, actions=True)
        installed |= {name: action_folders.own(each) for name, each in own.items()}
        endpoints |= {each.name: each for each in map(_file_workers, installed.values())}
        endpoints = _of_rules(endpoints, transfers_on=self._places.transfers)
        endpoints |= scripts
        folders = {name: each.read_with for name, each in installed.items()}
        names = ActionNames(
            self._places.kinds, endpoints, self._places.check_query, None, folders, self._places.of_workers,
            tuple(str(each.absolute()) for each in self._places.extractors),
        )  # fmt: skip
        return names, grants, wrong

    def extractors(self) -> dict[str, Manifest]:
        """Return the extractors by identity. Raises ManifestError: one of the site's is wrong."""
        self._looks.begin()
        return self._extractors()[0]

    def look(self) -> Found | None:
        """Return what there is if a file has changed since the last look; else None.

        Where the site's own files are wrong now it is what there was before, with the sentence as a problem.
        """
        self._looks.begin()
        stamp = tuple(_stamps(self._places, self._looks))
        if stamp == self._stamp:
            return None
        before = self.found
        try:
            return self._loaded(stamp)
        except LustreEventsError as exc:
            self._stamp = stamp
            kept = f"{sentence(exc)}; until that is corrected, rules and extractors stay as they were"
            self.found = Found(before.rules, before.extractors, (kept,), before.endpoints)
            return self.found

    def _extractors(self) -> tuple[dict[str, Manifest], list[str]]:
        found = manifest.load_all(self._places.extractors)
        own, problems = self._of_users(self._places.user_extractors)
        return {**found, **own}, problems

    def _of_users(self, folder: Path | None, *, actions: bool = False) -> Own:
        if folder is None:
            return {}, []
        before = self._own.get(folder)
        found, wrong = own_extractors.load_users(folder, actions=actions, looks=self._looks, before=before)
        self._own[folder] = found
        return own_extractors.together(found, wrong)


def _file_workers(action: action_folders.ContainerAction) -> Endpoint:
    """Return the endpoint that stands for what runs an action."""
    # The dispatcher hands out twice as much as is done at once, so that the next run is there when one is done.
    at_once = max(1, action_folders.at_once(action.manifest) // 2)
    return containers.endpoint(action.manifest.identity, action_folders.seconds_of(action.manifest), at_once)


def _check_granted(
    grants: Sequence[Grant], installed: Collection[str], scripts: Collection[str], places: Places
) -> None:
    for name in {name for grant in grants for name in grant.actions} - {*installed}:
        raise ConfigError(
            f"{places.endpoints}: a grant has the action {name!r}, which does not exist{nearest(name, installed)};"
            " name one of [actions] folders"
        )
    there = [batch_scripts.script_of(each) for each in scripts]
    for name in {name for grant in grants for name in grant.slurm.scripts} - {*there}:
        raise ConfigError(
            f"{places.endpoints}: a grant has the job script {name!r}, which does not exist{nearest(name, there)};"
            " name one of [actions] slurm_scripts"
        )


def _of_rules(endpoints: Mapping[str, Endpoint], *, transfers_on: bool) -> dict[str, Endpoint]:
    """Return endpoints of a file as rules find them: what file workers copy to has a name of its own."""
    named = {
        transfers.endpoint_name(name) if each.kind == transfers.KIND else name: each
        for name, each in endpoints.items()
        if transfers_on or each.kind != transfers.KIND
    }
    return {name: replace(each, name=name) for name, each in named.items()}


def _allowed(known: ActionNames, grants: Sequence[Grant]) -> Allowed:
    return Allowed(known, lambda user: allowance_of(grants, user, groups_of(user) if grants else ()))


def _told(problems: Sequence[str]) -> tuple[str, ...]:
    more = len(problems) - MOST_PROBLEMS
    return (*problems[:MOST_PROBLEMS], *([f"{more} more things are wrong with users' files"] if more > 0 else []))


def _site_rules(path: Path | None, extractors: Collection[str], known: ActionNames) -> Rules:
    if path is None:
        return Rules()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        path = path.absolute()
        raise ConfigError(f"{path}: the rules cannot be read ({why}); correct [dispatcher] rules") from exc
    return parse(text, str(path), extractors, HERE, "", known)


def read_endpoints(path: Path | None) -> dict[str, Endpoint]:
    """Return the endpoints of a file; none where there is no file. Raises ConfigError."""
    return read_endpoints_and_grants(path)[0]


def read_endpoints_and_grants(path: Path | None) -> tuple[dict[str, Endpoint], Sequence[Grant]]:
    """Return what a file of endpoints has. Raises ConfigError."""
    if path is None:
        return {}, ()
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"{path}: the endpoints cannot be read ({exc.strerror}); repair [actions] endpoints"
        ) from exc
    endpoints = endpoint_file.parse(text, str(path))
    return endpoints, grants_of(read_toml(text, str(path)), str(path), endpoints)


def _stamps(places: Places, looks: Looks) -> Iterator[tuple[str, int, int, int]]:
    for single in (
        places.rules,
        places.endpoints,
        places.scripts,
    ):  # of scripts names alone count: the folder's time
        if single is not None:
            yield from _stamp(single)
    with contextlib.suppress(OSError):
        files = rule_files(places.user_rules)[0]
        yield from _stamps_of(looks, {path: partial(_listed, _stamp(path, follow=False)) for path in files})
    if places.subscriptions is not None:
        for path in stamped(places.subscriptions):
            yield from _stamp(path, follow=False)
    for folder in (*places.extractors, *places.actions):
        for path in sorted(folder.glob(f"*/{manifest.FILE_NAME}")):
            yield from _folder_stamps(path.parent, Room(), follow=True)
    for kind in (places.user_extractors, places.user_actions):
        users = own_extractors.users_of(kind) if kind is not None else []
        yield from _stamps_of(looks, {user: partial(_listed, _stamps_of_user(user)) for user in users})


def _stamps_of(looks: Looks, asked: Mapping[Path, Callable[[], Stamp]]) -> Iterator[tuple[str, int, int, int]]:
    """Yield the stamps of users' files and folders, in their order, and one for each that does not answer."""
    found: dict[Path, Stamp] = {}
    for place, look in looks.each(asked):
        try:
            found[place] = look()
        except Unanswered:
            found[place] = ((str(place), -1, 0, 0),)
    for place in asked:
        yield from found[place]


def _listed(stamps: Iterator[tuple[str, int, int, int]]) -> Stamp:
    return tuple(stamps)


def _stamps_of_user(user: Path) -> Iterator[tuple[str, int, int, int]]:
    room = Room()
    for path in own_extractors.programs_of(user, []):
        yield from _folder_stamps(path, room, follow=False)


def _folder_stamps(folder: Path, room: Room, *, follow: bool) -> Iterator[tuple[str, int, int, int]]:
    """Yield the stamps of an extractor's files as far as they can be walked: to read them says what is wrong."""
    with contextlib.suppress(LustreEventsError):
        for _, entry in sorted(walk(folder, room), key=lambda each: each[0]):
            yield from _stamp(Path(entry.path), follow=follow)


def _stamp(path: Path, *, follow: bool = True) -> Iterator[tuple[str, int, int, int]]:
    try:
        facts = path.stat(follow_symlinks=follow)
    except OSError:
        return
    yield str(path), facts.st_ino, facts.st_mtime_ns, facts.st_size
