"""A round of chaos: a site of some kind, kills without end, the truth compared every hundred of them."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from lustre_events.errors import LustreEventsError
from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from tests.chaos import truth
from tests.chaos.deeds import Deeds
from tests.chaos.site import Kind, Site
from tests.support.service.service import kill

KILLS_BETWEEN_LOOKS = 100
CONVERGE_SECONDS = 120.0
END_SECONDS = 20.0
_WRONG = ("stale", "lost", "doubled", "another object")


@dataclass
class Account:
    """What a round did and found."""

    seed: int
    kind: Kind
    kills: int = 0
    looks: int = 0
    seconds: float = 0.0
    deeds: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps({
            "seed": self.seed, "kind": str(self.kind), "kills": self.kills, "looks": self.looks,
            "seconds": round(self.seconds), "deeds": dict(self.deeds), "operations": self.operations,
            "wrong": self.wrong[:20],
        })  # fmt: skip


class Changes:
    """A thread that changes the files of a site all the time, but while it is told to hold on."""

    def __init__(self, site: Site) -> None:
        self.count = 0
        self._site = site
        self._stop, self._free = threading.Event(), threading.Lock()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.03):
                with self._free:
                    self._site.workload.step()
                    self.count += 1
        except BaseException as exc:  # noqa: BLE001 - told by `end`
            self._failures.append(exc)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Change nothing meanwhile."""
        with self._free:
            yield

    def end(self) -> list[str]:
        """Stop, and return what went wrong here."""
        self._stop.set()
        self._thread.join(END_SECONDS)
        return [f"the workload failed: {exc!r}" for exc in self._failures]


def run(site: Site, seed: int, until: float, say: Callable[[str], None], looks: int = 4) -> Account:
    """Do a round, until that time (of time.monotonic) or this number of looks; what it finds wrong ends it."""
    account = Account(seed, site.kind)
    began = time.monotonic()
    chance = random.Random(seed)
    try:
        site.start_all()
        changes = Changes(site)
        deeds = Deeds(site, chance)
        try:
            while not account.wrong and account.looks < looks and time.monotonic() < until:
                _harm(site, deeds, account, until)
                with changes.held():
                    deeds.go_on(all_of_them=True)
                    account.wrong = _look(site)
                account.looks += 1
                say(f"seed {seed}: {account.kills} kills, {account.looks} looks, {len(account.wrong)} wrong")
        finally:
            deeds.go_on(all_of_them=True)
            account.wrong += changes.end()
        account.deeds, account.operations = deeds.done, changes.count
        account.wrong = account.wrong or _end(site)
        if account.wrong:
            _keep(site)
    finally:
        site.close()
    account.seconds = time.monotonic() - began
    return account


def _harm(site: Site, deeds: Deeds, account: Account, until: float) -> None:
    before = account.kills
    while account.kills < before + KILLS_BETWEEN_LOOKS and time.monotonic() < until:
        account.kills += deeds.one()
        site.keep_running()
        time.sleep(deeds.chance.uniform(0.0, 0.5) ** 2)


def _look(site: Site) -> list[str]:
    """Return what is wrong once the site has had its time."""
    deadline = time.monotonic() + CONVERGE_SECONDS
    while True:
        site.keep_running()
        found = truth.differences(site)
        if not found:
            return truth.sums(site) + _marks(site)
        if time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def _marks(site: Site) -> list[str]:
    """Return losses that were said though nothing was lost.

    Where Redis is lost between two records whose indexes are apart, nobody can tell whether there was one more.
    """
    with closing(connect(site.redis.url, 5.0)) as client:
        streams = RedisRecordStreams(client)
        said = [loss for mdt in site.mdts for loss in streams.continuity(mdt)]
    return [f"said as lost: {loss}" for loss in said if site.lustre is None or site.lustre.logged_between(loss)]


def _end(site: Site) -> list[str]:
    """Stop every part, and return what is left over."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline and (found := _jobs(site)):
        time.sleep(0.2)
    found = _jobs(site)
    site.stop_parts()
    shutil.rmtree(site.temporary)  # staging folders of what was killed with its keeper
    site.temporary.mkdir()
    while (left := site.left()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found + [f"left: {each}" for each in left]


def _jobs(site: Site) -> list[str]:
    """Return keys of Redis that must not be there when nothing is to be done."""
    try:
        with closing(connect(site.redis.url, 5.0)) as client:
            found = [bytes(key).decode() for key in client.scan_iter(count=1000)]
            return [
                f"left in Redis: {key}"
                for key in found
                if key.startswith(("rq:queue:", "le:result:waiting", "le:request:")) and client.type(key) == b"list"
                and client.llen(key) and not key.endswith(":intermediate")  # RQ's maintenance cleans that, later
            ]  # fmt: skip
    except LustreEventsError as exc:
        return [str(exc)]


def _keep(site: Site) -> None:
    """Keep what explains a failure."""
    kept = site.disk.parent / "kept"
    kept.mkdir()
    for path in site.disk.glob("index.db*"):
        shutil.copy(path, kept)
    shutil.copy(site.config, kept)
    for pid in [each.pid for each in site.processes()]:
        kill(pid)
