"""The processes that one command starts and keeps alive: all of a node, or its readers."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lustre_events.actions.seal import make_key
from lustre_events.changelog import users
from lustre_events.config.places import state_folder, worker_key
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.index import make_folder
from lustre_events.index.opening import check_indexers
from lustre_events.jobs.messages import BUILTIN_QUEUE
from lustre_events.node.redis_server import RedisServer
from lustre_events.node.supervisor import Child, Supervisor
from lustre_events.node.wiring.catalogs import load_rules, queues_of_actions
from lustre_events.node.wiring.mdt_reader import discovered, mdts
from lustre_events.node.wiring.redis_clients import redis_url
from lustre_events.node.wiring.service_parts import seal_path
from lustre_events.streams.connection import connect
from lustre_events.streams.safety import check_safe

COMMAND = (sys.executable, "-P", "-m", "lustre_events")


@contextlib.contextmanager
def node(settings: Settings, index_url: str, config_path: str | None) -> Iterator[Supervisor]:
    """Give a supervisor of all processes of this node, with a private Redis where the settings name none.

    Raises:
        LustreEventsError: what the children need is wrong or missing; better said once, here.
    """
    load_rules(settings)
    names = mdts(settings)
    users.check(settings.reader, names)
    if settings.index.indexers:
        check_indexers(index_url)
    make_folder(index_url)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(state_folder(settings)))
        url, revive = settings.redis.url, _nothing
        if not url:
            server = stack.enter_context(RedisServer(state_folder(settings) / "redis"))
            url, revive = server.url, server.revive
        check_safe(connect(url, settings.redis.timeout_seconds))
        environment = {
            "LUSTRE_EVENTS_REDIS_URL": url,
            "LUSTRE_EVENTS_INDEX_URL": index_url,
            **_config_environment(config_path),
        }
        parts = [
            Child("dispatcher", [*COMMAND, "dispatcher"], environment),
            Child("worker builtin", [*COMMAND, "worker", "--instance", BUILTIN_QUEUE], environment),
            Child("worker", [*COMMAND, "worker"], environment),
        ]
        for number in range(1, settings.index.indexers + 1):
            own = [*COMMAND, "indexer", "--instance", str(number)]
            parts.append(Child(f"indexer {number}", own, environment))
        if settings.history.days:
            parts.append(Child("history", [*COMMAND, "history-keeper"], environment))
        for queue in queues_of_actions(settings):
            make_key(worker_key(settings))
            parts.append(Child(f"worker {queue}", [*COMMAND, "worker", "--instance", queue], environment))
        if settings.actions.endpoints:
            make_key(seal_path(settings))
            parts.append(Child("courier", [*COMMAND, "courier"], environment))
        yield Supervisor(
            [*parts, *_readers(names, environment)], also=revive, discover=_later_readers(settings, environment)
        )


def readers(settings: Settings, config_path: str | None) -> Supervisor:
    """Return a supervisor of one reader per MDT of this node, also of those whose device appears later.

    Raises:
        ConfigError: there is no MDT yet, or no Redis is named.
        LustreEventsError: Redis is away or not safe; better said once, here.
    """
    names = mdts(settings)
    users.check(settings.reader, names)
    with connect(redis_url(settings), settings.redis.timeout_seconds) as client:
        check_safe(client)
    environment = _config_environment(config_path)
    return Supervisor(_readers(names, environment), discover=_later_readers(settings, environment))


def _config_environment(config_path: str | None) -> dict[str, str]:
    return {"LUSTRE_EVENTS_CONFIG": str(Path(config_path).absolute())} if config_path else {}


def _readers(names: Sequence[str], environment: Mapping[str, str]) -> list[Child]:
    return [Child(f"reader {mdt}", [*COMMAND, "reader", "--mdt", mdt], environment) for mdt in names]


def _later_readers(settings: Settings, environment: Mapping[str, str]) -> Callable[[], list[Child]]:
    if settings.filesystem.source == "directory":
        return list
    return lambda: _readers(discovered(settings), environment)


def _nothing() -> None:
    """Look after what others look after: a Redis of the site."""


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the state folder: two `run` on it would take the index from each other for ever. Raises ConfigError."""
    with (state / "run.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ConfigError(
                f"another lustre-events run is at work on {state}; stop that one, or name another folder in "
                "[filesystem] state"
            ) from exc
        yield
