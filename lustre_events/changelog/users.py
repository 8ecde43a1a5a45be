"""Which changelog user is ours on each MDT.

Each MDT counts its users for itself: `cl2` is ours on one and another consumer's on the next. A clear goes by that
number alone (the MDT does not look at the name behind it), so a wrong one takes another consumer's records away.
`[reader] user` therefore is a name, which is the same everywhere, and the id is looked up on each MDT; or an id,
where one MDT is read; `[reader] users` has ids per MDT. What an MDT lists (lctl) decides. Where lctl does not reach
it, what `changelog register` kept in this node's state folder does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from lustre_events.changelog.lctl import USER_NAME, Users
from lustre_events.config.settings import ReaderSettings
from lustre_events.errors import ChangelogError, ChangelogUserUnknown, ConfigError

DEFAULT_NAME = "lustre-events"
_ID = re.compile(r"cl(\d+)(?:-(.+))?\Z")
_FOLDER = "changelog-users"


def number(user: str) -> int:
    """Return the number of an id such as `cl3` or `cl3-lustre-events`; 0 for what is none."""
    match = _ID.match(user)
    return int(match[1]) if match else 0


def short(user: str) -> str:
    """Return an id without its name, as every library and kernel takes it; anything else as it is."""
    return f"cl{number(user)}" if number(user) else user


def name_of(user: str) -> str:
    """Return the name in an id; "" where there is none."""
    match = _ID.match(user)
    return (match[2] or "") if match else ""


def named(users: Users, name: str) -> list[str]:
    """Return the ids of the users of that name on one MDT."""
    return [each.id for each in users.users if name_of(each.id) == name]


def example(mdt: str, user: str = f"clN-{DEFAULT_NAME}") -> str:
    """Return how an id is written for one MDT."""
    return f'[reader] users = ["{mdt}:{user}"]'


def written(settings: ReaderSettings, mdt: str) -> str:
    """Return what the settings say for one MDT: an id, a name to look for, or "" (never clear).

    Raises:
        ConfigError: they say nothing sensible for it.
    """
    own: dict[str, str] = {}
    for entry in settings.users:
        where, _, user = entry.rpartition(":")
        if not where or not number(user):
            raise ConfigError(
                f'[reader] users has "{entry}"; write each entry as {example("lustre-MDT0000", "cl1")}'
            )
        if own.setdefault(where, user) != user:
            raise ConfigError(
                f"[reader] users names {own[where]} and {user} for {where}; leave the one that is ours"
            )
    if mdt in own:
        return own[mdt]
    if settings.user and not number(settings.user) and not USER_NAME.match(settings.user):
        raise ConfigError(
            f"[reader] user is {settings.user!r}, which is neither an id like cl1 nor a name of up to 15 letters, "
            f"digits, _ . and -; write the name that was registered, e.g. {DEFAULT_NAME}"
        )
    if own and not settings.user:
        raise ConfigError(
            f"{mdt}: [reader] users has no entry for it; run: lustre-events changelog register --mdt {mdt}, and "
            "add the entry that it prints"
        )
    return settings.user


def check(settings: ReaderSettings, mdts: Collection[str]) -> None:
    """See that what is written can be right on all of these MDTs. Raises ConfigError."""
    for mdt in mdts:
        user = written(settings, mdt)
        if number(user) and not name_of(user):
            _refuse_shared(settings, mdt, mdts)


def own_id(settings: ReaderSettings, listed: Users, mdts: Collection[str], kept: str = "") -> str:
    """Return the id of our user on an MDT that lists its users; "" where the settings say none.

    `mdts` are all that are read with these settings, `kept` is what `changelog register` kept for this one.

    Raises:
        ChangelogUserUnknown: no user of the name in the settings is registered.
        ConfigError: what is written is another consumer's, or can be.
    """
    mdt, user = listed.mdt, written(settings, listed.mdt)
    if not user:
        return ""
    if not number(user):
        return _by_name(user, listed, kept)
    found = next((each.id for each in listed.users if number(each.id) == number(user)), "")
    ours = named(listed, name_of(user) or DEFAULT_NAME)
    if _is_anothers(user, found, ours):
        raise ConfigError(
            f"{mdt}: {user} is another consumer's changelog user there ({found}), whose records would be cleared; "
            + (f"write {example(mdt, ours[0])}" if ours else _register(mdt, name_of(user) or DEFAULT_NAME))
        )
    if not (found and name_of(user)):
        _refuse_shared(settings, mdt, mdts)
    return found or user


def _is_anothers(user: str, found: str, ours: Collection[str]) -> bool:
    """Whether the registered user of a number that the settings name is another consumer's."""
    if name_of(user):
        return bool(found) and name_of(found) != name_of(user)
    return bool(name_of(found) and ours) and found not in ours


