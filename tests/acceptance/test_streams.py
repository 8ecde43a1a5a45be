"""`tail`, `groups`, `continuity` and `status` on a Redis with recorded changelogs in it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
import redis

from lustre_events import subscribe
from lustre_events.changelog.record import scan
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.streams.connection import connect
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.interface import Block, Loss, Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from lustre_events.streams.records import RedisRecordStreams
from tests.support.model.dispatcher import cut
from tests.support.records import captures
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.waiting import wait_for

MDT0, MDT1 = "lustre-MDT0000", "lustre-MDT0001"
FOLDERS = {MDT0: "02-deeprename-defmask", MDT1: "05-lfs-defmask"}


@dataclass
class Site:
    """A Redis, and readers that store the records of one capture in small blocks."""

    url: str
    client: redis.Redis
    tails: dict[str, Tail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = RedisRecordStreams(self.client)

    def store(self, mdt: str, part: slice = slice(None), size: int = 10) -> None:
        """Store blocks of a capture."""
        reader = self.reader(mdt)
        blocks = cut(captures.read(FOLDERS[mdt], f"{mdt}.nidbe.raw"), [size])
        for data, first, last, count in blocks[part]:
            self.tails[mdt] = reader.append(
                Block(mdt, 1, first, last, count, data), self.tails.get(mdt, Tail(0, 0))
            )

    def reader(self, mdt: str) -> RedisReaderStream:
        """Return the stream of an MDT as its reader sees it."""
        reader = RedisReaderStream(self.client, mdt, token="reader")  # noqa: S106
        assert reader.lease(60)
        return reader

    def run(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run the command on this Redis."""
        done = lustre_events(*arguments, environment={"LUSTRE_EVENTS_REDIS_URL": self.url})
        assert done.returncode == code, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done


@pytest.fixture
def site(redis_url: str) -> Iterator[Site]:
    with connect(redis_url, 5.0) as client:
        yield Site(redis_url, client)


def text_of(mdt: str) -> bytes:
    return captures.read(FOLDERS[mdt], f"{mdt}.txt")


def test_tail_from_start_prints_what_lfs_changelog_printed(site: Site) -> None:
    """Everything in Redis, byte for byte; with several MDTs a line says whose records follow."""
    site.store(MDT0)
    site.store(MDT1)

    assert site.run("tail", "--mdt", MDT1, "--from-start").stdout == text_of(MDT1)
    both = site.run("tail", "--from-start").stdout
    assert both == b"==> %s <==\n" % MDT0.encode() + text_of(MDT0) + b"==> %s <==\n" % MDT1.encode() + text_of(MDT1)


def test_tail_begins_with_the_newest_records(site: Site) -> None:
    """Without --from-start the newest ten records of an MDT are printed, or as many as asked for."""
    site.store(MDT0)
    lines = text_of(MDT0).splitlines()

    assert site.run("tail", "--mdt", MDT0).stdout.splitlines() == lines[-10:]
    assert site.run("tail", "--mdt", MDT0, "-n", "27").stdout.splitlines() == lines[-27:]
    assert site.run("tail", "--mdt", MDT0, "-n", "0").stdout == b""


def test_tail_filters_types_and_prints_json(site: Site) -> None:
    """--types keeps only those, --format json has every field and the MDT; a wrong type names the nearest."""
    site.store(MDT0)
    site.store(MDT1)

    done = site.run("tail", "--types", "renme,MKDIR", "--format", "json", "--from-start")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    expected = sum(b" 08RENME " in line or b" 02MKDIR " in line for mdt in (MDT0, MDT1) for line in lines_of(mdt))
    assert len(rows) == expected >= 5
    assert {row["type_name"] for row in rows} == {"RENME", "MKDIR"}
    assert {row["mdt"] for row in rows} == {MDT0, MDT1}
    assert b"did you mean RENME" in site.run("tail", "--types", "RENAME", code=2).stderr
    assert b"did you mean lustre-MDT000" in site.run("tail", "--mdt", "lustre-MDT000", code=2).stderr


def lines_of(mdt: str) -> list[bytes]:
    return text_of(mdt).splitlines()


