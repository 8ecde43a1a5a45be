"""Kafka: each event is a record of a topic, and is done when all replicas that are in sync have it.

The record's key, and its header `key`, are the idempotency key.

    delivery report                                   what becomes of the run
    delivered                                         done
    a wrong login or permission, no such topic, TLS   the endpoint is held
    too large, invalid                                dead; of a batch first each event alone
    anything else, nothing, too late                  again later

A cluster itself says where its brokers are, so their addresses cannot be judged before: `private` must be set.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints.connecting import library, login_over_tls, printable, tls_context
from lustre_events.actions.endpoints.interface import Deadline
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, Attempt
from lustre_events.domain.rules.endpoints import SCHEMES, Endpoint
from lustre_events.errors import ConfigError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

_PORTS = {"kafka": 9092, "kafkas": 9093}
_POLL_SECONDS = 0.05
_ASK_SECONDS = 0.5
_CLOSE_SECONDS = 1.0
_CONTENT_TYPE = b"application/cloudevents+json; charset=UTF-8"
_ENDPOINT_IS_WRONG = {
    "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "TOPIC_EXCEPTION",
    "POLICY_VIOLATION",
}  # fmt: skip
_EVENT_IS_WRONG = {"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD"}
_UNTRUSTED = "certificate verify failed"

_log = logging.getLogger(f"{__name__}.librdkafka")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # what goes wrong is an outcome


class KafkaSender:
    """See `interface.Sender`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._producer: Producer | None = None
        self._broken: KafkaError | None = None
        """What no waiting helps against: the login, the certificate."""

    def send(self, batch: Sequence[Parcel]) -> list[Attempt]:
        """Produce the events, and wait for the report about each of them."""
        found: list[Attempt | None] = [None] * len(batch)
        try:
            deadline = Deadline(self._endpoint.timeout_seconds)
            producer = self._connected()
            for place, event in enumerate(batch):
                self._produce(producer, event, self._reporter(found, place, len(batch)))
            with contextlib.suppress(TimeoutError):
                while None in found and self._broken is None:
                    producer.poll(min(_POLL_SECONDS, deadline.left()))
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's server does is one sentence
            failed = self._failed(exc)
        else:
            failed = self._unreported()
        done = [failed if each is None else each for each in found]
        if any(each.outcome != OK for each in done):
            self.close()  # what has no report must not be sent behind our back
        return done

    def check(self) -> str:
        """Connect, log in where that is set, and send nothing. Raises ConfigError."""
        try:
            topics = self._topics(self._connected(), Deadline(self._endpoint.timeout_seconds))
        except Exception as exc:
            failed = self._failed(exc) if self._broken is None else self._unreported()
            raise ConfigError(f"endpoint {self._endpoint.name!r}: {failed.error}") from exc
        finally:
            self.close()
        topic = self._endpoint.topic
        known = "" if topic in topics else f"; it shows no topic {topic} to this login"
        return f"{self._endpoint.where} accepts connections{known}"

    def close(self) -> None:
        """End connections, and forget what has not arrived."""
        producer, self._producer, self._broken = self._producer, None, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
            producer.flush(_CLOSE_SECONDS)

    def _connected(self) -> Producer:
        if self._producer is None:
            self._broken = None
            self._producer = library("kafka").Producer(self._settings(), logger=_log)
        return self._producer

    def _topics(self, producer: Producer, deadline: Deadline) -> Collection[str]:
        """Return the topics that the login sees. Raises TimeoutError, KafkaException: nobody tells."""
        while True:
            try:
                found: Collection[str] = producer.list_topics(timeout=min(_ASK_SECONDS, deadline.left())).topics
            except library("kafka").KafkaException:
                producer.poll(0)
                if self._broken is not None:
                    raise
                deadline.left()
            else:
                return found

    def _settings(self) -> dict[str, Any]:
        """Return the settings of librdkafka. Raises ConfigError."""
        endpoint = self._endpoint
        if not endpoint.private:
            raise ConfigError(
                f"{endpoint.where}: a Kafka cluster itself says where its brokers are, so whether their addresses "
                "are public cannot be seen before; if you trust it, set private = true for the endpoint"
            )
        parts = urlsplit(endpoint.url)
        tls = parts.scheme == SCHEMES["kafka"][0]
        login = login_over_tls(endpoint, SCHEMES["kafka"])
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        milliseconds = int(endpoint.timeout_seconds * 1000)
        found: dict[str, Any] = {
            "bootstrap.servers": f"{host}:{parts.port or _PORTS[parts.scheme]}",
            "client.id": "lustre-events",
            "security.protocol": f"{'SASL_' if login else ''}{'SSL' if tls else 'PLAINTEXT'}",
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": milliseconds,
            "request.timeout.ms": milliseconds,
            "socket.timeout.ms": max(10, milliseconds),
            "socket.connection.setup.timeout.ms": max(1_000, milliseconds),
            "topic.metadata.propagation.max.ms": milliseconds // 2,
            "reconnect.backoff.max.ms": 1_000,
            "linger.ms": 5,
            "enable.metrics.push": False,
            "error_cb": self._told,
        }
        if tls and endpoint.ca:
            tls_context(endpoint)
            found["ssl.ca.location"] = endpoint.ca
        if login:
            found |= {"sasl.mechanism": endpoint.mechanism, "sasl.username": login[0], "sasl.password": login[1]}
        return found

    def _told(self, error: KafkaError) -> None:
        if error.name() == "_AUTHENTICATION" or _UNTRUSTED in error.str():
            self._broken = error

    def _produce(self, producer: Producer, event: Parcel, report: Callable[..., None]) -> None:
        key = event.key.encode()
        headers: list[tuple[str, str | bytes | None]] = [("content-type", _CONTENT_TYPE), ("key", key)]
        try:
            producer.produce(self._endpoint.topic, event.body, key, headers=headers, on_delivery=report)
        except library("kafka").KafkaException as exc:
            report(exc.args[0], None)

    def _reporter(self, found: list[Attempt | None], place: int, count: int) -> Callable[..., None]:
        def report(error: KafkaError | None, _record: object) -> None:
            found[place] = Attempt(OK) if error is None else self._judged(error, count - 1)

        return report

    def _judged(self, error: KafkaError, together: int = 0) -> Attempt:
        said = f"{self._endpoint.where}: {printable(error.str())}"
        if error.name() in _ENDPOINT_IS_WRONG or _UNTRUSTED in error.str():
            return Attempt(ENDPOINT, error.code(), said)
        if error.name() in _EVENT_IS_WRONG:
            return Attempt(REFUSED, error.code(), said, together=together)
        return Attempt(AGAIN, error.code(), said)

    def _unreported(self) -> Attempt:
        if self._broken is not None:
            return self._judged(self._broken)
        return Attempt(AGAIN, error=f"{self._endpoint.where}: no answer in time")

    def _failed(self, exc: Exception) -> Attempt:
        if isinstance(exc, ConfigError):
            return Attempt(ENDPOINT, error=str(exc))
        if isinstance(exc, TimeoutError):
            return self._unreported()
        error = exc.args[0] if exc.args else None
        if isinstance(error, library("kafka").KafkaError):
            return self._judged(error)
        return Attempt(AGAIN, error=f"{self._endpoint.where}: {type(exc).__name__}")
