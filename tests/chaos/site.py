"""The service of a round of chaos: each part with a standby, on any source, database and Redis, on small disks."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.postgresql_server import PostgreSQLServer
from lustre_events.node.sandbox import default_images
from tests.chaos.lustre_tree import LustreTree
from tests.support.model.model import MDTS
from tests.support.servers.redis import login
from tests.support.servers.standin import build, build_ioctl, environment
from tests.support.service.service import PARTS, Churn, Process, Service, all_processes, kill

DISK = "chaos"
"""What our mounts are of."""
LOCAL_MDT = "local-MDT0000"
DATA_BYTES = 600 << 20
"""The disk under index and Redis."""
FILES_BYTES = 64 << 20
_POSTGRESQL = ("max_wal_size=64MB", "min_wal_size=32MB", "shared_buffers=16MB", "max_connections=40")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a round runs on. `clear_after`: with `committed` all of Redis may be lost, too; `indexers` how many."""

    source: str
    database: str
    runtime: str = "process"
    redis: str = "redis with roles"
    clear_after: str = "stored"
    indexers: int = 0

    def __str__(self) -> str:
        also = f", {self.indexers} indexers" if self.indexers else ""
        return (
            f"{self.source}, {self.database}, {self.runtime}, {self.redis}, cleared when {self.clear_after}{also}"
        )


KINDS = (
    Kind("lustre", "sqlite"),
    Kind("directory", "sqlite"),
    Kind("lustre", "postgresql", redis="valkey with roles", clear_after="committed", indexers=2),
    Kind("directory", "postgresql", indexers=2),
    Kind("lustre", "sqlite", clear_after="committed"),
    Kind("directory", "sqlite", "apptainer"),
    Kind("lustre", "postgresql"),
    Kind("lustre", "sqlite", "apptainer", clear_after="committed"),
)


SKEW_SECONDS = 3.0
"""So far clocks may be apart; those of MDSs step by less than half of it (lustre_tree.py)."""


class Workload(Protocol):
    """What changes files."""

    def step(self) -> None:
        """Do one operation."""


