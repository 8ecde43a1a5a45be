"""The history that docs/admin.md shows is what `lustre-events history` prints of such records."""

from __future__ import annotations

import pwd
import random
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from lustre_events.changelog.record import EXTRA_NID, EXTRA_UIDGID, ChangelogRecord
from lustre_events.index.sqlite.writer import SqliteWriter
from tests.support.history import keep
from tests.support.pages import commands
from tests.support.records import builders as b
from tests.support.service.command import REPOSITORY, lustre_events

PAGE = (REPOSITORY / "docs" / "admin.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```text\n(\$ lustre-events history.*?)^```", re.DOTALL | re.MULTILINE)
PEOPLE = {"alice": "daemon", "bob": "bin"}
"""Who stands for those of the page: accounts that every machine has."""
NODE = bytes.fromhex("1103000a00000500").ljust(24, b"\0")
PROJECT, RUN7, OLD, RESULT = 1, 2, 3, 4


def by(who: str, job: bytes, time: str, index: int, nid: bytes | None = None) -> dict[str, Any]:
    """Return the fields of a record that somebody caused."""
    account = pwd.getpwnam(PEOPLE[who])
    return {
        "uid": account.pw_uid, "gid": account.pw_gid, "jobid": job, "nid": nid, "index": index,
        "extra_flags": EXTRA_UIDGID | (EXTRA_NID if nid else 0),
        "time_ns": int(datetime.fromisoformat(f"{time}+00:00").timestamp()) * 10**9,
    }  # fmt: skip


def records() -> list[ChangelogRecord]:
    """Return what happened in the page's example."""
    batch, first = b"slurm.8812", "2026-11-01 08:00"
    return [
        b.mkdir(PROJECT, name=b"project", **by("alice", batch, first, 1)),
        b.mkdir(RUN7, PROJECT, b"run7", **by("alice", batch, first, 2)),
        b.mkdir(OLD, PROJECT, b"old", **by("alice", batch, first, 3)),
        b.create(RESULT, RUN7, b"result.h5", **by("alice", batch, "2026-11-20 09:12:44", 4, NODE)),
        b.close(RESULT, **by("alice", batch, "2026-11-20 09:14:02", 5, NODE)),
        b.rename(RESULT, RUN7, b"result.h5", to_parent=OLD, to=b"result.h5",
                 **by("bob", b"mv.1002", "2026-11-25 17:30:10", 6)),
        b.unlink(RESULT, OLD, b"result.h5", **by("bob", b"rm.1002", "2026-11-26 08:01:55", 7)),
    ]  # fmt: skip


def test_the_history_of_the_page_is_printed(tmp_path: Path) -> None:
    """Each command of the block prints what the page shows, of records like those of the page."""
    (block,) = BLOCK.findall(PAGE)
    keep(tmp_path / "history", {"lustre-MDT0000": records()}, random.Random(1), days=100_000)
    SqliteWriter(tmp_path / "index.db").close()
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'[index]\nurl = "sqlite:///{tmp_path}/index.db"\n[filesystem]\nmount = "/mnt/lustre"\n'
        f'[history]\ndays = 90\nfolder = "{tmp_path}/history"\n'
    )

    ran = list(commands(block))
    for words, printed in ran:
        done = lustre_events(*(PEOPLE.get(word, word) for word in words[1:]), "--config", settings)
        said = done.stdout.decode()
        for name, account in PEOPLE.items():
            said = said.replace(f"user {account}", f"user {name}")
        assert (done.returncode, said.splitlines()) == (0, printed), done.stderr.decode()
    assert len(ran) > 2
