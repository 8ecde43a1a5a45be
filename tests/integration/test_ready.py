"""Units of Type=notify: their commands say when they are ready."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.need import need
from tests.support.service.command import REPOSITORY
from tests.support.service.service import Service

COMMANDS = {
    "worker": ("worker", "--instance", "builtin"),
    "metrics": ("metrics", "--listen", "127.0.0.1:19464"),
    "web": ("web", "--listen", "127.0.0.1:19465"),
    "dashboard": ("dashboard", "--listen", "127.0.0.1:19466"),
    "courier": ("courier",),
    "history": ("history-keeper",),
}
SYSTEMD = REPOSITORY / "deploy/systemd"


BY_SOCKETS = {path.name.replace(".socket", "@.service") for path in SYSTEMD.glob("*.socket")}
"""One process for each connection: it ends by itself."""


@pytest.mark.parametrize("unit", sorted({path.name for path in SYSTEMD.glob("*.service")} - BY_SOCKETS))
def test_each_unit_is_ready_when_it_says_so_and_is_started_again_when_it_is_silent(unit: str) -> None:
    """Each shipped unit is of Type=notify, has a watchdog, and starts again whenever it ends."""
    text = (SYSTEMD / unit).read_text()
    assert {"Type=notify", "NotifyAccess=main", "Restart=always"} <= {*text.splitlines()}
    assert "\nWatchdogSec=" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_process_says_that_it_is_ready_and_what_it_does(open_folder: Path, name: str) -> None:
    """Each tells systemd what it does, that it is up, and later that it is alive."""
    need("redis-server")
    address = str(open_folder / "notify")
    secret = open_folder / "secret"
    secret.write_text("s" * 32)
    secret.chmod(0o600)
    key = open_folder / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    with Service(open_folder) as service, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(address)
        endpoint.settimeout(30)
        service.start_redis()
        service.start("lustre_events", *COMMANDS[name], environment={
            "LUSTRE_EVENTS_REDIS_URL": service.redis.url, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "500000",
            "LUSTRE_EVENTS_WEB_LOGIN": "proxy", "LUSTRE_EVENTS_WEB_PROXY_SECRET": str(secret),
            "LUSTRE_EVENTS_ACTIONS_KEY": str(key), "LUSTRE_EVENTS_HISTORY_DAYS": "1",
            "LUSTRE_EVENTS_HISTORY_FOLDER": str(open_folder / "history"),
        })  # fmt: skip
        assert endpoint.recv(200).startswith(b"STATUS="), service.last_words()
        assert endpoint.recv(200) == b"READY=1"
        assert [endpoint.recv(200) for _ in range(2)] == [b"WATCHDOG=1"] * 2, service.last_words()
