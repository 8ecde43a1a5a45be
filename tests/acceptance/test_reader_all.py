"""`lustre-events reader --all`: a reader for every MDT of the node, also for those that come later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.changelog.record import scan
from lustre_events.streams.connection import connect
from lustre_events.streams.records import RedisRecordStreams
from tests.support.model.fakes import indexes_of
from tests.support.records import captures
from tests.support.servers.standin import build, environment, positions
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.waiting import wait_for

MDT0, MDT1 = "lustre-MDT0000", "lustre-MDT0001"
FOLDER = "01-basic-defmask"

USERS = {MDT0: ("cl1-lustre-events", "cl2-audit"), MDT1: ("cl1-audit", "cl2-lustre-events")}
"""Ours and another consumer's: each has the other's id on the other MDT."""

LCTL = """\
import pathlib, sys

name = sys.argv[-1].removeprefix("mdd.").removesuffix(".changelog_users")
print(pathlib.Path(sys.argv[1], f"{name}.users").read_text())
"""


class Node:
    """A node with a folder of devices, a stand-in for liblustreapi and `reader --all`."""

    def __init__(self, folder: Path, url: str, library: Path) -> None:
        self.devices = folder / "dev"
        self.devices.mkdir()
        self.log = folder / "log"
        self.config = folder / "settings.toml"
        self.config.write_text(
            f'[filesystem]\ndevices = "{self.devices}"\nlibrary = "{library}"\nstate = "{folder}/state"\n'
            f'[redis]\nurl = "{url}"\n[reader]\nlease_seconds = 1.0\n'
        )
        records = {}
        for mdt in (MDT0, MDT1):
            records[mdt] = folder / f"{mdt}.raw"
            records[mdt].write_bytes(captures.read(FOLDER, f"{mdt}.raw"))
        self.positions = folder / "positions"
        self.environment = environment(records, users="", state=self.positions)

    def register(self, clear_after: str) -> None:
        """Register the users, and let the settings name ours."""
        folder = self.config.parent
        (folder / "lctl.py").write_text(LCTL)
        for mdt, users in USERS.items():
            listed = "".join(f"{user} 0 (1)\n" for user in users)
            (folder / f"{mdt}.users").write_text(f"current_index: 9\nID index (idle) mask\n{listed}")
        self.positions.write_text("".join(f"{mdt} cl{n} 0\n" for mdt in USERS for n in (1, 2)))
        lctl = json.dumps([sys.executable, str(folder / "lctl.py"), str(folder)])
        text = self.config.read_text().replace("[filesystem]", f"[filesystem]\nlctl = {lctl}")
        self.config.write_text(
            f'{text}user = "lustre-events"\nclear_after = "{clear_after}"\nclear_interval_seconds = 0.2\n'
            f'[index]\nurl = "sqlite:///{folder}/index.db"\n[worker]\nruntime = "process"\n'
        )

    def mount(self, mdt: str) -> None:
        """Let an MDT's device appear."""
        (self.devices / f"changelog-{mdt}").touch()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start the command, `reader --all` if none is named."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "lustre_events", *(command or ("reader", "--all")),
                 "--config", self.config],
                stdout=log, stderr=log, env=clean_environment(self.environment), cwd=REPOSITORY,
            )  # fmt: skip

    def readers(self) -> dict[str, int]:
        """Return the processes that read, MDT to pid."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                mine = str(self.config).encode() in (path / "environ").read_bytes()
            except OSError:
                continue
            if mine and b"--mdt" in words and b"setpriv" not in words[0]:
                found[words[words.index(b"--mdt") + 1].decode()] = int(path.name)
        return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the stand-in."""
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture
def node(tmp_path: Path, redis_url: str, library: Path) -> Node:
    return Node(tmp_path, redis_url, library)


@pytest.fixture
def streams(redis_url: str) -> Iterator[RedisRecordStreams]:
    with connect(redis_url, 5.0) as client:
        yield RedisRecordStreams(client)


