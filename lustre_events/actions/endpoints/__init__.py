"""Ways of sending: one module each, whose Sender makes one Attempt per event. SENDERS is the registry.

What an endpoint's table of TOML may say is in domain/rules/endpoints.py, and what its events are in ../kinds.
"""

from __future__ import annotations

from collections.abc import Mapping

from lustre_events.actions.endpoints import jetstream, kafka, redis_stream, smtp
from lustre_events.actions.endpoints.interface import MakeSender, Sender
from lustre_events.domain.rules.endpoints import Endpoint

__all__ = ["SENDERS", "Sender"]


def _webhook(endpoint: Endpoint) -> Sender:
    """Return the sender of a webhook, loaded by who sends one: its library makes every process start slowly."""
    from lustre_events.actions.endpoints.http import HttpSender  # noqa: PLC0415 - see above

    return HttpSender(endpoint)


SENDERS: Mapping[str, MakeSender] = {
    "webhook": _webhook,
    "mail": smtp.MailSenders(),
    "nats": jetstream.JetStreamSender,
    "redis": redis_stream.RedisSender,
    "kafka": kafka.KafkaSender,
}
"""By the kind of an endpoint."""
