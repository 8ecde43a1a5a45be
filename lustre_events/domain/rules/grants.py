"""Grants: what users' own rules of actions may do. The site's, in the file of endpoints.

    [grant.everybody]
    users = ["*"]                  # names; "*": everybody
    groups = ["physics"]           # or who is in one of these
    endpoints = ["myself"]         # that their rules may name; an endpoint is for one kind of action
    directories = ["/home/**"]     # where their rules may hold; default: everywhere
    rules = 20                     # most rules of actions in one user's file
    per_minute = 60                # most events of one user that are sent in a minute
    runs = 1000                    # most runs of one user that wait together; more are made when these are done
    body_bytes = 8192              # most bytes of one event

Of several grants for one user each counts for its own endpoints; of the quotas the largest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lustre_events.config.tables import Location, key, values
from lustre_events.domain.rules.endpoints import Endpoint, unknown
from lustre_events.errors import ConfigError

EVERYBODY = "*"
MOST_BODY = 64 << 10


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant; see the module."""

    endpoints: tuple[str, ...] = key(needed="name those that users' rules may name")
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    rules: int = key(20, least=1, most=100)
    per_minute: int = key(60, least=1, most=1_000_000)
    runs: int = key(1_000, least=1, most=100_000)
    body_bytes: int = key(8_192, least=256, most=MOST_BODY)

    def is_for(self, user: str, groups: Collection[str]) -> bool:
        """Whether it is for a user, who is in these groups."""
        return EVERYBODY in self.users or user in self.users or not set(self.groups).isdisjoint(groups)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one user's rules may do: endpoints with the directories for each (none: everywhere), and quotas."""

    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: int = 0
    per_minute: int = 0
    runs: int = 0
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Author:
    """Whose own rule it is."""

    name: str
    uid: int
    allowance: Allowance = Allowance()


def grants_of(table: Mapping[str, Any], origin: str, endpoints: Mapping[str, Endpoint]) -> tuple[Grant, ...]:
    """Return the grants of a parsed file of endpoints. Raises ConfigError."""
    entries = table.get("grant", {})
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigError(f"{origin}: grants are written as [grant.NAME]")
    return tuple(_grant(Location(origin, f"[grant.{name}]"), entry, endpoints) for name, entry in entries.items())


def allowance_of(grants: Sequence[Grant], user: str, groups: Collection[str]) -> Allowance:
    """Return what all grants together allow a user."""
    mine = [grant for grant in grants if grant.is_for(user, groups)]
    if not mine:
        return Allowance()
    return Allowance(
        {name: _directories(mine, name) for grant in mine for name in grant.endpoints},
        max(grant.rules for grant in mine),
        max(grant.per_minute for grant in mine),
        max(grant.runs for grant in mine),
        max(grant.body_bytes for grant in mine),
    )


def _directories(grants: Sequence[Grant], endpoint: str) -> tuple[str, ...]:
    """Return where rules for an endpoint may hold; nothing: everywhere."""
    found = [grant.directories for grant in grants if endpoint in grant.endpoints]
    return tuple(each for directories in found for each in directories) if all(found) else ()


def _grant(location: Location, entry: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> Grant:
    found = Grant(**values(Grant, entry, location))
    if not found.users and not found.groups:
        raise location.at("users").refusal('is missing; name users or groups, or everybody: users = ["*"]')
    for name in found.endpoints:
        if name not in endpoints:
            raise location.at("endpoints").refusal(f"has {name!r}, which is none{unknown(name, endpoints)}")
    return found