class OwnUser:
    """Our changelog user on one MDT, looked up as often as somebody asks.

    Args:
        settings: the reader's.
        mdt: the MDT.
        mdts: all MDTs that are read with these settings.
        users: returns what an MDT lists (Lctl.users).
        state: the node's state folder.
    """

    def __init__(
        self,
        settings: ReaderSettings,
        mdt: str,
        *,
        mdts: Collection[str],
        users: Callable[[str], Users],
        state: Path,
    ) -> None:
        self._settings = settings
        self._mdt = mdt
        self._mdts = {*mdts, mdt}
        self._users = users
        self._state = state

    def find(self) -> str:
        """Return the id; "" where nothing is to be cleared.

        Raises:
            ChangelogUserUnknown: the MDT lists no user of our name.
            ConfigError: the id cannot be ours, or nothing tells which one is; the sentence says what to write.
        """
        user = written(self._settings, self._mdt)
        if not user:
            return ""
        kept = recall(self._state, self._mdt)
        try:
            listed = self._users(self._mdt)
        except ChangelogError as exc:
            if number(user):
                _refuse_shared(self._settings, self._mdt, self._mdts)
                return user
            if kept and name_of(kept) in {"", user}:
                return kept
            raise ConfigError(
                f"{self._mdt}: the id of the changelog user {user} is not known on this node; write it as "
                f"{example(self._mdt, f'clN-{user}')}, or let [filesystem] lctl reach the MDS ({exc})"
            ) from exc
        return own_id(self._settings, listed, self._mdts, kept)

    def registered(self, user: str) -> bool | None:
        """Return whether the MDT lists that id; None: it cannot be asked."""
        try:
            return any(number(each.id) == number(user) for each in self._users(self._mdt).users)
        except ChangelogError:
            return None


def keep(state: Path, mdt: str, user: str) -> None:
    """Keep the id that was registered on an MDT for this node's readers; "": none is any more. Raises OSError."""
    path = state / _FOLDER / mdt
    if not user:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{mdt}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(f"{user}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def recall(state: Path, mdt: str) -> str:
    """Return the id that was kept for an MDT; "" where there is none."""
    with suppress(OSError, UnicodeDecodeError):
        user = (state / _FOLDER / mdt).read_text(encoding="utf-8").strip()
        return user if number(user) else ""
    return ""


def _by_name(name: str, listed: Users, kept: str) -> str:
    ours = named(listed, name)
    if len(ours) > 1:
        raise ConfigError(
            f"{listed.mdt}: {' and '.join(ours)} are both named {name}; deregister the one that is not used, or "
            f"write {example(listed.mdt, ours[0])}"
        )
    if not ours and kept in {each.id for each in listed.users} and not name_of(kept):
        return kept  # of a server that knows no names
    if not ours:
        known = ", ".join(each.id for each in listed.users) or "none"
        raise ChangelogUserUnknown(
            f"{listed.mdt}: no changelog user named {name} is registered (registered: {known}); "
            f"{_register(listed.mdt, name)}"
        )
    return ours[0]


def _register(mdt: str, name: str) -> str:
    other = "" if name == DEFAULT_NAME else f" --name {name}"
    return f"run: lustre-events changelog register --mdt {mdt}{other}"


def _refuse_shared(settings: ReaderSettings, mdt: str, mdts: Collection[str]) -> None:
    """Refuse one id for several MDTs: on all but one of them it can be another consumer's. Raises ConfigError."""
    per_mdt = {entry.rpartition(":")[0] for entry in settings.users}
    if len({*mdts, mdt}) > 1 and mdt not in per_mdt:
        raise ConfigError(
            f"{mdt}: [reader] user = {settings.user!r} is one id for {len({*mdts, mdt})} MDTs, and ids differ from "
            f'MDT to MDT; write [reader] user = "{DEFAULT_NAME}", the name that was registered, or each id as '
            f"{example(mdt)}"
        )
