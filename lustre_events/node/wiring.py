"""From settings to running parts: which adapters each process gets. Nothing else knows how they fit together."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lustre_events.actions.courier import Courier
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.kinds import KINDS, OF_WORKERS
from lustre_events.actions.link import BothLinks, CourierLink, SealedLink, WorkersLink
from lustre_events.actions.seal import WORKER, make_key, read_seal
from lustre_events.catalog import manifest
from lustre_events.catalog.catalog import Catalog, Places, read_endpoints
from lustre_events.catalog.subscriptions import SubscriptionFolder, SubscriptionRequests
from lustre_events.changelog import users
from lustre_events.changelog.lctl import Lctl
from lustre_events.config.nearest import nearest
from lustre_events.config.places import worker_key
from lustre_events.config.settings import Settings
from lustre_events.dispatcher import Dispatcher
from lustre_events.dispatcher.run_settling import ReadIndex
from lustre_events.domain.namespace import mdt_number
from lustre_events.domain.rules import rules
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ChangelogUserUnknown, ConfigError
from lustre_events.history.joining import Joining
from lustre_events.history.keeper import GROUP, Keeper
from lustre_events.history.losses import LossBook
from lustre_events.history.segment_writer import SegmentWriter
from lustre_events.index import make_folder, open_writer
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import ACTIONS_QUEUE, BUILTIN_QUEUE
from lustre_events.jobs.queues import RqQueues
from lustre_events.node import pool_queues
from lustre_events.node.action_parts import ActionReader, EndpointFile, check_query
from lustre_events.node.pool_watch import PoolWatch
from lustre_events.node.redis_server import RedisServer
from lustre_events.node.supervisor import Child, Supervisor
from lustre_events.reader import Reader
from lustre_events.sources import lustre
from lustre_events.sources.directory import DirectorySource
from lustre_events.sources.interface import Source
from lustre_events.streams import keys
from lustre_events.streams.connection import Client
from lustre_events.streams.deliveries import CourierQueue, DeliveryQueue
from lustre_events.streams.dispatcher_lease import DispatcherLease
from lustre_events.streams.group_keeper import GroupKeeper
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.history_state import HistoryState
from lustre_events.streams.redis import (
    RedisReaderStream,
    RedisRecordStreams,
    RedisRequests,
    RedisResults,
    check_safe,
    connect,
)
from lustre_events.streams.subscription import Subscription

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "lustre_events")

LOOK_SECONDS = 5.0
"""How long a reader waits for lctl; its lease is not renewed meanwhile."""

HISTORY_CLAIM_SECONDS = 30.0
"""A writer of the history on another node that is silent for this long is taken for gone."""

LOCAL_MDT = "local-MDT0000"
LOCAL_USER = "cl1"
"""What the `directory` source calls itself and its one changelog user, which nobody needs to register."""


def _nothing() -> None:
    """Look after what others look after: a Redis of the site."""


def _unwatched(_status: str) -> None:
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


def reader(settings: Settings, mdt: str, beat: Callable[[str], None] = _unwatched) -> Reader:
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


def catalog(settings: Settings) -> Catalog:
    """Return what reads rules and extractors from where the settings say that they are."""
    own = settings.dispatcher
    return Catalog(
        Places(
            Path(own.rules) if own.rules else None,
            Path(own.user_rules) if own.user_rules else None,
            manifest.folders(settings.worker.extractors),
            Path(settings.worker.user_extractors) if settings.worker.user_extractors else None,
            Path(settings.actions.endpoints) if settings.actions.endpoints else None,
            {name: kind.read_with for name, kind in KINDS.items()},
            check_query,
            settings.filesystem.exclude,
            tuple(map(Path, settings.actions.folders)),
            subscriptions(settings),
            {name: kind.read_with for name, kind in OF_WORKERS.items()},
            Path(settings.actions.slurm_scripts) if settings.actions.slurm_scripts else None,
        )
    )


def has_actions_of_workers(settings: Settings) -> bool:
    """Whether file workers have actions to run here."""
    return bool(settings.actions.folders or settings.actions.slurm_scripts)


def subscriptions(settings: Settings) -> SubscriptionFolder:
    """Return where the dispatcher keeps what users have subscribed to."""
    own = settings.dispatcher.subscriptions
    return SubscriptionFolder(Path(own) if own else Path(settings.filesystem.state).absolute() / "subscriptions")


def load_rules(settings: Settings) -> rules.Rules:
    """Return the rules that the settings name; none where no file is named.

    Raises:
        ConfigError: the file cannot be read or a rule is wrong.
        ManifestError: an installed extractor is wrong.
    """
    return catalog(settings).load().rules


def dispatcher(settings: Settings, index_url: str, beat: Callable[[str], None] = _unwatched) -> Dispatcher:
    """Return the dispatcher, connected, with the index opened for writing; `beat` is called after each step.

    Raises:
        LustreEventsError: Redis or the index is away, or a setting is wrong.
    """
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    check_safe(client)
    installed = catalog(settings)
    found = installed.load()
    for problem in found.problems:
        log.error("%s", problem, extra={"action": "look"})
    queues = RqQueues(client, settings.worker.job_timeout_seconds)
    read = ActionReader(index_url)
    pooled = pool_queues.known(settings, client)
    pool_queues.announce(client, pooled)
    streams = RedisRecordStreams(client, settings.dispatcher.subscriber_max_lag)
    results = pool_queues.PooledResults(RedisResults(client), pooled)
    watch, groups = PoolWatch(pooled, results.refused, streams.publish), GroupKeeper(client)

    def tend() -> None:
        groups.tend()
        watch.tend()

    return Dispatcher(
        streams,
        results,
        open_writer(index_url),
        found.rules,
        pool_queues.PooledQueues(queues, pooled),
        [Identity(name, each.version, each.digest, each.limits.jobs) for name, each in found.extractors.items()],
        settings.dispatcher,
        mdts=[LOCAL_MDT] if settings.filesystem.source == "directory" else settings.filesystem.mdts,
        requests=RedisRequests(client),
        look=installed.look,
        tend=tend,
        beat=beat,
        link=_link(settings, client, queues),
        reading=ReadIndex(read.documents, read.matching),
        endpoints=found.endpoints,
        more=SubscriptionRequests(subscriptions(settings), installed.allowed).handlers(),
    )


def _link(settings: Settings, client: Client, queues: RqQueues) -> CourierLink:
    """Return how deliveries go out; to file workers, too, where there are actions for them. Raises ConfigError."""
    make_key(seal_path(settings))
    courier = SealedLink(DeliveryQueue(client), read_seal(seal_path(settings)))
    if not has_actions_of_workers(settings):
        return courier
    path = worker_key(settings)
    make_key(path)
    answers = DeliveryQueue(client, keys.RUN_ANSWERS)
    return BothLinks(courier, WorkersLink(queues, answers, read_seal(path, WORKER), time.time_ns))


def history_keeper(settings: Settings, beat: Callable[[str], None] = _unwatched) -> Keeper:
    """Return what writes the history, connected; `beat` is called at each of its turns.

    Raises:
        LustreEventsError: no history is wanted, another process writes it, or Redis is away or not safe.
    """
    own = settings.history
    if not own.days:
        raise ConfigError("[history] days is 0, so no history is kept; set how many days it is to reach back")
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    check_safe(client)
    try:
        writer = SegmentWriter(Path(own.folder), own.days, own.max_bytes)
        joining = Joining(Path(own.folder))
        groups = RedisGroups(client)
        if GROUP not in groups.names():
            joining.begin()
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{own.folder}: cannot be written ({exc}); see [history] folder") from exc
    groups.join(GROUP, from_start=True)
    subscription = Subscription(client, groups, GROUP, socket.gethostname(), HISTORY_CLAIM_SECONDS)
    book, state = LossBook(Path(own.folder)), HistoryState(client)
    return Keeper(subscription, writer, book, joining, service=state, beat=beat)


def seal_path(settings: Settings) -> Path:
    """Return where the key of deliveries is."""
    return Path(settings.actions.key) if settings.actions.key else _state(settings) / "actions.key"


def endpoints(settings: Settings) -> Mapping[str, Endpoint]:
    """Return the endpoints that the settings name. Raises ConfigError."""
    return read_endpoints(Path(settings.actions.endpoints) if settings.actions.endpoints else None)


def courier(settings: Settings, beat: Callable[[str], None] = _unwatched) -> Courier:
    """Return the courier, connected; `beat` is called about once a second.

    Raises:
        LustreEventsError: Redis is away, or a setting is wrong.
    """
    path = Path(settings.actions.endpoints) if settings.actions.endpoints else None
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    return Courier(CourierQueue(client), read_seal(seal_path(settings)), EndpointFile(path).look, SENDERS, beat)


def dispatcher_lease(settings: Settings) -> DispatcherLease:
    """Return the lease of the one dispatcher that is active. Raises ConfigError, StreamUnavailable."""
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    return DispatcherLease(client, settings.dispatcher.lease_seconds)


@contextlib.contextmanager
def node(settings: Settings, index_url: str, config_path: str | None) -> Iterator[Supervisor]:
    """Give a supervisor of all processes of this node, with a private Redis where the settings name none.

    Raises:
        LustreEventsError: what the children need is wrong or missing; better said once, here.
    """
    load_rules(settings)
    names = mdts(settings)
    users.check(settings.reader, names)
    make_folder(index_url)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(_state(settings)))
        url, revive = settings.redis.url, _nothing
        if not url:
            server = stack.enter_context(RedisServer(_state(settings) / "redis"))
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
        if settings.history.days:
            parts.append(Child("history", [*COMMAND, "history-keeper"], environment))
        if has_actions_of_workers(settings):
            make_key(worker_key(settings))
            parts.append(Child("worker actions", [*COMMAND, "worker", "--instance", ACTIONS_QUEUE], environment))
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


def requests(settings: Settings) -> RedisRequests:
    """Return what asks the dispatcher for something. Raises ConfigError, StreamUnavailable."""
    return RedisRequests(connect(redis_url(settings), settings.redis.timeout_seconds))


def redis_client(settings: Settings) -> Client:
    """Return a client of the Redis that is set, or of `run`'s own. Raises ConfigError, StreamUnavailable."""
    return connect(redis_url(settings), settings.redis.timeout_seconds)