def stored(streams: RedisRecordStreams, mdt: str) -> int:
    """Return how many records of an MDT are in its streams."""
    places = {(mdt, epoch): 0 for epoch in streams.epochs(mdt)}
    return len(indexes_of(streams.read(places, 1 << 20, 0)))


def test_every_mdt_is_read_also_later_ones_and_after_a_crash(node: Node, streams: RedisRecordStreams) -> None:
    """One process per device; a device that appears later gets one too; a killed one comes back; none stays."""
    counts = {mdt: scan(captures.read(FOLDER, f"{mdt}.raw")).count for mdt in (MDT0, MDT1)}
    node.mount(MDT0)
    with node.start() as child:
        try:
            wait_for(lambda: stored(streams, MDT0) == counts[MDT0], failure=node.log.read_text)
            assert streams.mdts() == [MDT0]
            before = node.readers()
            assert list(before) == [MDT0]

            node.mount(MDT1)
            wait_for(lambda: stored(streams, MDT1) == counts[MDT1], failure=node.log.read_text)
            os.kill(before[MDT0], signal.SIGKILL)
            wait_for(lambda: node.readers().get(MDT0, before[MDT0]) != before[MDT0], failure=node.log.read_text)
        finally:
            child.send_signal(signal.SIGTERM)
            code = child.wait(30)

    assert code == 0
    assert node.readers() == {}
    assert "is started again" in node.log.read_text()
    assert stored(streams, MDT0) == counts[MDT0]


@pytest.mark.parametrize(
    ("command", "clear_after"), [(("reader", "--all"), "stored"), (("run",), "committed")], ids=["reader", "run"]
)
def test_each_mdts_own_user_is_cleared_for(
    node: Node, streams: RedisRecordStreams, command: tuple[str, ...], clear_after: str
) -> None:
    """One name in the settings, other ids on each MDT: nobody clears for the other consumer, nothing is lost."""
    last = {mdt: scan(captures.read(FOLDER, f"{mdt}.raw")).last_index for mdt in USERS}
    ours = {(MDT0, "cl1"): last[MDT0], (MDT1, "cl2"): last[MDT1]}
    node.register(clear_after)
    for mdt in USERS:
        node.mount(mdt)

    def cleared() -> bool:
        found = positions(node.positions)
        return all(found[who] == index for who, index in ours.items())

    with node.start(*command) as child:
        try:
            wait_for(cleared, failure=node.log.read_text)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)

    assert positions(node.positions) == ours | {(MDT0, "cl2"): 0, (MDT1, "cl1"): 0}
    assert [streams.continuity(mdt) for mdt in USERS] == [[], []]


@pytest.mark.parametrize("command", [("reader", "--all"), ("run",)])
def test_one_id_for_two_mdts_starts_nothing(node: Node, command: tuple[str, ...]) -> None:
    """It is another consumer's on one of them: one sentence says how to write it, and no process is started."""
    for mdt in USERS:
        node.mount(mdt)
    node.config.write_text(f'{node.config.read_text()}user = "cl1"\n')
    done = lustre_events(*command, "--config", node.config)

    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert 'write [reader] user = "lustre-events"' in done.stderr.decode()
    assert not node.positions.exists()


def test_without_a_device_the_sentence_names_the_folder(node: Node) -> None:
    """No client mounted: the folder that was looked at, and what to do, exit code 2."""
    done = lustre_events("reader", "--all", "--config", node.config)

    assert done.returncode == 2
    assert f"{node.devices}/changelog-*" in done.stderr.decode()


def test_one_mdt_or_all(node: Node) -> None:
    """`reader` needs either --mdt or --all."""
    for arguments in ([], ["--all", "--mdt", MDT0]):
        done = lustre_events("reader", *arguments, "--config", node.config)

        assert done.returncode == 2
        assert b"--all" in done.stderr
