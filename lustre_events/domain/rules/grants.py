"""Grants: what users' own rules of actions may do. The site's, in the file of endpoints.

    [grant.everybody]
    users = ["*"]                  # names; "*": everybody
    groups = ["physics"]           # or who is in one of these
    endpoints = ["myself"]         # that their rules may name; an endpoint is for one kind of action
    actions = ["thumbnail"]        # of the site, in containers, that their rules may name
    own_actions = true             # their rules may name what they have written themselves, too
    containers = 2                 # most containers of one user's rules that run at the same time
    directories = ["/home/**"]     # where their rules may hold; default: everywhere
    rules = 20                     # most rules of actions in one user's file
    per_minute = 60                # most events of one user that are sent in a minute
    runs = 1000                    # most runs of one user that wait together; more are made when these are done
    body_bytes = 8192              # most bytes of one event

    [grant.everybody.slurm]        # job_grants.py
    scripts = ["own.sh"]           # job scripts of the site that their rules may name

Of several grants for one user each counts for its own endpoints, actions and scripts; of the quotas the largest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from lustre_events.config.tables import Location, key, values
from lustre_events.domain.rules.endpoints import Endpoint, unknown
from lustre_events.domain.rules.job_grants import JobGrant, together
from lustre_events.errors import ConfigError

EVERYBODY = "*"
MOST_BODY = 64 << 10
_QUOTAS = ("rules", "per_minute", "runs", "body_bytes", "containers")
OWN = ""
"""Among granted actions: those that the user has written."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant; see the module."""

    endpoints: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    rules: int = key(20, least=1, most=100)
    per_minute: int = key(60, least=1, most=1_000_000)
    runs: int = key(1_000, least=1, most=100_000)
    body_bytes: int = key(8_192, least=256, most=MOST_BODY)
    actions: tuple[str, ...] = ()
    own_actions: bool = False
    containers: int = key(2, least=1, most=1_000)
    slurm: JobGrant = field(default_factory=JobGrant)

    @property
    def granted_actions(self) -> tuple[str, ...]:
        """The actions in containers that rules may name; see OWN."""
        return (*self.actions, *([OWN] if self.own_actions else []))

    def is_for(self, user: str, groups: Collection[str]) -> bool:
        """Whether it is for a user, who is in these groups."""
        return EVERYBODY in self.users or user in self.users or not set(self.groups).isdisjoint(groups)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one user's rules may do; quotas. `jobs`: what they may ask of Slurm.

    Endpoints, actions and job scripts have the directories where a rule may name them (none: everywhere).
    """

    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: int = 0
    per_minute: int = 0
    runs: int = 0
    body_bytes: int = 0
    actions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    containers: int = 0
    scripts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    jobs: JobGrant = field(default_factory=JobGrant)


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
        **{name: max(getattr(grant, name) for grant in mine) for name in _QUOTAS},
        endpoints=_directories([(grant.endpoints, grant.directories) for grant in mine]),
        actions=_directories([(grant.granted_actions, grant.directories) for grant in mine]),
        scripts=_directories([(grant.slurm.scripts, grant.directories) for grant in mine]),
        jobs=together([grant.slurm for grant in mine if grant.slurm.scripts]),
    )


def _directories(grants: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Return where rules may hold for each name that grants have; nothing: everywhere."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for names, directories in grants:
        for name in names:
            found.setdefault(name, []).append(directories)
    return {name: tuple(chain.from_iterable(each)) if all(each) else () for name, each in found.items()}


def _grant(location: Location, entry: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> Grant:
    found = Grant(**values(Grant, entry, location))
    if not found.users and not found.groups:
        raise location.at("users").refusal('is missing; name users or groups, or everybody: users = ["*"]')
    if not found.endpoints and not found.granted_actions and not found.slurm.scripts:
        raise location.at("endpoints").refusal(
            "is missing; name those that users' rules may name, or `actions`, or job scripts"
        )
    for name in found.endpoints:
        if name not in endpoints:
            raise location.at("endpoints").refusal(f"has {name!r}, which does not exist{unknown(name, endpoints)}")
    return found
