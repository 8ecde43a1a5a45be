"""Users' own extractors and actions: `<user>/<name>/` in a folder of each kind, found and read within bounds.

Extractors lie in `[worker] user_extractors`, actions in `[actions] user_actions`. Everything there is written by
somebody else. It costs that user's programs at most, and a sentence says why.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from lustre_events.catalog.looks import Looks, Unanswered
from lustre_events.catalog.manifest import ACTION, FILE_NAME, NAME, Manifest, load
from lustre_events.catalog.program_files import Room, listed
from lustre_events.config.toml_text import sentence
from lustre_events.errors import LustreEventsError, ManifestError

USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\Z", re.IGNORECASE)
MOST_OWN = 20
"""Programs of one kind of one user. All of them together have the room of one (program_files.Room)."""
MOST_NAMES = 1_000
"""Entries of a user's folder of which each may be an extractor."""
MOST_USERS = 10_000
JOB_SECONDS = 30.0
"""How long a job may wait for the folder of its user's extractor."""
MOST_SENTENCES = 5
"""About one user's extractors."""

Own = tuple[dict[str, Manifest], list[str]]
"""Extractors or actions by identity, and sentences about those that do not count."""


def load_user(folder: Path, identity: str, *, actions: bool = False, looks: Looks | None = None) -> Manifest:
    """Return a user's own extractor; `folder` has a folder per user, named after them, with their extractors.

    `actions`: it holds actions. `looks`: how long it may take.

    Raises:
        ManifestError: there is no such user or extractor, it is not that user's, is wrong, or does not answer.
    """
    return (looks or Looks(JOB_SECONDS)).at(folder / identity, partial(_load, folder, identity, actions=actions))


def _load(folder: Path, identity: str, room: Room | None = None, *, actions: bool) -> Manifest:
    user, _, name = identity.partition("/")
    if not USER.match(user) or not NAME.match(name):
        raise ManifestError(f"{identity!r}: no user's extractor has such a name; write it as user/name")
    place = folder / user / name
    try:
        uid, facts = pwd.getpwnam(user).pw_uid, os.lstat(place)
    except KeyError as exc:
        raise ManifestError(f"{place}: {user} is not a user on this node; name the folder after its user") from exc
    except OSError as exc:
        raise ManifestError(f"{place}: cannot be examined ({exc.strerror}); make the extractor there") from exc
    if facts.st_uid != uid or not stat.S_ISDIR(facts.st_mode):
        raise ManifestError(f"{place}: not owned by {user}, so it is ignored; run: chown -R {user} {place}")
    try:
        return _of_kind(load(place, user, uid, room), actions=actions)
    except LustreEventsError:
        raise
    except Exception as exc:  # a stranger wrote it: whatever it does to this program is about this folder only
        raise ManifestError(f"{place}: cannot be read ({type(exc).__name__}: {exc}); look at its manifest") from exc


def _of_kind(found: Manifest, *, actions: bool) -> Manifest:
    if actions == (found.contract == ACTION):
        return found
    right = f'that of an action is "{ACTION}"' if actions else "that of an extractor is batch or single"
    raise ManifestError(
        f"{found.folder / FILE_NAME}: contract is {found.contract!r}; {right}; put it where it belongs"
    )


def load_users(
    folder: Path, *, actions: bool = False, looks: Looks | None = None, before: Mapping[Path, Own] | None = None
) -> tuple[dict[Path, Own], list[str]]:
    """Return what users have by their folders, and sentences about folders.

    One that is wrong is left out, for it must not harm anybody else's. `before` is what they had: that stays where
    a folder does not answer.
    """
    found: dict[Path, Own] = {}
    wrong: list[str] = []
    users = _entries(folder, MOST_USERS, wrong)
    asked = {user: partial(_load_own, folder, user, actions=actions) for user in users}
    for user, look in (looks or Looks()).each(asked):
        try:
            found[user] = look()
        except Unanswered as exc:
            kept, _ = (before or {}).get(user, ({}, []))
            found[user] = kept, [f"{exc}; until then its programs stay as they were"]
    return found, [sentence(each) for each in wrong]


def together(found: Mapping[Path, Own], wrong: Sequence[str]) -> Own:
    """Return what all users have, and all sentences."""
    programs = {name: each for own, _ in found.values() for name, each in own.items()}
    return programs, [*wrong, *(each for _, sentences in found.values() for each in sentences)]


def users_of(folder: Path) -> list[Path]:
    """Return the folders of users."""
    return _entries(folder, MOST_USERS, [])


def programs_of(user: Path, wrong: list[str]) -> list[Path]:
    """Return the folders with a manifest of one user; what is wrong is put into `wrong`."""
    places = [place for place in _entries(user, MOST_NAMES, wrong) if os.path.lexists(place / FILE_NAME)]
    if len(places) > MOST_OWN:
        wrong.append(f"{user}: more than {MOST_OWN} of them, so only the first ones count; remove some")
    return places[:MOST_OWN]


def _entries(folder: Path, most: int, wrong: list[str]) -> list[Path]:
    """Return the first entries of a folder; what is no folder has none. What cannot be read is put into `wrong`."""
    try:
        names = [entry.name for entry in listed(folder, most)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        wrong.append(f"{folder}: cannot be read ({exc.strerror}), so nothing in it counts; let it be read")
        return []
    if len(names) > most:
        wrong.append(f"{folder}: more than {most} entries, so not all of them count; remove some")
    return [folder / name for name in names[:most]]


def _load_own(folder: Path, user: Path, *, actions: bool) -> Own:
    room = Room()
    found: dict[str, Manifest] = {}
    about: list[str] = []
    wrong: list[str] = []
    for place in programs_of(user, about):
        identity = f"{user.name}/{place.name}"
        try:
            found[identity] = _load(folder, identity, room, actions=actions)
        except LustreEventsError as exc:
            wrong.append(sentence(exc))
    more = len(wrong) - MOST_SENTENCES
    said = [*map(sentence, about), *wrong[:MOST_SENTENCES]]
    return found, [*said, *([f"{user.name} has {more} more that do not count"] if more > 0 else [])]
