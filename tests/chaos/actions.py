"""`python -m tests.chaos.actions`: every role of a site with actions is killed, and what arrived is compared.

A file that is made arrives as created, one that goes as removed, whatever was killed meanwhile; what arrives again
has the key that it had before. At the end no run is open or dead, and the counters of runs add up. With
`--postgresql` the index is one of a server, which is killed, too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import click
import psycopg

from bench.postgresql_server import PostgreSQLServer
from lustre_events.domain.action_run import DEAD, ENDS, OPEN
from tests.support.servers.http import Listener, listening
from tests.support.service.service import PARTS, Service, all_processes, catches_sigterm
from tests.support.waiting import came_true

RULE = """
[[rule]]
name = "tell"
on = ["created", "removed"]
extensions = ["dat"]
action = "webhook"
endpoint = "hook"
batch = 5
settle_seconds = 0.1
"""
ENDPOINT = '[endpoint.hook]\nkind = "webhook"\nurl = "{url}"\nprivate = true\ntimeout_seconds = 0.3\nat_once = 1\n'
TARGETS = ("courier", "dispatcher", "redis", "builtin", "reader")
POSTGRESQL_TARGETS = (*TARGETS, "postgresql")
KILLS_BETWEEN_LOOKS = 100
FILES_PER_KILL = 6
KEPT = 12
"""More files than this, and those that have arrived go."""
CONVERGE_SECONDS = 300.0
"""A run waits for up to a quarter of its age until it looks again for facts that came late: it is not lost then."""
MOST_DOWN_SECONDS = 0.3
START_SECONDS = 40.0

Event = tuple[str, str]
"""What happened, and the path."""


@dataclass
class Account:
    """What was done and found."""

    kills: Counter[str] = field(default_factory=Counter)
    events: int = 0
    repeats: int = 0
    wrong: list[str] = field(default_factory=list)


class ActionSite:
    """A service whose courier tells a listener of this process; a context manager.

    `postgresql`: a server with an empty database, whose index it uses; None: SQLite.
    """

    def __init__(self, folder: Path, postgresql: PostgreSQLServer | None = None) -> None:
        self._stack = ExitStack()
        self._postgresql = postgresql
        self.listener: Listener = self._stack.enter_context(listening())
        endpoints = folder / "endpoints.toml"
        endpoints.write_text(ENDPOINT.format(url=self.listener.url))
        self.service = self._stack.enter_context(Service(folder, rules=RULE))
        config = self.service.config
        settings = config.read_text() + f'[actions]\nendpoints = "{endpoints}"\n'
        if postgresql is not None:
            settings = settings.replace(self.service.index, postgresql.url())
        config.write_text(settings)
        self._index = folder / "index.db"
        self._key = folder / "state" / "actions.key"
        self._read = 0
        self.keys: dict[Event, list[str]] = defaultdict(list)
        """The keys under which each event has arrived, once for each time."""
        self.wanted: set[Event] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> str:
        """Start every part, and wait until the rule is active; return what is wrong, if anything is."""
        self.service.start_redis()
        for name in PARTS:
            self.service.start_part(name)
        if not came_true(self._key.is_file, START_SECONDS):
            return "the dispatcher made no key"
        self._start_courier()
        return "" if came_true(self._probed, START_SECONDS) else "nothing arrives before anything was killed"

    def _start_courier(self) -> None:
        self.service.start_part("courier", "lustre_events", "courier")

    def _probed(self) -> bool:
        (self.service.files / f"probe{time.monotonic_ns()}.dat").write_text("1")
        time.sleep(0.2)
        self.read()
        return bool(self.keys)

    def read(self) -> None:
        """Take note of what has arrived since the last time."""
        bodies = self.listener.bodies()
        for body in bodies[self._read :]:
            found = json.loads(body)
            for event in found if isinstance(found, list) else [found]:
                self.keys[event["data"]["trigger"], event["data"]["path"]].append(event["id"])
        self._read = len(bodies)

    def change(self, number: int) -> None:
        """Make a file; let an old one go that has arrived, where there are many."""
        self.read()
        (self.service.files / f"{number}.dat").write_text("1")
        self.wanted.add(("created", f"/{number}.dat"))
        there = sorted(self.service.files.glob("[0-9]*.dat"), key=lambda path: int(path.stem))
        if len(there) > KEPT and ("created", f"/{there[0].name}") in self.keys:
            there[0].unlink()
            self.wanted.add(("removed", f"/{there[0].name}"))

    def kill(self, target: str, seconds: float) -> None:
        """Kill a part, and start it again after a while; all that has ended with it, too."""
        service = self.service
        if target == "redis":
            service.redis.kill()
        elif target == "postgresql":
            self._kill_postgresql(seconds)
        else:
            service.parts[target].kill()
            service.parts[target].wait(10)
        time.sleep(seconds)
        if target == "redis":
            service.start_redis()
        for name, process in service.parts.items():
            if process.poll() is None:
                continue
            if name == "courier":
                self._start_courier()
            else:
                service.start_part(name)

    def _kill_postgresql(self, seconds: float) -> None:
        """Kill one process of the server, after which it recovers by itself, or the first one with all others."""
        server = self._postgresql
        assert server is not None
        children = [each.pid for each in all_processes() if each.parent == server.pid]
        if children and seconds < MOST_DOWN_SECONDS / 2:
            with suppress(ProcessLookupError):
                os.kill(children[0], signal.SIGKILL)
        else:
            server.kill()
            time.sleep(seconds)
            server.start()

    @property
    def targets(self) -> tuple[str, ...]:
        """What can be killed."""
        return TARGETS if self._postgresql is None else POSTGRESQL_TARGETS

    def look(self, seconds: float = CONVERGE_SECONDS) -> list[str]:
        """Return what is wrong once everything has had its time."""
        came_true(self._converged, seconds)
        self.read()
        lost = sorted(f"lost: {what} {path}" for what, path in self.wanted - self.keys.keys())
        again = [
            f"{event} has the keys {sorted(set(keys))}" for event, keys in self.keys.items() if len(set(keys)) > 1
        ]
        strange = sorted(
            f"nobody did this: {what} {path}"
            for what, path in self.keys.keys() - self.wanted
            if not path.startswith("/probe")
        )
        return lost + again + strange + self._sums()

    def _converged(self) -> bool:
        self.read()
        for name, process in self.service.parts.items():
            if process.poll() is not None:
                self._start_courier() if name == "courier" else self.service.start_part(name)
        return self.wanted <= self.keys.keys() and not self._open()

    def _rows(self, question: str) -> list[tuple[str, int]]:
        if self._postgresql is None:
            with closing(sqlite3.connect(f"file:{self._index}?mode=ro", uri=True)) as connection:
                return connection.execute(question).fetchall()
        with psycopg.connect(self._postgresql.url()) as session:
            return session.execute(question.encode()).fetchall()

    def _states(self) -> Counter[str]:
        return Counter(dict(self._rows("SELECT state, count(*) FROM run GROUP BY state")))

    def _open(self) -> int:
        return sum(count for state, count in self._states().items() if state in OPEN)

    def _sums(self) -> list[str]:
        """Return what is wrong with the ledger: runs that are open or dead, sums that do not add up."""
        states = self._states()
        wrong = [f"{states[state]} runs are {state}" for state in (*OPEN, DEAD) if states[state]]
        counted = Counter(dict(self._rows("SELECT name, value FROM counter WHERE name LIKE 'runs_%'")))
        begun = counted["runs_made"] + counted["runs_reopened"]
        ended = sum(counted[f"runs_{end}"] for end in ENDS) + counted["runs_forgotten"]
        if begun != ended + sum(states[state] for state in OPEN):
            wrong.append(f"the counters of runs do not add up: {dict(counted)}, {dict(states)}")
        return wrong

    def end(self) -> list[str]:
        """Stop every part; return those that did not end well."""
        for process in self.service.parts.values():
            came_true(partial(catches_sigterm, process.pid), START_SECONDS)
            process.terminate()
        ends = {name: process.wait(30) for name, process in self.service.parts.items()}
        self.service.redis.stop()
        return [f"{name} ended with {code}" for name, code in ends.items() if code]


def run(site: ActionSite, kills: int, seed: int) -> Account:
    """Kill this number of parts while files come and go, and compare every hundred kills and at the end."""
    account, chance, number = Account(), random.Random(seed), 0
    failed = site.start()
    account.wrong = [failed] if failed else []
    while account.kills.total() < kills and not account.wrong:
        for _ in range(FILES_PER_KILL):
            site.change(number)
            number += 1
            time.sleep(chance.uniform(0.0, 0.06))
        done = account.kills.total()
        targets = site.targets
        target = targets[done % len(targets)] if kills <= len(targets) * 2 else chance.choice(targets)
        site.kill(target, chance.uniform(0.0, MOST_DOWN_SECONDS))
        account.kills[target] += 1
        if (done + 1) % KILLS_BETWEEN_LOOKS == 0:
            account.wrong = site.look()
            click.echo(f"seed {seed}: {done + 1} kills, {len(site.keys)} events, {len(account.wrong)} wrong")
    account.wrong = account.wrong or [*site.look(), *site.end()]
    account.events = len(site.keys)
    account.repeats = sum(len(keys) - 1 for keys in site.keys.values())
    return account


def main() -> int:
    """Do one run, tell about it, and return 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.actions", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="repeat what this seed chose; 0: a new one")
    parser.add_argument("--postgresql", action="store_true", help="with an index in PostgreSQL, not SQLite")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lustre-events-chaos-") as folder, ExitStack() as stack:
        place = Path(folder)
        place.chmod(0o755)
        server = stack.enter_context(PostgreSQLServer()) if options.postgresql else None
        with ActionSite(place, server) as site:
            account = run(site, options.kills, seed)
            if account.wrong:
                click.echo("\n".join([f"wrong, seed {seed}:", *account.wrong[:20], site.service.last_words()]))
    click.echo(
        f"{account.kills.total()} kills in {time.monotonic() - began:.0f} s {dict(account.kills)}; {account.events}"
        f" events, {account.repeats} repeated; {len(account.wrong)} faults"
    )
    return 1 if account.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
