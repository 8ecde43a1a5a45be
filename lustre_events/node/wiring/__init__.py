"""From settings to running parts: which adapters each process gets. Nothing else knows how they fit together.

A process loads the module of what it asks for: a reader starts without what a dispatcher needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loaded when first used
    from lustre_events.node.wiring.catalogs import catalog, endpoints, load_rules, queues_of_actions, subscriptions
    from lustre_events.node.wiring.mdt_reader import changelog_user, discovered, mdts, reader, source
    from lustre_events.node.wiring.redis_clients import (
        groups,
        known_mdts,
        redis_client,
        redis_url,
        requests,
        streams,
    )
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

_HOMES = {
    "catalogs": {"catalog", "endpoints", "load_rules", "queues_of_actions", "subscriptions"},
    "mdt_reader": {"changelog_user", "discovered", "mdts", "reader", "source"},
    "redis_clients": {"groups", "known_mdts", "redis_client", "redis_url", "requests", "streams"},
    "service_parts": {"courier", "dispatcher", "dispatcher_lease", "history_keeper", "indexer", "seal_path"},
    "supervised": {"node", "readers"},
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
