"""Ways of sending: one module each, whose Sender makes one Attempt per event. SENDERS is the registry."""

from __future__ import annotations

from collections.abc import Mapping

from lustre_events.actions.endpoints import http, jetstream, kafka, redis_stream, smtp
from lustre_events.actions.endpoints.sender import MakeSender, Sender

__all__ = ["SENDERS", "Sender"]

SENDERS: Mapping[str, MakeSender] = {
    "webhook": http.HttpSender,
    "mail": smtp.MailSenders(),
    "nats": jetstream.JetStreamSender,
    "redis": redis_stream.RedisSender,
    "kafka": kafka.KafkaSender,
}
"""By the kind of an endpoint."""
