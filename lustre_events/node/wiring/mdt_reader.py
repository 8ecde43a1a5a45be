"""The MDTs of this node, and the reader of each: its source, its changelog user, its stream."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lustre_events.changelog import users
from lustre_events.changelog.lctl import Lctl
from lustre_events.config.settings import Settings
from lustre_events.domain.namespace import mdt_number
from lustre_events.errors import ChangelogUserUnknown, ConfigError
from lustre_events.node.wiring.redis_clients import redis_url
from lustre_events.reader import Reader
from lustre_events.sources import lustre
from lustre_events.sources.directory import DirectorySource
from lustre_events.sources.interface import Source
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.safety import check_safe

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How long a reader waits for lctl; its lease is not renewed meanwhile."""

LOCAL_MDT = "local-MDT0000"
LOCAL_USER = "cl1"
"""What the `directory` source calls itself and its one changelog user, which nobody needs to register."""


def unwatched(_status: str) -> None:
    """Tell nobody how it goes."""


def mdts(settings: Settings) -> list[str]:
    """Return the MDTs to read on this node.

    Raises:
        ConfigError: there are none.
    """
    if settings.filesystem.source == "directory":
        return [LOCAL_MDT]
    found = discovered(settings)
    if not found:
        raise ConfigError(
            f"no changelog device ({settings.filesystem.devices}/changelog-*) on this node; mount the file system "
            "as a client here, or name the MDTs in [filesystem] mdts"
        )
    return found


def discovered(settings: Settings) -> list[str]:
    """Return the MDTs that the settings name, else those whose device is here; [] where there are none."""
    return list(settings.filesystem.mdts) or lustre.discover(Path(settings.filesystem.devices))


def source(settings: Settings, mdt: str) -> Source:
    """Return the source of one MDT's records.

    Raises:
        ConfigError: the directory to watch is not there.
    """
    filesystem = settings.filesystem
    if filesystem.source == "lustre":
        return lustre.LustreSource(mdt, filesystem.library, reopen_seconds=settings.reader.reopen_seconds)
    if not Path(filesystem.mount).is_dir():
        raise ConfigError(f"{filesystem.mount}: no such directory; name the one to watch in [filesystem] mount")
    return DirectorySource(filesystem.mount, mdt, state_dir=Path(filesystem.state) / "directory")


def reader(settings: Settings, mdt: str, beat: Callable[[str], None] = unwatched) -> Reader:
    """Return the reader of one MDT, connected; `beat` is called at each of its turns.

    Raises:
        LustreEventsError: Redis is away or not safe, or a setting is wrong.
    """
    mdt_number(mdt)  # refuses what is not an MDT's name, before anything is stored under it
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    check_safe(client)
    stream = RedisReaderStream(client, mdt)
    if settings.filesystem.source == "directory":
        local = replace(settings.reader, user=LOCAL_USER, users=())
        return Reader(source(settings, mdt), stream, local, beat=beat)
    own_user = changelog_user(settings, mdt)
    try:
        user = own_user.find()
    except ChangelogUserUnknown as exc:  # reading goes on without it, and it is looked for again and again
        log.warning("%s", exc, extra={"action": "clear", "mdt": mdt})
        user = users.written(settings.reader, mdt)
    return Reader(
        source(settings, mdt),
        stream,
        replace(settings.reader, user=user),
        beat=beat,
        own_user=own_user if user else None,
    )


def changelog_user(settings: Settings, mdt: str) -> users.OwnUser:
    """Return what looks for our changelog user on an MDT."""
    lctl = Lctl(settings.filesystem.lctl, LOOK_SECONDS)
    return users.OwnUser(
        settings.reader, mdt, mdts=discovered(settings), users=lctl.users, state=Path(settings.filesystem.state)
    )
