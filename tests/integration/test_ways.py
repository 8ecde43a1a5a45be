"""DESIGN.md leads a record, a search and a job through the house: each of them is sent, and seen to go that way."""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest
from click.testing import CliRunner
from rq import Queue
from rq.serializers import JSONSerializer

from lustre_events.catalog import manifest
from lustre_events.cli.main import cli
from lustre_events.config.settings import DispatcherSettings, ReaderSettings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import DEFAULT_QUEUE
from lustre_events.index import open_writer
from lustre_events.index.interface import Identity
from lustre_events.jobs.messages import BUILTIN_QUEUE, STAT
from lustre_events.jobs.queues import RqQueues
from lustre_events.node.redis_server import RedisServer
from lustre_events.reader import Reader
from lustre_events.repair.replay import NoJobs
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.connection import Client, connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.requests import RedisRequests
from lustre_events.streams.results import RedisResults
from tests.support.index.contents import Contents
from tests.support.model.fakes import MDT, FakeClock
from tests.support.records.builders import START_NS, close, create, raw
from tests.support.servers.redis import emptied
from tests.support.service.command import REPOSITORY
from tests.support.service.images import EXTRACTORS
from tests.support.service.reader_driver import FileSource
from workers import jobs
from workers.context import CURRENT, WorkerContext
from workers.files import Files
from workers.process_runtime import ProcessRuntime

STAND_INS = {
    "tests/support/service/reader_driver.py": "lustre_events/sources/lustre.py",
    "workers/process_runtime.py": "workers/container.py",
}
"""What a test without Lustre and without a container runs in place of a file of the ways."""

DAY_NS = 86_400 * 10**9
RULES = '[[rule]]\nextensions = ["csv"]\nextractor = "tabular"\n'


@dataclass
class Seen:
    """The functions of the packages that ran, by file, and which file called which."""

    functions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    calls: set[tuple[str, str]] = field(default_factory=set)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look at what this thread calls."""
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _argument: object) -> None:
        file = _file(frame) if event == "call" else ""
        name = frame.f_code.co_name
        if not file or name.startswith("<"):
            return
        caller = frame.f_back
        while caller is not None and not _file(caller):
            caller = caller.f_back
        self.functions[file].add(name)
        self.calls.add((_file(caller) if caller is not None else "", file))

    def beyond(self, usual: Seen) -> set[str]:
        """Return the files with a function that did not run in `usual`: what runs anyway is no part of a way."""
        return {file for file, names in self.functions.items() if names - usual.functions.get(file, set())}


def _file(frame: FrameType) -> str:
    path = frame.f_code.co_filename.removeprefix(f"{REPOSITORY}/")
    return STAND_INS.get(path, path if path.startswith(("lustre_events/", "workers/")) else "")


class FullQueues(NoJobs):
    """Queues that take no job, so that a record's way ends with its rows."""

    def length(self, queue: str) -> int:
        """Return more than any limit."""
        return sys.maxsize


@dataclass
class House:
    """A Redis, another one with nothing in it, and a folder with a file and an index."""

    client: Client
    empty: Client
    folder: Path
    opened: ExitStack
    now_ns: int = START_NS + DAY_NS

    @property
    def index(self) -> str:
        """The index that a dispatcher writes."""
        return f"sqlite:///{self.folder}/index.db"

    def dispatcher(self, client: Client, index: str, queues: RqQueues | NoJobs | None = None) -> Dispatcher:
        """Return a dispatcher; without `queues` its jobs go out."""
        writer = open_writer(index)
        self.opened.callback(writer.close)
        return Dispatcher(
            RedisRecordStreams(client),
            RedisResults(client),
            writer,
            parse(RULES, "rules", ("tabular", STAT)),
            queues or RqQueues(client, 60),
            [Identity("tabular", "1", "sha256:1")],
            DispatcherSettings(),
            lambda: self.now_ns,
            requests=RedisRequests(client),
        )

    def read(self, client: Client, records: bytes) -> None:
        """Let a reader store records, to the end."""
        source = FileSource(MDT, records, self.folder / f"cleared{len(records)}")
        clock = FakeClock()
        stream = RedisReaderStream(client, MDT, clock=clock)
        Reader(source, stream, ReaderSettings(user="cl1"), clock=clock, sleep=clock.sleep).run()

    def usual(self) -> Seen:
        """See what a reader and a dispatcher do that have nothing to do."""
        seen = Seen()
        with seen.looking():
            self.read(self.empty, b"")
            dispatcher = self.dispatcher(self.empty, f"sqlite:///{self.folder}/nothing.db")
            for _ in range(3):
                dispatcher.step()
                self.now_ns += DAY_NS
        return seen

    def record(self) -> Seen:
        """See two records of a file go from a source into the index; what they ask for stays pending."""
        (self.folder / "files").mkdir()
        (self.folder / "files" / "a.csv").write_text("time,x\n1,2\n3,4\n")
        fid = fid_of_path(os.fsencode(self.folder / "files" / "a.csv"))
        records = raw(create(fid=fid, name=b"a.csv", index=1), close(fid=fid, index=2))
        dispatcher, seen = self.dispatcher(self.client, self.index, FullQueues()), Seen()
        with seen.looking():
            self.read(self.client, records)
            _settle(dispatcher)
        return seen

    def job(self) -> Seen:
        """See the job for that file go out, run, and its result come into the index."""
        CURRENT.set(
            WorkerContext(
                manifests=manifest.load_all((EXTRACTORS,)),
                runtime=ProcessRuntime(None),
                files=Files(os.fsencode(self.folder / "files"), fid_of_fd),
                results=RedisResults(self.client),
                host="node1",
                job_seconds=50,
            )
        )
        self.now_ns += DAY_NS
        dispatcher, seen = self.dispatcher(self.client, self.index), Seen()
        with seen.looking():
            _settle(dispatcher)
        assert self.work(BUILTIN_QUEUE) == 1  # `stat` has a way of its own
        _settle(dispatcher)
        with seen.looking():
            assert self.work(DEFAULT_QUEUE) == 1
            _settle(dispatcher)
        return seen

    def work(self, name: str) -> int:
        """Run the jobs of a queue as a worker does, and return how many there were."""
        queue = Queue(name, connection=self.client, serializer=JSONSerializer)
        waiting = queue.get_job_ids()
        for job in map(queue.fetch_job, waiting):
            assert job is not None
            jobs.run(*job.args)
            job.delete()
        return len(waiting)


