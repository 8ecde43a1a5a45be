"""The keeper of the history on a real Redis, killed again and again while records come."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from lustre_events.changelog.record import UNLNK_LAST, RecordType, iter_records
from lustre_events.history.archive import Archive
from lustre_events.history.keeper import GROUP
from lustre_events.history.losses import LossBook
from lustre_events.history.whereabouts import Whereabouts
from lustre_events.index.sqlite.writer import SqliteWriter
from lustre_events.streams.connection import connect
from lustre_events.streams.groups import RedisGroups
from lustre_events.streams.history_state import HistoryState
from lustre_events.streams.interface import Block, Loss, Tail
from lustre_events.streams.reader_stream import RedisReaderStream
from tests.support.history import keep
from tests.support.model.dispatcher import cut
from tests.support.records import captures
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.waiting import wait_for

FOLDER = "11-random-defmask"
KILLS = 5
SETTINGS = """\
[redis]
url = "{url}"
[index]
url = "sqlite:///{folder}/index.db"
[filesystem]
mount = "/mnt/lustre"
[history]
days = 30
folder = "{folder}/history"
"""


def command(config: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a command of ours."""
    argv = [sys.executable, "-P", "-m", "lustre_events", *words, "--config", str(config)]
    return subprocess.Popen(
        argv, cwd=REPOSITORY, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def kept(folder: Path) -> list[tuple[str, int]]:
    """Return (MDT, index) of every record in the history."""
    return [(each.mdt, each.record.index) for each in Archive(folder / "history").everything()]


def test_a_keeper_that_is_killed_loses_nothing_and_writes_nothing_twice(redis_url: str, tmp_path: Path) -> None:
    """Killed at any time, the history has every record once, and in the order of its MDT."""
    config = tmp_path / "settings.toml"
    config.write_text(SETTINGS.format(url=redis_url, folder=tmp_path))
    SqliteWriter(tmp_path / "index.db").close()
    client, chance = connect(redis_url, 5), random.Random(1)
    tails: dict[str, Tail] = {}
    waiting = [
        (mdt, block) for mdt in captures.mdts(FOLDER) for block in cut(captures.read(FOLDER, f"{mdt}.raw"), [40])
    ]
    truth = [(mdt, record.index) for mdt, (data, *_) in waiting for record in iter_records(data)]
    for kill in range(KILLS + 1):
        keeper = command(config, "history-keeper")
        share = len(waiting) // (KILLS + 1 - kill) if kill < KILLS else len(waiting)
        for mdt, (data, first, last, count) in waiting[:share]:
            reader = RedisReaderStream(client, mdt, token="reader")  # noqa: S106
            assert reader.lease(60)
            tails[mdt] = reader.append(Block(mdt, 1, first, last, count, data), tails.get(mdt, Tail(0, 0)))
        del waiting[:share]
        if kill < KILLS:
            time.sleep(chance.uniform(0.5, 2.0))
            keeper.kill()
            keeper.communicate()
    groups = RedisGroups(client)
    wait_for(lambda: all(not each.behind for each in groups.places(GROUP)), 60)
    wait_for(lambda: "updated_ns" in HistoryState(client).published(), 60)
    shown = command(config, "status").communicate(timeout=60)[0].decode()
    assert re.search(r"^history: .*; 0 behind; heard", shown, re.MULTILINE), shown
    keeper.send_signal(signal.SIGTERM)
    _, said = keeper.communicate(timeout=30)

    assert keeper.returncode == 0, said
    for mdt in captures.mdts(FOLDER):
        assert [each for each in kept(tmp_path) if each[0] == mdt] == [each for each in truth if each[0] == mdt]


def test_the_command_tells_of_a_file_that_is_gone(tmp_path: Path) -> None:
    """`history PATH` says when a removed file was made and removed; what the history does not know is said."""
    config = tmp_path / "settings.toml"
    config.write_text(SETTINGS.format(url="", folder=tmp_path))
    SqliteWriter(tmp_path / "index.db").close()
    logs = {mdt: list(iter_records(captures.read(FOLDER, f"{mdt}.raw"))) for mdt in captures.mdts(FOLDER)}
    whereabouts = Whereabouts(keep(tmp_path / "history", logs, random.Random(1)), lambda _fids: ())
    gone = next(
        record for record in logs["lustre-MDT0000"] if record.type == RecordType.UNLNK and record.flags & UNLNK_LAST
    )
    whereabouts.learn([gone.target])
    path = whereabouts.path((gone.parent, gone.name), gone.time_ns)

    LossBook(tmp_path / "history").note([Loss("lustre-MDT0000", 0, 5, 9, 10**18, "a test")], 0)
    done = command(config, "history", os.fsdecode(path), "--json")
    out, said = done.communicate(timeout=60)
    assert done.returncode == 0, said
    assert b"records 5 to 9 of lustre-MDT0000 before" in said
    told = [json.loads(line) for line in out.splitlines()]
    mine = [each for each in told if each["fid"] == str(gone.target)]
    assert mine[-1]["happened"] == "removed"
    assert (mine[-1]["path"], mine[-1]["time_ns"]) == (os.fsdecode(path), gone.time_ns)
    assert b"begins at" in said

    done = command(config, "history", os.fsdecode(path), "--types", "UNLNK")
    out, _ = done.communicate(timeout=60)
    assert [line[21:].split(b" ")[:2] for line in out.splitlines()] == [
        [b"records", b"5"], [b"removed:", b"/" + path.lstrip(b"/")]
    ]  # fmt: skip

    done = command(config, "report", "--activity", "--since", "2020", "--until", "2030", "--json")
    out, said = done.communicate(timeout=60)
    assert done.returncode == 0, said
    removed = sum(each["removed"] for each in json.loads(out)["hours"])
    assert removed == sum(
        each.type in {RecordType.UNLNK, RecordType.RMDIR} for log in logs.values() for each in log
    )

    done = command(config, "history", "no/such/file")
    _, said = done.communicate(timeout=60)
    assert done.returncode == 2
    assert b"neither in the index nor in the history" in said
