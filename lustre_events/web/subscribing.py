"""Subscriptions to saved searches: the dispatcher keeps them, and is asked for the user who has logged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lustre_events.errors import ConfigError, StreamError
from lustre_events.index.mount import Mount
from lustre_events.index.visibility import Viewer


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A user's subscriptions by name, and the endpoints that are granted; `away`: why neither is known now."""

    subscriptions: dict[str, dict[str, str]]
    endpoints: list[dict[str, str]]
    away: str = ""


def known(site: Any, user: str, viewer: Viewer) -> Subscribed:
    """Return what the dispatcher knows of a user. Raises StreamError, ConfigError."""
    found = site.ask("subscriptions", {"user": user, "uid": viewer.uid})
    return Subscribed({each["name"]: each for each in found["subscriptions"]}, found["endpoints"])


def known_or_away(site: Any, user: str, viewer: Viewer) -> Subscribed:
    """Return what the dispatcher knows of a user, for a page that has more to show."""
    try:
        return known(site, user, viewer)
    except (StreamError, ConfigError) as exc:
        return Subscribed({}, [], str(exc))


def begin(site: Any, user: str, viewer: Viewer, name: str, endpoint: str) -> None:
    """Subscribe an endpoint to what a saved search finds from now on.

    Raises ConfigError: there is no such search, or the dispatcher refuses it; StreamError: it is away.
    """
    kept = site.saved.one(user, name)
    query = Mount.at(site.mount).query(kept.query)
    site.ask("subscribe", {"user": user, "uid": viewer.uid, "name": name, "query": query, "endpoint": endpoint})


def end(site: Any, user: str, viewer: Viewer, name: str) -> bool:
    """End a subscription; return whether there was one. Raises ConfigError, StreamError."""
    return bool(site.ask("unsubscribe", {"user": user, "uid": viewer.uid, "name": name})["ended"])
