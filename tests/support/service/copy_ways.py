"""Ways of copying for tests: to a folder and to a daemon by rsync, and by rclone, each with where copies arrive."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lustre_events.domain.rules.endpoints import Endpoint
from tests.support.need import need
from tests.support.servers.rsync import PASSWORD, Daemon
from tests.support.service.copy_site import OWNER

NAMES = [
    b"plain.txt", b"-rf", b"--delete", b"#c", b";c", b" lead", b"trail ", b"new\nline", b"\xff\xfe", b"$(id)`id`",
    b"a:b", b"*?[x]", "\u202ecaf\u00e9".encode(), b"\\back", b"\x01ctl\x7f", b"user@host::x", b"q\"'", b"y" * 255,
]  # fmt: skip
"""Names of files, each odd in a way of its own."""
RCLONE = "[store]\ntype = alias\nremote = {}\n[sftp]\ntype = sftp\npass = {}\n"


@dataclass
class Way:
    """One way of copying: its endpoint, and the folder where copies arrive."""

    endpoint: Endpoint
    arrived: Path


def folder_way(folder: Path) -> Way:
    need("rsync")
    (folder / "archive").mkdir()
    os.chown(folder / "archive", OWNER.uid, OWNER.gid)
    url = f"file://{folder}/archive"
    return Way(Endpoint("archive", "transfer", url, timeout_seconds=60), folder / "archive")


def daemon_way(folder: Path, daemon: Daemon) -> Way:
    into = daemon.folder / folder.name
    into.mkdir()
    os.chown(into, OWNER.uid, OWNER.gid)
    url = daemon.url(path=f"/{folder.name}")
    return Way(Endpoint("archive", "transfer", url, str(daemon.secret), private=True, timeout_seconds=60), into)


def rclone_way(folder: Path) -> Way:
    found = folder_way(folder)
    program, config = need("rclone"), folder / "rclone.conf"
    config.write_text(RCLONE.format(found.arrived, PASSWORD))
    config.chmod(0o600)
    url = "rclone://store/sub"
    return Way(
        Endpoint("archive", "transfer", url, private=True, timeout_seconds=60, program=program, config=str(config)),
        found.arrived / "sub",
    )


def files_in(folder: Path) -> dict[bytes, bytes]:
    """Return the content of all files below a folder, by their paths from there on."""
    base, found = os.fsencode(folder), {}
    for where, _, names in os.walk(base):
        for name in names:
            path = os.path.join(where, name)  # noqa: PTH118 - bytes
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                found[os.path.relpath(path, base)] = file.read()
    return found
