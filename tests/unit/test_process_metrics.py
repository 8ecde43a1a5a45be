"""What a process says of itself."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from lustre_events.errors import ConfigError
from lustre_events.node.process_metrics import serve


def test_every_process_answers_at_a_port_of_its_own() -> None:
    """The second process of a node takes a port behind the first one's; each tells what it is and what it uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = min(probe.getsockname()[1], 60_000)
    ports = [serve(f"127.0.0.1:{first}", "reader", "lustre-MDT0000"), serve(f"127.0.0.1:{first}", "worker", "gpu")]
    texts = [
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode() for port in ports
    ]
    assert first <= ports[0] < ports[1]
    assert 'part="reader"' in texts[0]
    assert 'of="gpu"' in texts[1]
    assert all("process_cpu_seconds_total" in text and "process_resident_memory_bytes" in text for text in texts)


def test_nothing_is_served_unless_it_was_asked_for() -> None:
    """Without a setting no port is opened; one that is no address is refused with its form."""
    assert serve("", "reader") == 0
    with pytest.raises(ConfigError, match="ADDRESS:PORT"):
        serve("9465", "reader")
