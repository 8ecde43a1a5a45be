"""Units of Type=notify: their commands say when they are ready."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.need import need
from tests.support.service.service import Service

COMMANDS = {
    "worker": ("worker", "--instance", "builtin"),
    "metrics": ("metrics", "--listen", "127.0.0.1:19464"),
    "web": ("web", "--listen", "127.0.0.1:19465"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_process_says_that_it_is_ready_and_what_it_does(open_folder: Path, name: str) -> None:
    """Worker, metrics and console tell systemd what they do, that they are up, and later that they are alive."""
    need("redis-server")
    address = str(open_folder / "notify")
    secret = open_folder / "secret"
    secret.write_text("s" * 32)
    secret.chmod(0o600)
    with Service(open_folder) as service, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(address)
        endpoint.settimeout(30)
        service.start_redis()
        service.start("lustre_events", *COMMANDS[name], environment={
            "LUSTRE_EVENTS_REDIS_URL": service.redis.url, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "500000",
            "LUSTRE_EVENTS_WEB_LOGIN": "proxy", "LUSTRE_EVENTS_WEB_PROXY_SECRET": str(secret),
        })  # fmt: skip
        assert endpoint.recv(200).startswith(b"STATUS="), service.last_words()
        assert endpoint.recv(200) == b"READY=1"
        assert [endpoint.recv(200) for _ in range(2)] == [b"WATCHDOG=1"] * 2, service.last_words()
