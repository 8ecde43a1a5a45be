"""Who reaches the console, and that nobody keeps others from it: by a real server and real sockets."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from waitress.channel import HTTPChannel
from werkzeug.test import Client, TestResponse

from lustre_events.config.settings import Settings, WebSettings
from lustre_events.errors import ConfigError
from lustre_events.web.login import Login
from lustre_events.web.serving import (
    IDLE_SECONDS,
    MOST_OPEN,
    SLOW_BYTES,
    SLOW_SECONDS,
    SPARE_THREADS,
    WAITING,
    Doorkeeper,
    Turns,
    server_of,
)
from lustre_events.web.wiring import login
from tests.support.service.web import OTHER, READER, Console, make_console

ASK = b"GET /health HTTP/1.0\r\n\r\n"


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return make_console(tmp_path)


@contextlib.contextmanager
def served(app: Any, listen: str, *, https: bool = False) -> Iterator[Any]:
    """Serve an application until the end."""
    server = server_of(app, listen, 2, https=https)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        server.task_dispatcher.shutdown()


def asked(address: str | tuple[str, int], request: bytes) -> bytes:
    """Return the answer to a request."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.settimeout(20)
        client.connect(address)
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def test_a_proxy_comes_by_a_unix_socket(console: Console, tmp_path: Path) -> None:
    """Whoever may connect to the console's socket names the user; only its owner and group may."""
    place = tmp_path / "console.sock"
    console.login = Login(None, "X-Remote-User", (), by_socket=True)
    with served(console.app(), f"unix:{place}"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        answer = asked(str(place), b"GET / HTTP/1.0\r\nX-Remote-User: %s\r\n\r\n" % OTHER.encode())
    assert answer.startswith(b"HTTP/1.0 200")
    assert f"<span>{OTHER}</span>".encode() in answer


def test_addresses_begin_with_https_behind_a_proxy_with_tls() -> None:
    """A feed's address is a key: a reader must not ask for it without TLS where the site has a proxy with TLS."""

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [environ["wsgi.url_scheme"].encode()]

    for https, scheme in ((True, b"https"), (False, b"http")):
        with served(app, "127.0.0.1:0", https=https) as server:
            assert asked(("127.0.0.1", int(server.effective_port)), ASK).endswith(b"\r\n\r\n" + scheme)


def test_a_local_user_is_no_proxy(tmp_path: Path) -> None:
    """Where every local user could name himself to the console it is not begun; a secret is for the proxy alone."""
    with pytest.raises(ConfigError, match=r"could log in as anybody; set listen = .unix:.*or proxy_secret"):
        login(Settings(web=WebSettings(login="proxy")), "127.0.0.1:8080")

    secret = tmp_path / "secret"
    secret.write_text("s" * 32 + "\n")
    secret.chmod(0o644)
    settings = Settings(web=WebSettings(login="proxy", proxy_secret=str(secret)))
    with pytest.raises(ConfigError, match="chmod 640"):
        login(settings, "127.0.0.1:8080")
    secret.chmod(0o640)
    by_secret = login(settings, "127.0.0.1:8080")
    headers = {"X-Remote-User": "ada", "X-Lustre-Events-Proxy": "s" * 32}
    assert by_secret.by_proxy("127.0.0.1", headers) == "ada"
    assert by_secret.by_proxy("192.0.2.1", headers) == ""
    assert by_secret.by_proxy("127.0.0.1", headers | {"X-Lustre-Events-Proxy": "S" * 32}) == ""
    assert by_secret.by_proxy("127.0.0.1", {"X-Remote-User": "ada"}) == ""


def test_connections_that_say_nothing_keep_nobody_out(console: Console) -> None:
    """While very many connections are open or have begun a request others are answered; the idlest go."""
    with served(console.app(), "127.0.0.1:0") as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(server.effective_port))
        held = [stack.enter_context(socket.create_connection(address)) for _ in range(3 * MOST_OPEN)]
        for client in held[::2]:
            client.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        for _ in range(3):
            assert asked(address, ASK).endswith(b"ok\n")
        held[0].settimeout(20)
        assert held[0].recv(10) == b""


def test_what_is_sent_is_bounded(console: Console) -> None:
    """A request of more than a megabyte is refused by its length, before anybody waits for it or keeps it."""
    with served(console.app(), "127.0.0.1:0") as server:
        address = ("127.0.0.1", int(server.effective_port))
        head = b"POST /login HTTP/1.0\r\nContent-Length: %d\r\n\r\n"
        assert asked(address, head % (1 << 30)).startswith(b"HTTP/1.0 413 ")


