"""The service as a site runs it, on a tree of files that changes, for tests that kill parts of it or stop it.

Everything that a `Service` starts carries its mark in the environment, or names its folder on the command
line (extractors get an environment of their own), and so can be found and counted.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import signal
import stat
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lustre_events.errors import LustreEventsError
from lustre_events.index import open_search
from lustre_events.index.search.search import MAX_PAGE
from lustre_events.node.redis_server import RedisServer
from tests.support.servers.redis import login, start_kind
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.service.images import EXTRACTORS
from tests.support.waiting import wait_for

MARK = "TESTS_SERVICE_MARK"
WAIT_SECONDS = 120.0
RULES = '[[rule]]\nname = "tables"\nextensions = ["csv", "json"]\nextractor = "tabular"\n'
PARTS = {
    "reader": ("lustre_events", "reader", "--mdt", "local-MDT0000"),
    "dispatcher": ("lustre_events", "dispatcher"),
    "worker": ("lustre_events", "worker"),
    "builtin": ("lustre_events", "worker", "--instance", "builtin"),
}


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it; `words` is its command line, `start` tells it from others of that pid."""

    pid: int
    parent: int
    start: int
    words: tuple[str, ...]


class Service:
    """A watched tree, settings, and the processes that this started; a context manager that ends them all."""

    def __init__(self, folder: Path, *, runtime: str = "process", images: Path | str = "", **tables: str) -> None:
        """Choose where; `tables` are more lines of TOML for the sections of the settings."""
        self.files, self.temporary, self.log = folder / "files", folder / "tmp", folder / "service.log"
        self.extractors = folder / "extractors"
        for made in (self.files, self.temporary, self.extractors):
            made.mkdir()
            made.chmod(0o755)
        self.index = f"sqlite:///{folder / 'index.db'}"
        self.config = folder / "settings.toml"
        (folder / "rules.toml").write_text(RULES + tables.pop("rules", ""))
        lines = {
            "filesystem": f'source = "directory"\nmount = "{self.files}"\nstate = "{folder}/state"\n',
            "index": f'url = "{self.index}"\n',
            "reader": "lease_seconds = 1.0\nlinger_ms = 5\nclear_interval_seconds = 0.2\n",
            "dispatcher": f'rules = "{folder}/rules.toml"\nsettle_seconds = 0.1\n'
            "lease_seconds = 1.0\njob_lease_seconds = 1.0\nretry_seconds = 0.1\nattempts = 30\n",
            "worker": f'runtime = "{runtime}"\nimages = "{images}"\nworker_ttl_seconds = 3\n'
            f'extractors = ["{EXTRACTORS}", "{self.extractors}"]\n',
        }  # fmt: skip
        text = "".join(f"[{name}]\n{body}{tables.pop(name, '')}" for name, body in lines.items())
        self.config.write_text(text)
        self._mark = uuid.uuid4().hex
        self._seen: set[tuple[int, int]] = set()
        self._folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self.redis, self.redis_kind = RedisServer(folder / "redis"), "redis"
        self.parts: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, *words: str, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start `python -P -m WORDS...` with our settings; WORDS may name a module of tests."""
        added = {"LUSTRE_EVENTS_CONFIG": str(self.config), "TMPDIR": str(self.temporary), MARK: self._mark,
                 "PYTHONPATH": str(REPOSITORY)}  # fmt: skip
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [*prefix, sys.executable, "-P", "-m", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True,
                env=clean_environment(added | dict(environment or {})),
            )  # fmt: skip
        self._children.append(child)
        return child

    def start_redis(self) -> None:
        """Start the Redis of the parts (`redis_kind` is one of servers.KINDS), on the data that it has."""
        self.redis = start_kind(self._folder / "redis", self.redis_kind)

    def start_part(self, name: str, *words: str) -> None:
        """Start one of PARTS (or WORDS in its place) as a process, with its login at the Redis of `start_redis`."""
        self.parts[name] = self.start(
            *(words or PARTS[name]),
            environment={"LUSTRE_EVENTS_REDIS_URL": login(self.redis, "worker" if name == "builtin" else name)},
        )

    def keep_running(self) -> None:
        """Start every part that has ended again, as systemd does."""
        for name, process in self.parts.items():
            if process.poll() is not None:
                self.start_part(name)

    def run(self) -> subprocess.Popen[bytes]:
        """Start `lustre-events run`."""
        return self.start("lustre_events", "run")

    def processes(self) -> list[Process]:
        """Return everything that runs for this service: what carries its mark, and what that has started."""
        running = list(all_processes())
        ours = [each for each in running if self._is_ours(each) or (each.pid, each.start) in self._seen]
        found = {each.pid for each in ours}
        while children := [each for each in running if each.parent in found and each.pid not in found]:
            ours += children
            found |= {each.pid for each in children}
        self._seen |= {(each.pid, each.start) for each in ours}
        return ours

    def find(self, *words: str, parent: int | None = None) -> list[int]:
        """Return the ids of our processes with these words in their command line (and that parent)."""
        return [
            each.pid
            for each in self.processes()
            if all(any(word in part for part in each.words) for word in words) and parent in (None, each.parent)
        ]

    def kill_all(self) -> None:
        """Kill everything, at once as far as that is possible."""
        while pids := [process.pid for process in self.processes()]:
            for pid in pids:
                kill(pid)
            self.reap()

    def reap(self) -> None:
        """Take leave of children that have ended."""
        for child in self._children:
            child.poll()

    def left(self) -> list[str]:
        """Return what a stopped service must not leave: processes, staging folders, sockets, mounts."""
        self.reap()
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self._folder) in line]
        sockets = [str(path) for path in self._folder.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
        return [*map(str, self.processes()), *mounts, *sockets, *map(str, self.temporary.iterdir())]

    def differences(self) -> list[str]:
        """Return in what the index differs from the files as they are now; nothing: it has converged."""
        try:
            with open_search(self.index) as search:
                stats, hits = search.stats(), search.search("*", limit=MAX_PAGE)
        except LustreEventsError as exc:
            return [str(exc)]
        found = [f"{name}: {table}" for name, table in
                 (("pending", stats.pending), ("failures", stats.counts.failures)) if table]  # fmt: skip
        truth = files_of(self.files)
        seen: dict[frozenset[bytes], object] = {}
        for hit in hits:
            names = frozenset(hit.paths)
            if names == {b""}:
                continue
            if names in seen:
                found.append(f"two objects at {sorted(names)}")
            seen[names] = hit
            fact = truth.get(names)
            if fact is None:
                found.append(f"no such file: {sorted(names)}, {hit.fid}")
                continue
            rows = hit.documents.get("tabular", {}).get("rows")
            if hit.size != fact.size:
                found.append(f"{sorted(names)} has {fact.size} bytes, the index says {hit.size}")
            if rows != fact.rows:
                found.append(f"{sorted(names)} has {fact.rows} rows, its document {rows}")
        found += [f"not in the index: {sorted(names)}" for names in truth.keys() - seen.keys()]
        return found

    def converge(self, hint: str, *, seconds: float = WAIT_SECONDS, keep_running: bool = False) -> None:
        """Wait until the index says what the files are, and no work is left; else fail with `hint` and why."""

        def converged() -> bool:
            if keep_running:
                self.keep_running()
            return not self.differences()

        wait_for(converged, seconds, lambda: "\n".join([hint, *self.differences()[:30], self.last_words()]))

    def last_words(self, characters: int = 6_000) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.stop()
        self.kill_all()
        for child in self._children:
            child.wait(60)

    def _is_ours(self, process: Process) -> bool:
        if _has_mark(process, self._mark):
            return True
        # Extractors in a container, and their runtime, have another environment but name our folder.
        return any(str(self._folder) in word for word in process.words) and process.pid != os.getpid()


def catches_sigterm(pid: int) -> bool:
    """Whether a process has come so far that it handles SIGTERM: before that it just ends, with nothing to lose."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(caught >> signal.SIGTERM - 1 & 1)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process, if it still lives."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def processes_with(mark: str) -> list[Process]:
    """Return the processes with this MARK in their environment."""
    return [process for process in all_processes() if _has_mark(process, mark)]


