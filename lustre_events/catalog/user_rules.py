"""Users' own files of rules: whose each is, what it may do, and a sentence for each that does not count.

A file counts if its owner is the user that it is named after, or root, and nobody else may write to it. What is
wrong in it is about that user only.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lustre_events.catalog.looks import Look, Looks, Unanswered
from lustre_events.catalog.program_files import listed, read_file
from lustre_events.config.toml_text import sentence
from lustre_events.domain.rules.action_file import ActionNames
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.grants import EVERYBODY, Author, Grant, allowance_of
from lustre_events.domain.rules.rule_file import NOTHING, parse
from lustre_events.domain.rules.rules import Rule, Rules
from lustre_events.errors import ConfigError, LustreEventsError

MOST_RULE_BYTES = 64 << 10
MOST_RULE_FILES = 10_000
SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class RuleText:
    """What stands in a user's file of rules."""

    user: str
    uid: int
    text: bytes


class UsersRules:
    """Rules of extractors and of actions by uid, and a sentence for each file that does not count."""

    def __init__(
        self,
        folder: Path | None,
        extractors: Collection[str],
        known: ActionNames,
        grants: Sequence[Grant],
        *,
        looks: Looks,
        before: Mapping[Path, RuleText],
    ) -> None:
        """Read a folder of files USER.toml. `before` is what stood in them: it stays where one does not answer."""
        self.texts: dict[Path, RuleText] = {}
        self._before = before
        self.rules: dict[int, tuple[Rule, ...]] = {}
        self.actions: dict[int, tuple[ActionRule, ...]] = {}
        self.problems: list[str] = []
        self.paused: set[str] = set()
        try:
            paths, is_whole = rule_files(folder)
        except OSError as exc:
            self.problems.append(f"{folder}: cannot be read ({exc.strerror}); repair [dispatcher] user_rules")
            self.paused.add(EVERYBODY)
            return
        if not is_whole:  # whose files are left out nobody knows: so nobody's runs end for it
            self.problems.append(
                f"{folder}: more than {MOST_RULE_FILES} entries of any kind, so not all rules count; remove some"
            )
            self.paused.add(EVERYBODY)
        for path, read in looks.each({path: partial(read_rules, path) for path in paths}):
            try:
                self._take(*_parsed(path, self._text(path, read), extractors, known, grants))
            except LustreEventsError as exc:
                self._refuse(path, str(exc))
            except Exception as exc:  # noqa: BLE001 - a stranger wrote it: whatever it does is about that user only
                self._refuse(path, f"{path}: cannot be read ({type(exc).__name__}: {exc}), so it does not count")

    def _text(self, path: Path, read: Look[RuleText]) -> RuleText:
        try:
            self.texts[path] = read()
        except Unanswered as exc:
            if path not in self._before:
                raise
            self.texts[path] = self._before[path]
            self.problems.append(f"{exc}; until then its rules stay as they were")
        return self.texts[path]

    def _take(self, uid: int, found: Rules) -> None:
        if found.rules:
            self.rules[uid] = found.rules
        self.actions |= found.actions.users

    def _refuse(self, path: Path, why: str) -> None:
        self.problems.append(sentence(why))
        self.paused.add(path.name.removesuffix(SUFFIX))


def rule_files(folder: Path | None) -> tuple[list[Path], bool]:
    """Return the files of rules in the users' folder, and whether these are all: it has not too many entries.

    There are none where the folder is not there. Raises OSError.
    """
    try:
        entries = listed(folder, MOST_RULE_FILES) if folder is not None else []
    except FileNotFoundError:
        return [], True
    first = entries[:MOST_RULE_FILES]
    return [Path(entry.path) for entry in first if entry.name.endswith(SUFFIX)], len(entries) <= MOST_RULE_FILES


def user_rules(
    path: Path, extractors: Collection[str], known: ActionNames = NOTHING, grants: Sequence[Grant] = ()
) -> tuple[int, Rules]:
    """Return the uid of the user whose file of rules `path` is (it is named USER.toml), and the rules.

    Raises:
        ConfigError: as `read_rules`, or a rule is wrong.
        ManifestError: the file cannot be read, or does not answer.
    """
    return _parsed(path, Looks().at(path, partial(read_rules, path)), extractors, known, grants)


def read_rules(path: Path) -> RuleText:
    """Return what stands in a user's file of rules.

    Raises:
        ConfigError: there is no such user; the file is not that user's or root's, or others may write to it.
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
        raise ConfigError(f"{path}: cannot be examined ({exc.strerror}); it does not count") from exc
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path}: a link, a folder or another thing that is no file; put the file itself there")
    if owner not in {uid, 0}:
        raise ConfigError(f"{path}: owned by neither {user} nor root, so it is ignored; run: chown {user} {path}")
    if mode & 0o022:
        raise ConfigError(f"{path}: others may write to it, so it does not count; chmod go-w {path}")
    return RuleText(user, uid, read_file(path, owner, MOST_RULE_BYTES)[0])


def _parsed(
    path: Path, of: RuleText, extractors: Collection[str], known: ActionNames, grants: Sequence[Grant]
) -> tuple[int, Rules]:
    author = Author(of.user, of.uid, allowance_of(grants, of.user, groups_of(of.user) if grants else ()))
    return of.uid, parse(of.text, str(path), extractors, user=of.user, known=replace(known, author=author))


def groups_of(user: str) -> set[str]:
    """Return the names of a user's groups on this node."""
    found = set()
    for gid in os.getgrouplist(user, pwd.getpwnam(user).pw_gid):
        with contextlib.suppress(KeyError):
            found.add(grp.getgrgid(gid).gr_name)
    return found
