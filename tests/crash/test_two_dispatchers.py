"""Two dispatchers: one is active, the other one waits for its end."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lustre_events.errors import LeaseLost
from lustre_events.index import open_search
from lustre_events.inspect.status.parts import DispatcherStatus
from lustre_events.streams.connection import connect
from lustre_events.streams.dispatcher_lease import DispatcherLease
from lustre_events.streams.records import RedisRecordStreams
from tests.support.need import need
from tests.support.servers.redis import login, start_redis
from tests.support.service.service import PARTS, Churn, Service
from tests.support.waiting import WAIT_SECONDS, wait_for

LEASE_SECONDS = 1.0


@pytest.fixture
def service(open_folder: Path) -> Iterator[Service]:
    """A service whose parts run, with one dispatcher."""
    need("redis-server")
    with Service(open_folder) as made:
        made.start_redis()
        for name in PARTS:
            made.start_part(name)
        yield made


def another(service: Service) -> subprocess.Popen[bytes]:
    """Start a further dispatcher."""
    return service.start(
        *PARTS["dispatcher"], environment={"LUSTRE_EVENTS_REDIS_URL": login(service.redis, "dispatcher")}
    )


def told(service: Service) -> DispatcherStatus:
    """Return what `status` knows of the dispatchers."""
    with closing(connect(service.redis.url, 5)) as client:
        return DispatcherStatus(RedisRecordStreams(client).state())


def is_active(service: Service, process: subprocess.Popen[bytes]) -> bool:
    """Whether a dispatcher is the one that `status` names."""
    return told(service).holder.endswith(f":{process.pid}")


def change_files(service: Service, churn: Churn, seconds: float = 3 * LEASE_SECONDS) -> None:
    """Change files for some time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        churn.step()
        time.sleep(0.02)


def test_a_standby_waits_takes_over_and_nothing_is_lost_or_doubled(service: Service) -> None:
    """A second dispatcher takes nothing over from one that lives, and soon from one that was killed or paused."""
    churn, first = Churn(service.files, 5), service.parts["dispatcher"]
    wait_for(lambda: is_active(service, first), failure=service.last_words)

    second = another(service)
    wait_for(lambda: told(service).standbys, failure=service.last_words)
    change_files(service, churn)
    assert is_active(service, first)
    assert told(service).standbys[0].endswith(f":{second.pid}")

    first.kill()
    change_files(service, churn, 0.5)
    wait_for(lambda: is_active(service, second), failure=service.last_words)

    third = another(service)
    wait_for(lambda: told(service).standbys, failure=service.last_words)
    second.send_signal(signal.SIGSTOP)
    change_files(service, churn, 0.5)
    wait_for(lambda: is_active(service, third), failure=service.last_words)
    second.send_signal(signal.SIGCONT)
    assert second.wait(WAIT_SECONDS) == LeaseLost.exit_code

    service.converge("seed 5")
    with open_search(service.index) as search:
        stats = search.stats()
    assert stats.counters["records"] == max(position for _, _, position in stats.cursors)
    third.terminate()
    assert third.wait(WAIT_SECONDS) == 0


def test_a_lease_has_one_holder_until_it_ends_or_is_given_back(tmp_path: Path) -> None:
    """A lease that is kept is nobody else's; given back it is free at once; who lost it is told so."""
    with start_redis(tmp_path / "redis") as server, closing(connect(server.url, 5)) as client:
        one, two = (DispatcherLease(client, LEASE_SECONDS, f"host:{name}:x") for name in "12")
        said: list[str] = []
        stop = threading.Event()
        assert one.wait(stop, said.append)
        with one.kept():
            waiting = threading.Thread(target=two.wait, args=(stop, said.append))
            waiting.start()
            wait_for(lambda: len(said) > 2 * int(LEASE_SECONDS * 4))
            assert one.standbys() == ["host:2"]
            stop.set()
            waiting.join()
            one.check()
        assert set(said) == {"standby: the dispatcher host:1 is active; this one takes over when it ends"}

        stop.clear()
        assert two.take()
        with two.kept():
            client.set("le:dispatcher:lease", "host:3:x")
            wait_for(lambda: _is_lost(two))
        assert client.get("le:dispatcher:lease") == b"host:3:x"


def _is_lost(lease: DispatcherLease) -> bool:
    try:
        lease.check()
    except LeaseLost:
        return True
    return False