def test_tail_follows_until_it_is_interrupted(site: Site, tmp_path: Path) -> None:
    """--follow prints what comes, also of an MDT that appears later, says what it did not see, and ends well."""
    site.store(MDT0, slice(0, 1))
    seen: list[tuple[str, int]] = []
    errors = tmp_path / "stderr"
    with errors.open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "lustre_events", "tail", "--follow", "--format", "json"],
            stdout=subprocess.PIPE, stderr=err, cwd=REPOSITORY,
            env=clean_environment({"LUSTRE_EVENTS_REDIS_URL": site.url}),
        )  # fmt: skip
    with child:
        thread = threading.Thread(target=collect, args=(child.stdout, seen))
        thread.start()
        try:
            wait_for(lambda: len(seen) >= 10, failure=lambda: str(seen))
            site.store(MDT1, slice(0, 2))
            wait_for(lambda: len(seen) >= 30, failure=lambda: str(seen))
            site.store(MDT0, slice(3, 4))
            wait_for(lambda: len(seen) >= 40, failure=lambda: str(seen))
        finally:
            child.send_signal(signal.SIGTERM)
            code = child.wait(20)
        thread.join(20)

    said = errors.read_bytes()
    assert code == 0, said
    assert [mdt for mdt, _ in seen] == [MDT0] * 10 + [MDT1] * 20 + [MDT0] * 10
    assert f"{MDT0}: ".encode() in said
    assert b"not seen" in said


def collect(out: IO[bytes] | None, seen: list[tuple[str, int]]) -> None:
    for line in out or ():
        row = json.loads(line)
        seen.append((row["mdt"], row["index"]))


def test_groups_are_listed_and_removed(site: Site) -> None:
    """`groups list` shows how far each is and what it lost; `groups remove` ends one, once."""
    assert site.run("groups", "list").stdout == b""
    subscribe("audit", site.url).close()
    site.store(MDT0)
    site.streams.acknowledge(MDT0, 1, site.tails[MDT0].last_index)  # with a limit of 0 nothing is kept
    site.store(MDT1)

    text = site.run("groups", "list").stdout.decode()
    found = json.loads(site.run("groups", "list", "--json").stdout)

    assert text.startswith(f"group audit: 0 behind on {MDT0}, 31 behind on {MDT1}; 0 blocks unacknowledged")
    assert f"cut off: lost {MDT0} " in text
    assert found["audit"]["lost"][0]["last_index"] == site.tails[MDT0].last_index
    assert site.run("groups", "remove", "audit").stdout == b"audit: removed\n"
    assert b"no subscriber group audit" in site.run("groups", "remove", "audit", code=5).stderr
    assert RedisGroups(site.client).names() == []


def test_continuity_is_shown_and_accepted(site: Site) -> None:
    """A loss is shown with its range until it is accepted, and stays on record then."""
    site.store(MDT0, slice(0, 1))
    site.store(MDT1, slice(0, 1))
    site.reader(MDT1).lose(Loss(MDT1, 1, 17, 23, 1_700_000_000 * 10**9, "the changelog user was gone"))

    shown = site.run("continuity", "show").stdout.decode().splitlines()
    assert shown == [
        f"{MDT0}: nothing lost",
        f"{MDT1}: continuity lost: 17 to 23, 2023-11-14T22:13:20Z: the changelog user was gone",
    ]
    assert site.run("continuity", "accept", MDT1).stdout.decode() == f"{MDT1}: losses accepted: 1\n"
    again = json.loads(site.run("continuity", "show", "--mdt", MDT1, "--json").stdout)
    assert [loss["accepted"] for loss in again[MDT1]] == [True]
    assert b"did you mean lustre-MDT000" in site.run("continuity", "accept", "lustre-MDT001", code=2).stderr


def test_status_has_a_line_per_mdt_and_group(site: Site, tmp_path: Path) -> None:
    """How far each MDT is, its stream, losses and the groups stand in `status`, as text and as JSON."""
    url = f"sqlite:///{tmp_path}/index.db"
    SqliteWriter(tmp_path / "index.db").close()
    subscribe("audit", site.url).close()
    site.store(MDT0)
    site.reader(MDT0).lose(Loss(MDT0, 1, 3, 4, 1_700_000_000 * 10**9, "gap"))
    site.reader(MDT0).publish({"read_index": 5, "stored_index": 5, "records_read": 3, "records_stored": 3})
    count = scan(captures.read(FOLDERS[MDT0], f"{MDT0}.nidbe.raw")).count

    text = site.run("status", "--index", url).stdout.decode()
    found = json.loads(site.run("status", "--index", url, "--json").stdout)

    assert f"{MDT0}: read 5, stored 5, committed 0, cleared 0; " in text
    assert "records read 3 = 3 stored + 0 dropped + 0 held" in text
    assert "records 0 = 0 named + 0 changed + 0 ignored + 0 unknown + 0 damaged" in text
    assert f"recover with: lustre-events continuity reconcile {MDT0}" in text
    assert "group audit: " in text
    assert found["mdts"][MDT0]["behind"] >= count
    assert found["mdts"][MDT0]["streams"][0]["blocks"] == -(-count // 10)
    assert found["groups"]["audit"]["behind"][MDT0] == found["mdts"][MDT0]["behind"]
