"""What is installed and what the rules say, as files say it now: read, and looked at again for changes.

A change of a rules file, of a user's rules or of an extractor's folder counts from the next look on. What is wrong
then is a sentence, and what was right before goes on: a broken rules file keeps the old rules, a broken extractor
the old one, and a user's broken file harms nobody else.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lustre_events import manifest
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.manifest import Manifest
from lustre_events.program import read_file
from lustre_events.rule_file import parse
from lustre_events.rules import Rule, Rules

MOST_RULE_BYTES = 1 << 20
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


@dataclass(frozen=True, slots=True)
class Found:
    """Rules and extractors (by identity) that fit together, and a sentence for each thing that is wrong."""

    rules: Rules = field(default_factory=Rules)
    extractors: Mapping[str, Manifest] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


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
        site = _site_rules(self._places.rules, extractors)
        users, wrong = _users_rules(self._places.user_rules, extractors)
        self._stamp = stamp
        self.found = Found(Rules(site.rules, users), extractors, (*problems, *wrong))
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
            kept = f"{exc}; until that is mended, rules and extractors stay as they were"
            self.found = Found(before.rules, before.extractors, (kept,))
            return self.found

    def _extractors(self) -> tuple[dict[str, Manifest], list[str]]:
        found, folder = manifest.load_all(self._places.extractors), self._places.user_extractors
        own, problems = manifest.load_users(folder) if folder is not None and folder.is_dir() else ({}, [])
        return {**found, **own}, problems


def _site_rules(path: Path | None, extractors: Collection[str]) -> Rules:
    if path is None:
        return Rules()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: the rules cannot be read ({exc}); mend [dispatcher] rules") from exc
    return parse(text, str(path), extractors)


def _users_rules(folder: Path | None, extractors: Collection[str]) -> tuple[dict[int, tuple[Rule, ...]], list[str]]:
    """Return users' rules by uid, and a sentence for each file that does not count."""
    found: dict[int, tuple[Rule, ...]] = {}
    wrong: list[str] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder is not None else ():
        try:
            uid, rules = user_rules(path, extractors)
        except LustreEventsError as exc:
            wrong.append(str(exc))
        else:
            found[uid] = rules.rules
    return found, wrong


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
        raise ConfigError(f"{path}: {user} is no user here; name the file after its user, or remove it") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be looked at ({exc.strerror}); it does not count") from exc
    if owner not in {uid, 0}:
        raise ConfigError(f"{path}: owned by neither {user} nor root, so it does not count; chown {user} {path}")
    if mode & 0o022:
        raise ConfigError(f"{path}: others may write to it, so it does not count; chmod go-w {path}")
    text = read_file(path, owner, MOST_RULE_BYTES)[0]
    try:
        return uid, parse(text.decode(), str(path), extractors, user=user)
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not a TOML file: {exc}") from exc


def _stamps(places: Places) -> Iterator[tuple[str, int, int, int]]:
    if places.rules is not None:
        yield from _stamp(places.rules)
    if places.user_rules is not None:
        for path in sorted(places.user_rules.glob(f"*{SUFFIX}")):
            yield from _stamp(path)
    for folder, depth in [*((each, "*") for each in places.extractors), (places.user_extractors, "*/*")]:
        for path in sorted(folder.glob(f"{depth}/{manifest.FILE_NAME}")) if folder is not None else ():
            for top, folders, names in os.walk(path.parent):
                folders[:] = sorted(set(folders) - {"samples", "__pycache__"})
                for name in sorted(names):
                    yield from _stamp(Path(top, name))


def _stamp(path: Path) -> Iterator[tuple[str, int, int, int]]:
    try:
        facts = path.stat()
    except OSError:
        return
    yield str(path), facts.st_ino, facts.st_mtime_ns, facts.st_size