def _settle(dispatcher: Dispatcher) -> None:
    while dispatcher.step():
        pass


def search(folder: Path, usual: Seen) -> Seen:
    """See a search by a key, a path and a fact, of a user without rights; `usual` gets what any command does."""
    with Contents(folder / "searched.db") as contents:
        facts = {"uid": 0, "gid": 0, "generation": 1, "facts_generation": 1, "rights": 1}
        contents.object(0, type="d", mode=0o755, **facts)
        contents.file(1, b"a.csv", {"tabular": {"columns": ["time", "x"]}}, mode=0o644, size=20, **facts)
        contents.execute("COMMIT")
    config = folder / "config.toml"
    config.write_text(
        f'[filesystem]\nsource = "directory"\nmount = "{folder}"\n[index]\nurl = "sqlite:///{folder}/searched.db"\n'
    )
    with usual.looking():
        CliRunner().invoke(cli, ["fields", "--config", str(config), "nothing"])
    seen = Seen()
    with seen.looking():
        query = "columns:time AND path:/** AND size:>1"
        found = CliRunner().invoke(cli, ["search", "--config", str(config), "--as", "nobody", query])
    assert found.stdout == f"{folder}/a.csv\n", found.output
    return seen


@pytest.fixture(scope="module")
def sent(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """What ran for a record, a search and a job; `usual` is what runs without them."""
    url, folder = emptied(shared_redis_server), tmp_path_factory.mktemp("ways")
    with connect(url, 5.0) as client, connect(f"{url}?db=1", 5.0) as empty, ExitStack() as opened:
        house = House(client, empty, folder, opened)
        usual = house.usual()
        found = {"record": house.record(), "job": house.job()}
    return found | {"search": search(folder, usual), "usual": usual}


WAYS = ("record", "search", "job")
TAKEN_UP = {
    f"lustre_events/{file}"
    for file in (
        "reader/loop.py",
        "dispatcher/loop.py",
        "cli/search.py",
        "dispatcher/jobs.py",
        "dispatcher/results.py",
    )
} | {"workers/jobs.py"}
"""Where a process takes it up: its loop, the command, what RQ calls; a job and its result: a step of the loop."""


def designed() -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Return the files of each way by DESIGN.md, in their order, and those that lie between two of them."""
    lines = (REPOSITORY / "DESIGN.md").read_text().splitlines()
    rows = [line.split("|")[2:5] for line in lines if re.match(r"\| \d+ \| `", line)]
    columns = dict(zip(WAYS, zip(*rows, strict=True), strict=True))
    ways = {
        name: [place(file) for cell in column for file in _FILE.findall(cell)] for name, column in columns.items()
    }
    text = "\n".join(lines).partition("What lies between")[2]
    between = {
        name: {
            place(file)
            for file in _FILE.findall(text.partition(f"- A {name}: ")[2].partition("\n-")[0].partition("\n\n")[0])
        }
        for name in WAYS
    }
    return ways, between


_FILE = re.compile(r"`([\w/]+\.py)`")


def place(file: str) -> str:
    """Return a file of DESIGN.md by its path in the repository."""
    return file if (REPOSITORY / file).is_file() else f"lustre_events/{file}"


@pytest.mark.parametrize("name", WAYS)
def test_what_is_sent_goes_the_way_of_the_design(name: str, sent: dict[str, Seen]) -> None:
    """Each file of a way runs, called by another one or what lies between two; nothing else calls them."""
    ways, lie_between = designed()
    way, between, seen = {*ways[name]}, lie_between[name], sent[name]
    ran = seen.beyond(sent["usual"])

    assert way <= seen.functions.keys(), "these do not run"
    callers = {caller for caller, called in seen.calls if called in way} - way
    assert callers & ran <= between, "these lie between, too"
    assert between <= callers, "these do not"
    for file in way - TAKEN_UP:
        callers = {caller for caller, called in seen.calls if called == file} - {file}
        through = {caller for caller, called in seen.calls if called in callers & between}
        assert (callers | through) & way, file
