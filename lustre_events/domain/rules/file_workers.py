"""Which runs file workers do, and in which queue these wait, by what stands where an endpoint has its name."""

from __future__ import annotations

from lustre_events.domain.rules import batch_scripts, containers, transfers
from lustre_events.domain.rules.action_rules import user_of
from lustre_events.jobs.messages import ACTIONS_QUEUE, TRANSFERS_QUEUE


def work_of(endpoint: str) -> str:
    """Return the name of an action that file workers do; empty: the endpoint is the courier's."""
    return containers.action_of(endpoint) or batch_scripts.script_of(endpoint) or transfers.target_of(endpoint)


def tells_author(rule: str, endpoint: str) -> bool:
    """Whether what answers is for the user whose own rule it is: a program of that user, or Slurm about a job.

    That job is the user's own, so Slurm tells its user the same.
    """
    return containers.is_own(rule, endpoint) or bool(user_of(rule) and batch_scripts.script_of(endpoint))


def queue_of(endpoint: str) -> str:
    """Return the queue in which runs wait that file workers do."""
    return TRANSFERS_QUEUE if transfers.target_of(endpoint) else ACTIONS_QUEUE
