"""From settings to a `Site`: which adapters the console gets."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index.opening import open_searched
from lustre_events.index.search.search import Search
from lustre_events.inspect.status import Status
from lustre_events.jobs.queue_view import QueueView
from lustre_events.node import wiring
from lustre_events.web import pam
from lustre_events.web.app import Site
from lustre_events.web.charts import History
from lustre_events.web.login import SECRET_HEADER, Login, by_file
from lustre_events.web.pages.queues import viewed
from lustre_events.web.serving import UNIX
from lustre_events.web.store import Store

SEARCH_SECONDS = 60.0
"""How long a search may hold one of the console's threads."""


def _opened(settings: Settings, index_url: str) -> Search:
    own = settings.index
    standby = own.search_url if index_url == own.url else ""
    return open_searched(index_url, standby, own.search_lag_seconds, SEARCH_SECONDS)


def site(settings: Settings, index_url: str, status: Callable[[Settings, str], Status], listen: str) -> Site:
    """Return what the console shows, which listens at `listen`.

    Raises:
        ConfigError: the users or the secret cannot be read.
    """

    def ask(action: str, arguments: Mapping[str, Any], /) -> dict[str, Any]:
        return wiring.requests(settings).ask(action, arguments)

    def now() -> Status:
        return status(settings, index_url)

    def queues() -> QueueView:
        with wiring.redis_client(settings) as client:
            return viewed(client)

    return Site(
        settings.web,
        login(settings, listen),
        partial(_opened, settings, index_url),
        now,
        ask,
        History(now),
        _secret(settings.web.secret),
        queues,
        Store(Path(settings.web.store)),
        settings.filesystem.mount,
        past=Path(settings.history.folder) if settings.history.days else None,
    )


def login(settings: Settings, listen: str) -> Login:
    """Return the ways to log in that the section [web] sets.

    Raises:
        ConfigError: the users or a secret cannot be read, or a proxy could not be told from anybody else.
    """
    own = settings.web
    if own.login == "proxy":
        by_socket = listen.startswith(UNIX)
        if not by_socket and not own.proxy_secret:
            raise ConfigError(
                f'{listen}: with [web] login = "proxy" every user of that machine could log in as anybody; set '
                'listen = "unix:/run/lustre-events-web/console.sock", or proxy_secret to a file with a secret that '
                f"the proxy sends in the header {SECRET_HEADER}"
            )
        return Login(
            None, own.header, own.proxies, _secret(own.proxy_secret) if own.proxy_secret else b"", by_socket
        )
    if own.login == "pam":
        return Login(pam.by_socket(own.pam_socket) if own.pam_socket else pam.by_pam(own.pam_service))
    return Login(by_file(Path(own.users)))


def _secret(path: str) -> bytes:
    """Return the key of a file, or a new one."""
    if not path:
        return secrets.token_bytes(32)
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            found = file.read().strip()
    except OSError as exc:
        raise ConfigError(
            f"{path}: the key cannot be read ({exc.strerror}); make it with: head -c 32 /dev/urandom | base64"
        ) from exc
    if mode & stat.S_IRWXO:
        raise ConfigError(f"{path}: everybody could read the key and log in as anybody; run: chmod 640 {path}")
    if len(found) < 32:
        raise ConfigError(
            f"{path}: the key is shorter than 32 bytes; make it with: head -c 32 /dev/urandom | base64"
        )
    return found
