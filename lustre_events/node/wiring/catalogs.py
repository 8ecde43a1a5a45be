"""Rules, extractors, endpoints and subscriptions, read from where the settings say that they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lustre_events.actions.kinds import KINDS, OF_WORKERS
from lustre_events.catalog import manifest
from lustre_events.catalog.catalog import Catalog, Places, read_endpoints
from lustre_events.catalog.subscriptions import SubscriptionFolder
from lustre_events.config.settings import Settings
from lustre_events.domain.rules import rules
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.jobs.messages import ACTIONS_QUEUE, TRANSFERS_QUEUE
from lustre_events.node.action_parts import check_query


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
            settings.actions.transfers,
            Path(settings.actions.user_actions) if settings.actions.user_actions else None,
        )
    )


def queues_of_actions(settings: Settings) -> tuple[str, ...]:
    """Return the queues in which runs wait for file workers here; none: there are no actions for them."""
    own = settings.actions
    others = own.folders or own.user_actions or own.slurm_scripts
    return (*((ACTIONS_QUEUE,) if others else ()), *((TRANSFERS_QUEUE,) if own.transfers else ()))


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


def endpoints(settings: Settings) -> Mapping[str, Endpoint]:
    """Return the endpoints that the settings name. Raises ConfigError."""
    return read_endpoints(Path(settings.actions.endpoints) if settings.actions.endpoints else None)