def streams(settings: Settings) -> RedisRecordStreams:
    """Return the record streams, to look at them. Raises ConfigError, StreamUnavailable."""
    return RedisRecordStreams(connect(redis_url(settings), settings.redis.timeout_seconds))


def known_mdts(found: RedisRecordStreams, names: Sequence[str]) -> Sequence[str]:
    """Return names of MDTs, checked. Raises ConfigError: one has no stream."""
    known = found.mdts()
    for name in names:
        if name not in known:
            raise ConfigError(f"{name}: no stream of that name in Redis{nearest(name, tuple(known) or ('none',))}")
    return names


def groups(settings: Settings) -> RedisGroups:
    """Return the subscriber groups. Raises ConfigError, StreamUnavailable."""
    return RedisGroups(connect(redis_url(settings), settings.redis.timeout_seconds))


def redis_url(settings: Settings) -> str:
    """Return where Redis is: as set, else the private one of `run` on this node.

    Raises:
        ConfigError: neither is there.
    """
    if settings.redis.url:
        return settings.redis.url
    socket = Path(settings.filesystem.state).absolute() / "redis" / "redis.sock"
    try:
        there = socket.exists()
    except PermissionError as exc:
        raise ConfigError(
            "this account has no login for Redis ([redis] url is empty, and the private one here is closed to it); "
            "ask the administrators of this file system"
        ) from exc
    if not there:
        raise ConfigError(
            "[redis] url is empty and no private Redis runs here; "
            "set it, or start everything with: lustre-events run"
        )
    return f"unix://{socket}"


def _state(settings: Settings) -> Path:
    path = Path(settings.filesystem.state).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"{path}: cannot be made ({os.strerror(exc.errno or 0)}); correct [filesystem] state"
        ) from exc
    return path
