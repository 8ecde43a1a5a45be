"""From settings to running parts: which adapters each process gets. Nothing else knows how they fit together."""

from __future__ import annotations

from lustre_events.node.wiring.catalogs import catalog, endpoints, has_actions_of_workers, load_rules, subscriptions
from lustre_events.node.wiring.mdt_reader import changelog_user, discovered, mdts, reader, source
from lustre_events.node.wiring.redis_clients import groups, known_mdts, redis_client, redis_url, requests, streams
from lustre_events.node.wiring.service_parts import courier, dispatcher, dispatcher_lease, history_keeper, seal_path
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
    "has_actions_of_workers",
    "history_keeper",
    "known_mdts",
    "load_rules",
    "mdts",
    "node",
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
