"""Recorded changelogs through reader, stream, dispatcher and index; without workers, since there are no files."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from lustre_events.config.settings import DispatcherSettings, Settings
from lustre_events.dispatcher import Dispatcher
from lustre_events.domain.namespace import mdt_number
from lustre_events.domain.rules import rules
from lustre_events.errors import ConfigError
from lustre_events.index import open_writer
from lustre_events.jobs.messages import Job
from lustre_events.node.redis_server import RedisServer
from lustre_events.reader import Reader
from lustre_events.sources import replay
from lustre_events.streams.connection import connect
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.streams.results import RedisResults
from lustre_events.streams.safety import check_safe


class NoJobs:
    """Queues that are always full: a recording has no files behind it, so its work stays pending."""

    def length(self, queue: str) -> int:  # noqa: ARG002
        """Return more than any limit."""
        return sys.maxsize

    def still_waiting(self, queue: str, job_ids: Collection[str]) -> set[str]:  # noqa: ARG002
        """Return none."""
        return set()

    def unfinished(self, job_ids: Collection[str]) -> set[str]:  # noqa: ARG002
        """Return none."""
        return set()

    def was_full(self, queue: str, since_ns: int) -> bool:  # noqa: ARG002
        """Return that it was not."""
        return False

    def enqueue(self, queue: str, jobs: Sequence[Job]) -> None:
        """Refuse."""
        raise ConfigError(f"{len(jobs)} jobs for {queue}: a replay has no files to run extractors on")


def recordings(folder: Path | None, files: Mapping[str, Path]) -> dict[str, Path]:
    """Return which file to replay for which MDT.

    Raises:
        ConfigError: there is nothing to replay, a file is missing, or a name is no MDT's.
    """
    found = {**(replay.discover(folder) if folder else {}), **files}
    if not found:
        raise ConfigError("nothing to replay; name a folder of recordings, or files with --mdt lustre-MDT0000=FILE")
    for mdt, path in found.items():
        mdt_number(mdt)
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
    return found


def replay_files(
    settings: Settings, index_url: str, files: Mapping[str, Path], *, sequential: bool
) -> dict[str, int]:
    """Put recordings through reader, stream, dispatcher and index, and return the index's counters.

    Raises:
        LustreEventsError: a recording is torn (what is whole before the tear is in the index), or Redis or
            the index is away.
    """
    with contextlib.ExitStack() as stack:
        url = settings.redis.url
        if not url:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lustre-events-replay-"))
            url = stack.enter_context(RedisServer(Path(folder))).url
        client = connect(url, settings.redis.timeout_seconds)
        check_safe(client)
        index = open_writer(index_url)
        stack.callback(index.close)
        consumer = Dispatcher(
            RedisRecordStreams(client),
            RedisResults(client),
            index,
            rules.Rules(),
            NoJobs(),
            [],
            DispatcherSettings(idle_ms=1),
            mdts=files,
        )
        own = replace(settings.reader, user="", linger_ms=0)
        readers = [
            Reader(replay.ReplaySource(mdt, path), RedisReaderStream(client, mdt), own)
            for mdt, path in files.items()
        ]
        for group in [[each] for each in readers] if sequential else [readers]:
            _run_together(group, consumer)
        return index.counters()


def _drain(consumer: Dispatcher) -> None:
    while consumer.step():
        pass


def _run_together(readers: Sequence[Reader], consumer: Dispatcher) -> None:
    with ThreadPoolExecutor(max_workers=len(readers)) as pool:
        running = [pool.submit(each.run) for each in readers]
        while not all(future.done() for future in running):
            consumer.step()
    _drain(consumer)
    for future in running:
        future.result()
