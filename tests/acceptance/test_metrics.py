"""`lustre-events metrics` gives Prometheus what the processes publish."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.inspect.metrics import METRICS, PREFIX, families
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams.connection import connect
from lustre_events.streams.continuity import lose
from lustre_events.streams.interface import Loss
from tests.support.need import need
from tests.support.records import captures
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.service.statuses import status_of

MDT = "lustre-MDT0000"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Path]:
    """Give the settings of a small service that has replayed a recording and lost a record."""
    with RedisServer(tmp_path / "redis", program=need("redis-server")) as redis:
        path = tmp_path / "settings.toml"
        path.write_text(f'[redis]\nurl = "{redis.url}"\n[index]\nurl = "sqlite:///{tmp_path}/index.db"\n')
        replayed = lustre_events("replay", captures.CAPTURES / "01-basic-allmask", "--config", path)
        assert replayed.returncode == 0, replayed.stderr.decode()
        lose(connect(redis.url, 5), Loss(MDT, 1, 5, 9, time.time_ns(), "a test", False))
        yield path


def values(text: str) -> dict[str, float]:
    """Return the samples of a scrape."""
    rows = re.findall(r"^(\w+(?:\{.*?\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def test_metrics_tell_of_records_and_losses(settings: Path) -> None:
    """Reader, dispatcher and index are there, and a loss of records is a number to alert on."""
    done = lustre_events("metrics", "--config", settings)

    found = values(done.stdout.decode())
    assert found[f'{PREFIX}reader_records_stored_total{{mdt="{MDT}"}}'] == 87
    assert found[f'{PREFIX}reader_behind{{mdt="{MDT}"}}'] == 0
    assert found[f'{PREFIX}reader_continuity_lost{{mdt="{MDT}"}}'] == 1
    assert found[f'{PREFIX}reader_waiting{{mdt="{MDT}"}}'] == 0
    assert found[f'{PREFIX}dispatcher_events_total{{event="records"}}'] == 92
    assert found[f"{PREFIX}index_objects"] > 0


def test_metrics_are_served_until_stopped(settings: Path) -> None:
    """--listen answers HTTP, and SIGTERM ends it cleanly."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    argv = [sys.executable, "-P", "-m", "lustre_events", "metrics", "--config", str(settings)]
    process = subprocess.Popen(
        [*argv, "--listen", f"127.0.0.1:{port}"], env=clean_environment(), cwd=REPOSITORY, stderr=subprocess.PIPE
    )

    text = _scraped(f"http://127.0.0.1:{port}/metrics")
    process.terminate()
    _, said = process.communicate(timeout=15)

    assert f"{PREFIX}reader_stored_index" in text
    assert process.returncode == 0, said.decode()


def _scraped(url: str) -> str:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_wrong_address_gives_one_sentence(settings: Path) -> None:
    """An address that is none is refused with an example."""
    done = lustre_events("metrics", "--config", settings, "--listen", "nine")

    assert done.returncode == 2
    assert b"127.0.0.1:9464" in done.stderr


def test_every_metric_is_explained_and_waiting_is_a_number() -> None:
    """Each metric that can be given has a line in METRICS; a reader held back by memory shows as waiting."""
    status = status_of({
        "time_ns": 10,
        "index": {
            "objects": 1, "tombstones": 0, "pending": {"write": 2}, "oldest_due_ns": {"write": 4}, "documents": {},
            "failures": {}, "bytes": 4096,
            "counters": {"records": 3, "extractor:t:ok": 3, "extractor:t:failed": 1, "extractor:t:le:0.1": 3,
                         "extractor:t:le:+Inf": 1, "extractor:t:us": 7_500_000},
        },
        "problems": [], "rules_problems": ["r.toml: no"], "extractors": {"t": {"suspended": "", "disabled": False}},
        "mdts": {MDT: {"waiting": "Redis is nearly full", "memory_share": "0.950", "losses": []}},
        "groups": {"g": {"behind": {MDT: 3}, "lost": []}},
        "history": {"updated_ns": 4, "bytes": 7, "oldest_ns": 3, "newest_ns": 4, "waiting": "no room", "behind": 9},
        "rq": {"queues": {"default": {"waiting": 1}}, "workers": []},
        "indexers": {"waiting": 5, "indexers": {"n1.1": {"alive_ns": 9, "documents": 8}}},
        "actions": {"runs": {"tell": {"dead": 2, "waiting": 3}, "alice/a": {"dead": 1}, "bob/b": {"dead": 4}},
                    "rules": {"tell": {"done": 7, "p99_seconds": 1.5, "last_error_ns": 4}}, "held": [
            {"kind": "endpoint", "name": "here", "why": "it answered 404", "since_ns": 1}
        ], "failing": ["there"], "deliveries_waiting": 4, "courier_silent_seconds": 20.0},
    })  # fmt: skip

    found = {family.name: family for family in families(status)}

    assert {name.removeprefix(PREFIX) for name in found} == set(METRICS)
    assert [(*sample.labels.values(), sample.value) for sample in found[f"{PREFIX}action_runs"].samples] == [
        ("tell", "dead", 2), ("tell", "waiting", 3), ("(users)", "dead", 5),
    ]  # fmt: skip
    assert [sample.value for sample in found[f"{PREFIX}action_done"].samples] == [7]
    assert [sample.value for sample in found[f"{PREFIX}action_held"].samples] == [0, 1]
    assert [sample.value for sample in found[f"{PREFIX}reader_waiting"].samples] == [1]
    assert [sample.value for sample in found[f"{PREFIX}history_waiting"].samples] == [1]
    assert [sample.value for sample in found[f"{PREFIX}history_behind"].samples] == [9]
    assert [sample.value for sample in found[f"{PREFIX}redis_memory_share"].samples] == [0.95]
    assert [sample.labels for sample in found[f"{PREFIX}dispatcher_events"].samples] == [{"event": "records"}]
    took = {(sample.name.removeprefix(f"{PREFIX}extractor_file_seconds"), sample.labels.get("le")): sample.value
            for sample in found[f"{PREFIX}extractor_file_seconds"].samples}  # fmt: skip
    assert (took["_bucket", "0.05"], took["_bucket", "0.1"], took["_bucket", "60"]) == (0, 3, 3)
    assert (took["_bucket", "+Inf"], took["_count", None], took["_sum", None]) == (4, 4, 7.5)
    assert [sample.value for sample in found[f"{PREFIX}extractor_suspended"].samples] == [1]
