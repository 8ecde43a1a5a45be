"""docs/admin-questions.md: a service is brought into each state, and prints what the page shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lustre_events.streams import continuity
from lustre_events.streams.connection import connect
from lustre_events.streams.interface import Loss
from tests.chaos.site import fill, mount
from tests.support.pages import commands, shows
from tests.support.servers.lctl import fake_lctl
from tests.support.service.command import REPOSITORY, lustre_events
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

PAGE = (REPOSITORY / "docs" / "admin-questions.md").read_text(encoding="utf-8")
QUESTION = re.compile(r"^## (.*?)\n.*?^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
QUESTIONS = dict(QUESTION.findall(PAGE))
SMALL_DISK = 24 << 20
TABLE = "a,b\n1,2\n"
SECONDS = 60
USERS = """\
cl1-lustre-events   811 (3) mask=CREAT,MKDIR
cl2-backup          12 (86400) mask=CREAT
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service whose index is on a small disk of its own where the test may mount one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        disk = folder / "disk"
        disk.mkdir()
        if os.geteuid() == 0:
            mount(disk, SMALL_DISK)
            stack.callback(lambda: subprocess.run(["umount", "--lazy", disk], check=True, timeout=30))
        made = Service(folder, dispatcher="skew_seconds = 0.2\n",
                       filesystem=f"lctl = {json.dumps(lctl(folder))}\n")  # fmt: skip
        made.config.write_text(made.config.read_text().replace(made.index, f"sqlite:///{disk}/index.db"))
        made.index = f"sqlite:///{disk}/index.db"
        stack.enter_context(made)
        made.start_redis()
        for name in PARTS:
            made.start_part(name)
        write(made, "first.csv")
        made.converge("at the start")
        yield made


def lctl(folder: Path) -> list[str]:
    """Return an lctl whose MDT has two users, of which one sleeps."""
    place = folder / "lctl"
    place.mkdir()
    (place / "users").write_text(USERS)
    return fake_lctl(place)


def write(service: Service, name: str) -> None:
    (service.files / name).write_text(TABLE)


def stop(service: Service, name: str) -> None:
    """End a part as systemd does."""
    service.parts[name].send_signal(signal.SIGTERM)
    service.parts[name].wait(20)


@contextmanager
def the_lag_grows(service: Service) -> Iterator[None]:
    """The dispatcher is down while files change."""
    stop(service, "dispatcher")
    write(service, "lag.csv")
    try:
        yield
    finally:
        service.start_part("dispatcher")


@contextmanager
def no_worker(service: Service) -> Iterator[None]:
    """The only worker of a queue has ended."""
    stop(service, "worker")
    write(service, "waits.csv")
    try:
        yield
    finally:
        service.start_part("worker")


@contextmanager
def no_document(service: Service) -> Iterator[None]:
    """A file that ends in the middle."""
    path = service.files / "broken.json"
    path.write_text('{"a": ')
    try:
        yield
    finally:
        path.unlink()


@contextmanager
def redis_is_full(service: Service) -> Iterator[None]:
    """Redis may use a little more than it does."""
    with connect(service.redis.url, 5) as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) * 104 // 100)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)


@contextmanager
def disk_is_full(service: Service) -> Iterator[None]:
    """The index cannot grow."""
    disk = Path(service.index.removeprefix("sqlite:///")).parent
    if not disk.is_mount():
        pytest.skip("only root can mount a small disk")
    filler = fill(disk)
    for number in range(300):
        write(service, f"disk{number}.csv")
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def records_were_lost(service: Service) -> Iterator[None]:
    """The reader has noticed that records are gone."""
    with connect(service.redis.url, 5) as client:
        reason = "the changelog user was gone"
        continuity.lose(client, Loss("local-MDT0000", 1, 5, 9, time.time_ns(), reason, accepted=False))
    yield


@contextmanager
def the_mdt_fills(service: Service) -> Iterator[None]:
    """The MDT has a user that sleeps."""
    yield


SITUATIONS = {
    "The lag grows": the_lag_grows,
    "Files wait for a worker": no_worker,
    "A file has no document": no_document,
    "Redis is full": redis_is_full,
    "The disk of the index is full": disk_is_full,
    "Records were lost": records_were_lost,
    "The MDT fills": the_mdt_fills,
}


class Asked:
    """A command of the page with what it is to print, asked again and again."""

    def __init__(self, service: Service, words: list[str], printed: list[str]) -> None:
        self._service, self._words, self._printed = service, words, printed
        self._said = ""

    def shows(self) -> bool:
        """Ask once; return whether the page shows the answer."""
        files = str(self._service.files)
        done = lustre_events(
            *(word.replace("/mnt/lustre", files) for word in self._words),
            environment={
                "LUSTRE_EVENTS_CONFIG": str(self._service.config),
                "LUSTRE_EVENTS_REDIS_URL": self._service.redis.url,
            },
        )
        text = (done.stdout + done.stderr).decode().replace(files, "/mnt/lustre")
        self._said = text.replace(f"{self._service.files.parent}/disk", "/var/lib/lustre-events")
        return "Traceback" not in text and shows(self._printed, self._said.splitlines())

    def answer(self) -> str:
        """Return what was said last."""
        return self._said


def test_each_question_has_its_situation() -> None:
    """The page asks nothing that no test brings about."""
    assert list(QUESTIONS) == list(SITUATIONS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_page_shows_what_is_printed(service: Service, question: str) -> None:
    """In this situation each command prints what the page shows; when it is over the service recovers by itself."""
    with SITUATIONS[question](service):
        for words, printed in commands(QUESTIONS[question]):
            asked = Asked(service, words[1:], printed)
            wait_for(asked.shows, SECONDS, asked.answer)
    service.converge(question, keep_running=True)
