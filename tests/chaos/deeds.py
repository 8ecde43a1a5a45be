"""What is done to a site: each deed says how many processes it killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.site import Site, fill, kill_server
from tests.support.service.service import kill

PAUSE_SECONDS = 3.0
"""Longest time that a process stands still: the leases are of one second."""
FULL_SECONDS = 1.5


class Deeds:
    """Random deeds on a site, which its `chance` chooses; `paused` are processes that stand still until a time."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site, self.chance = site, chance
        self.paused: dict[int, float] = {}
        self.done: Counter[str] = Counter()
        self._choices: list[Callable[[], int]] = [
            *[self.kill_part] * 14, *[self.kill_job] * 5, *[self.pause] * 4, self.kill_redis, self.kill_redis,
            self.kill_all,
        ]  # fmt: skip
        if site.postgresql is not None:
            self._choices += [self.kill_postgresql]
        self._rare: list[Callable[[], int]] = [self.fill_disk]
        if site.kind.clear_after == "committed":
            self._rare.append(self.lose_redis)

    def one(self) -> int:
        """Do one deed and return how many processes it killed."""
        deed = self.chance.choice(self._rare if self.chance.random() < 0.01 else self._choices)
        killed = deed()
        self.done[deed.__name__] += 1
        self.go_on()
        return killed

    def go_on(self, *, all_of_them: bool = False) -> None:
        """Let those processes continue whose pause is over."""
        for pid, until in list(self.paused.items()):
            if all_of_them or time.monotonic() > until:
                kill(pid, signal.SIGCONT)
                del self.paused[pid]

    def kill_part(self) -> int:
        """Kill a reader, a dispatcher, an indexer, a worker, or one of their standbys."""
        name = self.chance.choice([*self.site.parts])
        process = self.site.parts[name]
        if process.poll() is not None:
            return 0
        kill(process.pid)
        process.wait(10)
        return 1

    def kill_job(self) -> int:
        """Kill what a worker runs: its job, or the extractor; sometimes with the worker."""
        name = self.chance.choice(("worker", "builtin"))
        found = self.site.processes_of(name)
        if not found:
            return 0
        victims = [self.chance.choice(found)]
        if self.chance.random() < 0.3:
            victims.append(self.site.parts[name].pid)
        for pid in victims:
            kill(pid)
        return len(victims)

    def kill_redis(self) -> int:
        """Kill Redis; it comes back some time later."""
        self.site.redis.kill()
        time.sleep(self.chance.uniform(0, 0.3))
        self.site.start_redis()
        return 1

    def lose_redis(self) -> int:
        """Kill Redis, and lose all that it had: the MDTs still have what is not in the index."""
        self.site.redis.kill()
        shutil.rmtree(self.site.redis.directory)
        self.site.start_redis()
        return 1

    def kill_postgresql(self) -> int:
        """Kill all of PostgreSQL, or one of its processes, after which it recovers by itself."""
        server = self.site.postgresql
        assert server is not None
        if server.pid is None:
            return 0
        children = [each.pid for each in self.site.all_processes() if each.parent == server.pid]
        if self.chance.random() < 0.5 and children:
            kill(self.chance.choice(children))
            return 1
        kill(server.pid, signal.SIGSTOP)
        killed = kill_server(server.pid, children)
        server.kill()
        time.sleep(self.chance.uniform(0, 0.3))
        server.start()
        return killed

    def kill_all(self) -> int:
        """Kill everything but the servers at once, as when a node loses its power."""
        pids = [each.pid for each in self.site.processes() if each.pid != self.site.redis.pid]
        for pid in pids:
            kill(pid)
        return len(pids)

    def pause(self) -> int:
        """Let a process stand still, perhaps for longer than its lease."""
        pids = [process.pid for process in self.site.parts.values() if process.poll() is None]
        pids += [self.site.redis.pid] if self.chance.random() < 0.2 else []
        pid = self.chance.choice(pids or [os.getpid()])
        if pid != os.getpid():
            kill(pid, signal.SIGSTOP)
            self.paused[pid] = time.monotonic() + self.chance.uniform(0.05, PAUSE_SECONDS)
        return 0

    def fill_disk(self) -> int:
        """Fill the disk under index and Redis for a moment."""
        filler = fill(self.site.disk)
        time.sleep(self.chance.uniform(0.2, FULL_SECONDS))
        filler.unlink(missing_ok=True)
        return 0
