"""A worker that serves its queue, from settings to its end."""

from __future__ import annotations

import os

from rq.defaults import RQ_KEY_PREFIX

from lustre_events.config.settings import Settings
from lustre_events.jobs.messages import queue_of_instance
from lustre_events.node import process_metrics
from lustre_events.node.systemd import Notifier
from workers import cgroups
from workers.wiring import for_queue, rq_prefix, worker


def serve(settings: Settings, until: float | None, instance: str, again: list[str]) -> None:
    """Take jobs until SIGTERM, or until there is no time for one; `again` runs this process anew.

    Raises:
        ConfigError: it cannot serve this queue, or its pool.
    """
    settings = for_queue(settings, queue_of_instance(instance))
    prefix = rq_prefix(settings.worker)
    if prefix != RQ_KEY_PREFIX:  # RQ reads it when it is imported
        os.execve(again[0], again, {**os.environ, "RQ_KEY_PREFIX": prefix})  # noqa: S606 - this process itself
    notifier = Notifier()
    cgroups.settle()
    own = worker(settings, until, notifier.beat)
    (queue,) = own.queue_names()
    process_metrics.serve(settings.metrics.listen, "worker", queue)
    notifier.beat(f"takes jobs of the queue {queue}")
    own.work(logging_level="WARNING")
