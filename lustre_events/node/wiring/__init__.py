"""From settings to running parts: which adapters each process gets. Nothing else knows how they fit together."""

from __future__ import annotations

from lustre_events.node.wiring.catalogs import catalog, endpoints, load_rules, queues_of_actions, subscriptions
from lustre_events.node.wiring.mdt_reader import changelog_user, discovered, mdts, reader, source
from lustre_events.node.wiring.redis_clients import groups, known_mdts, redis_client, redis_url, requests, streams
from lustre_events.node.wiring.service_parts import (
    courier,
    dispatcher,
    dispatcher_lease,
    history_keeper,
    indexer,
    seal_path,
)
from lustre_events.node.wiring.supervised import node, readers

__all__ = [
    "catalog",
    "changelog_user",
    "courier",
    "discovered",
    "dispatcher",
    "dispatcher_lease",
    "endpoints",
    "groups",
    "history_keeper",
    "indexer",
    "known_mdts",
    "load_rules",
    "mdts",
    "node",
    "queues_of_actions",
    "reader",
    "readers",
    "redis_client",
    "redis_url",
    "requests",
    "seal_path",
    "source",
    "streams",
    "subscriptions",
]
