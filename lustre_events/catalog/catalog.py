"""What is installed and what the rules say, as files say it now: read, and looked at again for changes.

A change of a rules file, of a user's rules or of an extractor's folder counts from the next look on. What is wrong
then is a sentence, and what was right before goes on: a broken rules file keeps the old rules, a broken extractor
the old one, and a user's broken file harms nobody else.
"""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lustre_events.catalog import manifest, own_extractors
from lustre_events.catalog.manifest import Manifest
from lustre_events.catalog.program_files import Room, listed, read_file, walk
from lustre_events.config.toml_text import sentence
from lustre_events.domain.rules import endpoints as endpoint_file
from lustre_events.domain.rules.action_file import ActionNames, CheckQuery, ReadWith
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.domain.rules.rules import Rule, Rules
from lustre_events.errors import ConfigError, LustreEventsError

MOST_RULE_BYTES = 64 << 10
MOST_RULE_FILES = 10_000
MOST_PROBLEMS = 200
SUFFIX = ".toml"

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


@dataclass(frozen=True, slots=True)
class Found:
    """Rules and extractors (by identity) that fit together, and a sentence for each thing that is wrong."""

    rules: Rules = field(default_factory=Rules)
    extractors: Mapping[str, Manifest] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


class Catalog:
    """Reads the places, and tells when something there has changed."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._stamp: Stamp = ()
        self.found = Found()

    def load(self) -> Found:
        """Return what there is.

        Raises:
            ConfigError, ManifestError: what belongs to the site is wrong. What belongs to users is a problem.
        """
        stamp = tuple(_stamps(self._places))
        extractors, problems = self._extractors()
        endpoints = read_endpoints(self._places.endpoints)
        site = _site_rules(
            self._places.rules, extractors, ActionNames(self._places.kinds, endpoints, self._places.check_query)
        )
        users, wrong = _users_rules(self._places.user_rules, extractors)
        self._stamp = stamp
        self.found = Found(
            Rules(site.rules, users, site.actions), extractors, _told([*problems, *wrong]), endpoints
        )
        return self.found

    def extractors(self) -> dict[str, Manifest]:
        """Return the extractors by identity. Raises ManifestError: one of the site's is wrong."""
        return self._extractors()[0]

    def look(self) -> Found | None:
        """Return what there is if a file has changed since the last look; else None.

        Where the site's own files are wrong now it is what there was before, with the sentence as a problem.
        """
        stamp = tuple(_stamps(self._places))
        if stamp == self._stamp:
            return None
        before = self.found
        try:
            return self.load()
        except LustreEventsError as exc:
            self._stamp = stamp
            kept = f"{sentence(exc)}; until that is corrected, rules and extractors stay as they were"
            self.found = Found(before.rules, before.extractors, (kept,), before.endpoints)
            return self.found

    def _extractors(self) -> tuple[dict[str, Manifest], list[str]]:
        found, folder = manifest.load_all(self._places.extractors), self._places.user_extractors
        own, problems = own_extractors.load_users(folder) if folder is not None else ({}, [])
        return {**found, **own}, problems


def _told(problems: Sequence[str]) -> tuple[str, ...]:
    more = len(problems) - MOST_PROBLEMS
    return (*problems[:MOST_PROBLEMS], *([f"{more} more things are wrong with users' files"] if more > 0 else []))


def _site_rules(path: Path | None, extractors: Collection[str], known: ActionNames) -> Rules:
    if path is None:
        return Rules()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: the rules cannot be read ({exc}); correct [dispatcher] rules") from exc
    return parse(text, str(path), extractors, HERE, "", known)


def read_endpoints(path: Path | None) -> dict[str, Endpoint]:
    """Return the endpoints of a file; none where there is no file. Raises ConfigError."""
    if path is None:
        return {}
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"{path}: the endpoints cannot be read ({exc.strerror}); repair [actions] endpoints"
        ) from exc
    return endpoint_file.parse(text, str(path))


def _users_rules(folder: Path | None, extractors: Collection[str]) -> tuple[dict[int, tuple[Rule, ...]], list[str]]:
    """Return users' rules by uid, and a sentence for each file that does not count."""
    found: dict[int, tuple[Rule, ...]] = {}
    wrong: list[str] = []
    try:
        paths = _rule_files(folder)
    except OSError as exc:
        return {}, [f"{folder}: cannot be read ({exc.strerror}); repair [dispatcher] user_rules"]
    for path in paths:
        try:
            uid, rules = user_rules(path, extractors)
        except LustreEventsError as exc:
            wrong.append(sentence(exc))
        except Exception as exc:  # noqa: BLE001 - a stranger wrote it: whatever it does is about that user only
            wrong.append(sentence(f"{path}: cannot be read ({type(exc).__name__}: {exc}), so it does not count"))
        else:
            found[uid] = rules.rules
    return found, wrong


def _rule_files(folder: Path | None) -> list[Path]:
    """Return the files of rules in the users' folder; there are none where it is not there. Raises OSError."""
    try:
        entries = listed(folder, MOST_RULE_FILES) if folder is not None else []
    except FileNotFoundError:
        return []
    return [Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX)]


def user_rules(path: Path, extractors: Collection[str]) -> tuple[int, Rules]:
    """Return the uid of the user whose file of rules `path` is (it is named USER.toml), and the rules.

    Raises:
        ConfigError: there is no such user; the file is not that user's or root's, or others may write to it; or a
            rule is wrong.
        ManifestError: the file cannot be read.
    """
    user = path.name.removesuffix(SUFFIX)
    try:
        uid = pwd.getpwnam(user).pw_uid
        owner, mode = (facts := path.lstat()).st_uid, facts.st_mode
    except KeyError as exc:
        raise ConfigError(
            f"{path}: {user} is not a user on this node; name the file after its user, or remove it"
        ) from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be looked at ({exc.strerror}); it does not count") from exc
    if owner not in {uid, 0}:
        raise ConfigError(f"{path}: owned by neither {user} nor root, so it does not count; chown {user} {path}")
    if mode & 0o022:
        raise ConfigError(f"{path}: others may write to it, so it does not count; chmod go-w {path}")
    return uid, parse(read_file(path, owner, MOST_RULE_BYTES)[0], str(path), extractors, user=user)


def _stamps(places: Places) -> Iterator[tuple[str, int, int, int]]:
    if places.rules is not None:
        yield from _stamp(places.rules)
    if places.endpoints is not None:
        yield from _stamp(places.endpoints)
    with contextlib.suppress(OSError):
        for path in _rule_files(places.user_rules):
            yield from _stamp(path, follow=False)
    for folder in places.extractors:
        for path in sorted(folder.glob(f"*/{manifest.FILE_NAME}")):
            yield from _folder_stamps(path.parent, Room(), follow=True)
    own = own_extractors.own_folders(places.user_extractors)[0] if places.user_extractors is not None else {}
    for folders in own.values():
        room = Room()
        for path in folders:
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
