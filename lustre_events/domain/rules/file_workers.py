"""Which runs file workers do, by what stands where an endpoint has its name."""

from __future__ import annotations

from lustre_events.domain.rules import batch_scripts, containers, transfers


def work_of(endpoint: str) -> str:
    """Return the name of an action that file workers do; empty: the endpoint is the courier's."""
    return containers.action_of(endpoint) or batch_scripts.script_of(endpoint) or transfers.target_of(endpoint)