class Site(Service):
    """A service whose files change by `workload`, with disks of its own: see `unmount`."""

    def __init__(self, folder: Path, kind: Kind, seed: int) -> None:
        self.kind = kind
        self.disk = folder / "disk"
        self.disk.mkdir()
        mount(self.disk, DATA_BYTES)
        images = default_images() if kind.runtime == "apptainer" else ""
        super().__init__(
            self.disk, runtime=kind.runtime, images=images, dispatcher=f"skew_seconds = {SKEW_SECONDS}\n",
            reader=f'clear_after = "{kind.clear_after}"\n',
        )  # fmt: skip
        self.log = folder / "service.log"
        mount(self.files, FILES_BYTES)
        self.redis_kind = kind.redis
        self.postgresql: PostgreSQLServer | None = None
        if kind.database == "postgresql":
            self.postgresql = PostgreSQLServer(*_POSTGRESQL, folder=self.disk).start()
            self._set(
                "index", f'url = "{self.index}"', f'url = "{self.postgresql.url()}"\nindexers = {kind.indexers}'
            )
            self.index = self.postgresql.url()
        self.commands = {name: PARTS[name] for name in ("worker", "builtin")}
        self.mdts = [LOCAL_MDT]
        self.lustre: LustreTree | None = None
        self._more: dict[str, str] = {}
        self.workload: Workload
        if kind.source == "lustre":
            self.workload = self.lustre = self._make_lustre(folder, seed)
        else:
            self.workload = Churn(self.files, seed)
        for mdt in self.mdts:
            self.commands |= {
                f"{role} {mdt}": ("lustre_events", "reader", "--mdt", mdt) for role in ("reader", "standby")
            }
        self.commands |= dict.fromkeys(("dispatcher", "standby dispatcher"), PARTS["dispatcher"])
        self.commands |= {
            f"indexer {number}": ("lustre_events", "indexer", "--instance", str(number))
            for number in range(1, kind.indexers + 1)
        }

    def start_part(self, name: str, *words: str) -> None:
        """Start a part of `commands` with the login of its role."""
        role = next(
            role for role in ("reader", "dispatcher", "indexer", "worker") if role in " ".join(self.commands[name])
        )
        more = dict(self._more)
        if role != "worker":
            more.pop("LD_PRELOAD", None)
        self.parts[name] = self.start(
            *(words or self.commands[name]),
            environment={"LUSTRE_EVENTS_REDIS_URL": login(self.redis, role), **more},
        )

    def start_all(self) -> None:
        """Start everything."""
        self.start_redis()
        for name in self.commands:
            self.start_part(name)

    def keep_running(self) -> None:
        """Start whatever has ended again."""
        if self.postgresql is not None and not self.postgresql.running:
            self.postgresql.start()
        if not self.redis.pid or not Path(f"/proc/{self.redis.pid}").exists():
            self.start_redis()
        super().keep_running()
        self._children = [child for child in self._children if child.poll() is None]

    def processes_of(self, name: str) -> list[int]:
        """Return the processes below a part."""
        return [each.pid for each in self.processes() if each.parent == self.parts[name].pid]

    def all_processes(self) -> list[Process]:
        """Return every process of this machine."""
        return list(all_processes())

    def stop_parts(self) -> None:
        """Stop every part with SIGTERM, and the servers."""
        for process in self.parts.values():
            process.terminate()
        for process in self.parts.values():
            process.wait(30)
        self.redis.stop()
        if self.postgresql is not None:
            self.postgresql.stop()

    def left(self) -> list[str]:
        """Return what a stopped service must not leave; the disks are ours."""
        return [each for each in super().left() if not each.startswith(f"{DISK} ")]

    def close(self) -> None:
        """End everything."""
        self.__exit__()
        if self.postgresql is not None:
            self.postgresql.remove()

    def _make_lustre(self, folder: Path, seed: int) -> LustreTree:
        self.mdts = list(MDTS)
        records = {mdt: folder / f"{mdt}.records" for mdt in MDTS}
        top = self.files / "mnt"
        top.mkdir()
        self._set("filesystem", 'source = "directory"', f'source = "lustre"\nlibrary = "{build(folder)}"')
        self._set("filesystem", f'mount = "{self.files}"', f'mount = "{top}"\nmdts = {list(MDTS)}')
        self._set("reader", "[reader]", f"[reader]\nusers = {[f'{mdt}:cl1' for mdt in MDTS]}\nuser = 'cl1'")
        self._more = environment(records, state=folder / "positions") | {
            "STANDIN_TREE": str(top), "LD_PRELOAD": str(build_ioctl(folder)),
        }  # fmt: skip
        return LustreTree(top, records, random.Random(seed))

    def _set(self, table: str, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text, f"[{table}] has no {old}"
        self.config.write_text(text.replace(old, new))


def mount(place: Path, size_bytes: int) -> None:
    """Mount a small disk."""
    options = f"size={size_bytes},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, DISK, place], check=True, timeout=30)


def unmount(folder: Path) -> None:
    """Give the disks of a site back."""
    for place in (folder / "disk" / "files", folder / "disk"):
        if place.is_mount():
            subprocess.run(["umount", "--lazy", place], check=True, timeout=30)


def fill(place: Path) -> Path:
    """Fill a disk to its last block, and return the file to remove."""
    filler = place / "filler"
    found = os.statvfs(place)
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - (1 << 20)))
        file.seek(0, os.SEEK_END)
        while True:
            file.write(bytes(4096))
    return filler


def kill_server(pid: int, children: list[int]) -> int:
    """Kill a server and its processes as if at once; return how many those were."""
    for each in (pid, *children):
        kill(each)
    return 1 + len(children)
