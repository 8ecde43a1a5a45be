"""Options and arguments that many commands share."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from lustre_events.changelog.fid import FID
from lustre_events.config import places
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index.mount import Mount
from lustre_events.index.opening import open_search, open_searched, open_server
from lustre_events.index.remote import credentials
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.search.asking import Asking
from lustre_events.index.search.hits import printable
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer

F = TypeVar("F", bound=Callable[..., Any])


def with_settings(command: F) -> F:
    """Give a command `--config FILE` and pass it the loaded settings as `settings`."""

    def load(ctx: click.Context, _option: click.Parameter, path: str | None) -> Settings:
        ctx.obj["config_path"] = path  # for children that load the same file
        return places.settings(Path(path) if path else None)

    return click.option(
        "--config",
        "settings",
        envvar="LUSTRE_EVENTS_CONFIG",
        metavar="FILE",
        callback=load,
        help="Settings (TOML). Default: your own, else /etc/lustre-events/lustre-events.toml.",
    )(command)


def with_index(command: F) -> F:
    """Give a command `--index URL`, which wins over the settings."""
    return click.option(
        "--index",
        "index_url",
        metavar="URL",
        help="The index: sqlite:///PATH or postgresql://... Default: [index] url of the settings.",
    )(command)


def index_of(settings: Settings, url: str | None) -> str:
    """Return the URL that the command line gave, else the one of the settings."""
    return url or settings.index.url


def searched(settings: Settings, url: str | None) -> Search:
    """Open what searches ask: the index that the command line gave, else that of the settings, or its standby."""
    own = settings.index
    return open_search(url) if url else open_searched(own.url, own.search_url, own.search_lag_seconds)


@dataclass(frozen=True, slots=True)
class SearchSource:
    """What a command asks: an index, or a server; and how paths are typed and printed here."""

    settings: Settings
    index_url: str | None = None
    server: str | None = None

    def opened(self) -> Asking:
        """Open it; close what comes, or use it in a `with`.

        `--index` wins, then `--server`, then `[client] server`, then `[index] search_url`, then `url`.
        """
        asked = self.server or ("" if self.index_url else self.settings.client.server)
        if not asked:
            return searched(self.settings, self.index_url)
        own = self.settings.client
        return open_server(asked, credentials.token(own.token_file), ca=own.ca, seconds=own.timeout_seconds)

    def mount(self, index: Asking) -> Mount:
        """Return where the file system is mounted: as the settings say, or the server."""
        return Mount.at(index.mount if isinstance(index, RemoteSearch) else self.settings.filesystem.mount)

    def typed(self, index: Asking, path: bytes) -> bytes:
        """Return a path that was typed here as the index has it."""
        return self.mount(index).inside(path, here())


def here() -> bytes:
    """Return the current directory; empty where there is none any more."""
    try:
        return os.fsencode(Path.cwd())
    except OSError:
        return b""


def server_option(command: F) -> F:
    """Give a command `--server URL`."""
    return click.option(
        "--server",
        metavar="URL",
        help="Ask this server, https://HOST, with your token. Default: [client] server.",
    )(command)


def with_search(command: F) -> F:
    """Give a command `--config`, `--index URL` and `--server URL`, and pass it what it asks as `source`."""

    @functools.wraps(command)  # with the options that it has already
    def made(*args: Any, settings: Settings, index_url: str | None, server: str | None, **fields: Any) -> Any:
        if index_url and server:
            raise ConfigError("--index and --server name two places to ask; give one of them")
        return command(*args, source=SearchSource(settings, index_url, server), **fields)

    return with_settings(with_index(server_option(made)))  # type: ignore[return-value]


def _viewer(_ctx: click.Context, _option: click.Parameter, name: str | None) -> Viewer | None:
    """Return who is to see: others only for root, who could read everything anyway."""
    if name is None:
        return None
    viewer = Viewer.of_user(name)
    if os.geteuid() not in {0, viewer.uid}:
        raise ConfigError("only root may search as another user; leave --as out, or name yourself")
    return viewer


def with_viewer(command: F) -> F:
    """Give a command `--as USER`."""
    return click.option(
        "--as",
        "viewer",
        metavar="USER",
        callback=_viewer,
        help="Only what this user could list and read in the file system itself.",
    )(command)


def resolve(search: Asking, target: bytes, viewer: Viewer | None, mount: Mount) -> FID:
    """Return the object that a FID or a path names, as typed here. Raises ConfigError: the index knows none."""
    if target.lstrip(b"[").startswith(b"0"):
        with contextlib.suppress(ConfigError, UnicodeDecodeError):
            return FID.parse(target.decode("ascii"))
    path = mount.inside(target, here())
    fid = search.fid_of_path(path, visible_to=viewer)
    if fid is None:
        raise ConfigError(f"{printable(mount.whole(path))}: no such path in the index")
    return fid