def _has_mark(process: Process, mark: str) -> bool:
    try:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def all_processes() -> Iterator[Process]:
    """Yield every process of this machine that has not ended."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_bytes().rpartition(b")")[2].split()
            words = os.fsdecode((path / "cmdline").read_bytes()).split("\0")[:-1]
        except OSError:
            continue
        if fields[0] not in {b"Z", b"X"}:
            yield Process(int(path.name), int(fields[1]), int(fields[19]), tuple(words))


@dataclass(frozen=True, slots=True)
class Fact:
    """What is true of a file: its size in bytes and, of a table, its rows."""

    size: int
    rows: int | None


def files_of(top: Path) -> dict[frozenset[bytes], Fact]:
    """Return the truth: every object below `top` by all of its paths."""
    names: dict[tuple[int, int], set[bytes]] = defaultdict(set)
    facts: dict[tuple[int, int], Fact] = {}
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = Path(folder) / name
            found = path.lstat()
            key = (found.st_dev, found.st_ino)
            names[key].add(os.fsencode(path.relative_to(top)))
            facts[key] = Fact(found.st_size, rows_of(path))
    return {frozenset(names[key]): fact for key, fact in facts.items()}


def rows_of(path: Path) -> int | None:
    """Return how many rows a table has; None of what is no table."""
    if path.suffix == ".csv":
        return len(list(csv.reader(path.read_text().splitlines()))) - 1
    return len(json.loads(path.read_text())) if path.suffix == ".json" else None


class Churn:
    """Random operations on the files below a folder, as users do them; the same for the same `seed`."""

    def __init__(self, top: Path, seed: int) -> None:
        self._top = top
        self._seed = seed
        self._chance = random.Random(seed)
        self._number = 0

    def step(self) -> None:
        """Do one operation."""
        files = sorted(path for path in self._top.rglob("*") if path.is_file())
        folders = [self._top, *sorted(path for path in self._top.rglob("*") if path.is_dir())]
        deeds: list[Callable[[list[Path], list[Path]], None]] = [self._create, self._create]
        if len(folders) < 8:
            deeds.append(self._make_folder)
        if len(folders) > 3:
            deeds.append(self._rename_folder)
        if len(files) > 3:
            deeds += [self._rewrite, self._rewrite, self._rename, self._replace, self._link]
        if len(files) > 15:
            deeds += [self._remove] * 4
        self._chance.choice(deeds)(files, folders)

    def write(self, path: Path) -> None:
        """Write a file of the kind that its name says, with a new size."""
        rows = self._chance.randrange(1, 60)
        if path.suffix == ".csv":
            text = io.StringIO(newline="")
            csv.writer(text).writerows([["step", "value"], *([row, self._chance.random()] for row in range(rows))])
            path.write_text(text.getvalue())
        elif path.suffix == ".json":
            path.write_text(json.dumps([{"step": row, "energy": row / 7} for row in range(rows)]))
        else:
            path.write_text("x" * rows)

    def _name(self, suffix: str) -> str:
        self._number += 1
        return f"{self._seed}-{self._number}{suffix}"

    def _create(self, _: list[Path], folders: list[Path]) -> None:
        suffix = self._chance.choice([".csv", ".json", ".md"])
        self.write(self._chance.choice(folders) / self._name(suffix))

    def _make_folder(self, _: list[Path], folders: list[Path]) -> None:
        (self._chance.choice(folders) / self._name("")).mkdir()

    def _rename_folder(self, _: list[Path], folders: list[Path]) -> None:
        source = self._chance.choice(folders[1:])
        target = self._chance.choice([each for each in folders if not each.is_relative_to(source)])
        source.rename(target / self._name(""))

    def _rewrite(self, files: list[Path], _: list[Path]) -> None:
        self.write(self._chance.choice(files))

    def _rename(self, files: list[Path], folders: list[Path]) -> None:
        source = self._chance.choice(files)
        source.rename(self._chance.choice(folders) / self._name(source.suffix))

    def _replace(self, files: list[Path], _: list[Path]) -> None:
        source, target = self._chance.sample(files, 2)
        if source.suffix == target.suffix:
            source.rename(target)

    def _link(self, files: list[Path], folders: list[Path]) -> None:
        source = self._chance.choice(files)
        if source.stat().st_nlink < 4:
            (self._chance.choice(folders) / self._name(source.suffix)).hardlink_to(source)

    def _remove(self, files: list[Path], _: list[Path]) -> None:
        self._chance.choice(files).unlink()
