"""What one process of the service consists of: dispatcher, indexer, courier or keeper of the history."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

from lustre_events.actions.courier import Courier
from lustre_events.actions.delivery_links import BothLinks, CourierLink, SealedLink, WorkersLink
from lustre_events.actions.endpoints import SENDERS
from lustre_events.actions.seal import WORKER, make_key, read_seal
from lustre_events.catalog.subscriptions import SubscriptionRequests
from lustre_events.config.places import state_folder, worker_key
from lustre_events.config.settings import Settings
from lustre_events.dispatcher import Dispatcher
from lustre_events.dispatcher.indexer import Indexer
from lustre_events.dispatcher.run_settling import ReadIndex
from lustre_events.errors import ConfigError
from lustre_events.history.joining import Joining
from lustre_events.history.keeper import GROUP, Keeper
from lustre_events.history.losses import LossBook
from lustre_events.history.segment_writer import SegmentWriter
from lustre_events.index import open_writer
from lustre_events.index.interface import Identity
from lustre_events.index.opening import check_indexers, open_document_writer
from lustre_events.jobs.queues import RqQueues
from lustre_events.node import pool_queues
from lustre_events.node.action_parts import ActionReader, EndpointFile
from lustre_events.node.pool_watch import PoolWatch
from lustre_events.node.wiring.catalogs import catalog, queues_of_actions, subscriptions
from lustre_events.node.wiring.mdt_reader import LOCAL_MDT, unwatched
from lustre_events.node.wiring.redis_clients import redis_url
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.deliveries import CourierQueue, DeliveryQueue
from lustre_events.streams.dispatcher_lease import DispatcherLease
from lustre_events.streams.documents import RedisDocuments, RedisPortions, UnwantedDocuments
from lustre_events.streams.group_keeper import GroupKeeper
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.history_state import HistoryState
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.requests import RedisRequests
from lustre_events.streams.results import RedisResults
from lustre_events.streams.safety import check_safe
from lustre_events.streams.subscription import Subscription

log = logging.getLogger(__name__)

HISTORY_CLAIM_SECONDS = 30.0
"""A writer of the history on another node that is silent for this long is taken for gone."""


def dispatcher(settings: Settings, index_url: str, beat: Callable[[str], None] = unwatched) -> Dispatcher:
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
    if settings.index.indexers:
        check_indexers(index_url)
    documents = RedisDocuments if settings.index.indexers else UnwantedDocuments
    backlog = documents(client, [name for name, pool in pooled.items() if not pool.own])
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
        backlog=backlog,
    )


def indexer(settings: Settings, index_url: str, instance: str, beat: Callable[[str], None] = unwatched) -> Indexer:
    """Return an indexer, connected; `instance` tells those of one node apart, `beat` is called at each turn.

    Raises:
        LustreEventsError: Redis or the index is away, or a setting is wrong.
    """
    check_indexers(index_url)
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    name = f"{socket.gethostname()}.{instance}"
    return Indexer(RedisPortions(client, name), open_document_writer(index_url), beat)


def _link(settings: Settings, client: Client, queues: RqQueues) -> CourierLink:
    """Return how deliveries go out; to file workers, too, where there are actions for them. Raises ConfigError."""
    make_key(seal_path(settings))
    courier = SealedLink(DeliveryQueue(client), read_seal(seal_path(settings)))
    if not queues_of_actions(settings):
        return courier
    path = worker_key(settings)
    make_key(path)
    answers = DeliveryQueue(client, keys.RUN_ANSWERS)
    return BothLinks(courier, WorkersLink(queues, answers, read_seal(path, WORKER), time.time_ns))


def dispatcher_lease(settings: Settings) -> DispatcherLease:
    """Return the lease of the one dispatcher that is active. Raises ConfigError, StreamUnavailable."""
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    return DispatcherLease(client, settings.dispatcher.lease_seconds)


def courier(settings: Settings, beat: Callable[[str], None] = unwatched) -> Courier:
    """Return the courier, connected; `beat` is called about once a second.

    Raises:
        LustreEventsError: Redis is away, or a setting is wrong.
    """
    path = Path(settings.actions.endpoints) if settings.actions.endpoints else None
    client = connect(redis_url(settings), settings.redis.timeout_seconds)
    return Courier(CourierQueue(client), read_seal(seal_path(settings)), EndpointFile(path).look, SENDERS, beat)


def history_keeper(settings: Settings, beat: Callable[[str], None] = unwatched) -> Keeper:
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
    return Path(settings.actions.key) if settings.actions.key else state_folder(settings) / "actions.key"
