"""What one process says of itself to Prometheus: processor time, memory, descriptors, start, and what it is.

What the service does is told by `lustre-events metrics` alone, for all processes: told twice it would count twice.
"""

from __future__ import annotations

import logging
import socket

from prometheus_client import CollectorRegistry, Info, ProcessCollector, start_http_server

from lustre_events.errors import ConfigError

log = logging.getLogger(__name__)

PORTS = 64
"""Processes of one node that can answer: the first takes the port that is set, later ones those behind it."""


def serve(listen: str, part: str, of: str = "") -> int:
    """Answer at the first free port from ADDRESS:PORT on; return that port, 0 where `listen` is empty.

    `part` is reader, dispatcher or worker, `of` its MDT or queue.

    Raises:
        ConfigError: the address is wrong, or no port is free.
    """
    if not listen:
        return 0
    address, _, first = listen.rpartition(":")
    if not address or not first.isdecimal() or not 0 < int(first) < (1 << 16) - PORTS:
        raise ConfigError(f"[metrics] listen is {listen!r}; write it as ADDRESS:PORT, e.g. 0.0.0.0:9465")
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    info = Info("lustre_events_process", "What this process is", registry=registry)
    info.info({"part": part, "of": of, "host": socket.gethostname()})
    reason = ""
    for port in range(int(first), int(first) + PORTS):
        try:
            start_http_server(port, address, registry)
        except OSError as exc:
            reason = str(exc.strerror)
        else:
            log.info("metrics of this process are on port %d", port, extra={"action": "listen", "port": port})
            return port
    raise ConfigError(f"[metrics] listen is {listen}: no port from there on can be used ({reason}); choose another")