def test_who_takes_nothing_of_a_long_answer_keeps_nobody_out() -> None:
    """More downloads than there are threads, of which nobody takes anything, and others are answered."""
    parts = 30

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"x" * (1 << 20) for _ in range(parts)) if environ["PATH_INFO"] == "/long" else [b"ok\n"]

    with served(app, "127.0.0.1:0") as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(server.effective_port))
        for _ in range(2 + WAITING + SPARE_THREADS):
            client = stack.enter_context(socket.create_connection(address))
            client.sendall(2 * b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(1)
        assert asked(address, ASK).endswith(b"ok\n")
        head, _, body = asked(address, b"GET /long HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
        assert (b"Content-Length: %d" % (parts << 20) in head, len(body)) == (True, parts << 20)


def channel(last_activity: float, **state: object) -> HTTPChannel:
    """Return a connection without a socket."""
    made = HTTPChannel.__new__(HTTPChannel)
    made.__dict__.update(
        {"requests": [], "request": None, "total_outbufs_len": 0, "last_activity": last_activity, **state}
    )
    return made


def test_slow_connections_are_closed() -> None:
    """A request that comes byte by byte, an answer that is not taken, and silence end; work goes on."""
    now = [1000.0]
    keeper = Doorkeeper({}, lambda: now[0])
    drips, drinks = channel(0, request=1), channel(0, total_outbufs_len=9)
    working, fresh = channel(0, requests=[1]), channel(0)
    keeper.sockets.update(enumerate([drips, drinks, working, fresh, object()]))
    for _ in range(int(SLOW_SECONDS) + 2):
        for each in (drips, drinks, fresh):
            each.last_activity = now[0]
        keeper.look()
        assert not working.will_close
        now[0] += 1
    assert (drips.will_close, drinks.will_close, fresh.will_close) == (True, True, False)

    long = channel(now[0], total_outbufs_len=100 * SLOW_BYTES)
    keeper.sockets[9] = long
    for late in (0, SLOW_SECONDS + 99, SLOW_SECONDS + 101):
        long.last_activity = fresh.last_activity = now[0] + late
        keeper.clock = lambda at=now[0] + late: at  # type: ignore[misc]
        keeper.look()
        assert long.will_close == (late > SLOW_SECONDS + 100)
    now[0] += SLOW_SECONDS + 101
    keeper.clock = lambda: now[0]

    now[0] += IDLE_SECONDS + 1
    keeper.look()
    assert (fresh.will_close, working.will_close) == (True, False)


def test_an_answer_has_time_of_its_own_behind_half_a_request() -> None:
    """Whoever sends a request in two parts may take as long for its answer as others do."""
    now = [1000.0]
    one = channel(1000, request=1)
    keeper = Doorkeeper({1: one}, lambda: now[0])
    keeper.look()
    one.request, one.total_outbufs_len = None, 100 * SLOW_BYTES
    keeper.look()
    for seconds, ends in ((SLOW_SECONDS + 1, False), (100, True)):
        now[0] += seconds
        one.last_activity, one.total_outbufs_len = now[0], 50 * SLOW_BYTES
        keeper.look()
        assert bool(one.will_close) == ends


def test_health_is_answered_while_all_threads_work() -> None:
    """With every turn taken others wait, and are told so in the end; /health needs no turn."""
    taken, done = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/work":
            taken.set()
            done.wait(20)
        start("200 OK", [])
        return [b"ok"]

    turns = Turns(app, most=1, waiting=1, seconds=0.01)
    said: list[str] = []

    def ask(path: str) -> Iterable[bytes]:
        return turns({"PATH_INFO": path}, lambda status, _: said.append(status))

    with_turn = threading.Thread(target=ask, args=("/work",))
    with_turn.start()
    try:
        assert taken.wait(20)
        assert list(ask("/health")) == [b"ok"]
        assert b"busy" in next(iter(ask("/")))
    finally:
        done.set()
        with_turn.join(20)
    assert list(ask("/")) == [b"ok"]
    assert said == ["200 OK", "503 Service Unavailable", "200 OK", "200 OK"]


def test_one_user_leaves_threads_for_others(console: Console) -> None:
    """Of four requests at once two are one user's; more are refused with a sentence, and others are answered."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def hang(_action: str, _arguments: Mapping[str, Any], /) -> dict[str, Any]:
        begun.release()
        assert go_on.wait(20)
        return {"runs": []}

    console.login = Login(None, "X-Remote-User", (), by_socket=True)
    app = console.app()
    site = app.extensions["site"]
    site.saved.save(OTHER, "all", "*")
    feed = site.feeds.make(OTHER, "all")
    app.extensions["site"] = replace(site, ask=hang)
    turns = Turns(app, most=4)

    def ask(user: str, path: str) -> TestResponse:
        return Client(turns).get(path, headers={"X-Remote-User": user})

    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(ask, OTHER, "/api/v1/runs") for _ in range(2)]
        try:
            assert [begun.acquire(timeout=20) for _ in held] == [True, True]
            for path in ("/", "/download?q=*", "/api/v1/count?q=*", feed):
                refused = ask(OTHER, path)
                assert (refused.status_code, "2 of your requests" in refused.text) == (429, True), path
                assert int(refused.headers["Retry-After"]) > 0
            assert ask(OTHER, "/static/console.css").status_code == 200
            assert ask(READER, "/?q=*").status_code == 200
        finally:
            go_on.set()
        assert [each.result(20).status_code for each in held] == [200, 200]
    assert ask(OTHER, "/?q=*").status_code == 200
