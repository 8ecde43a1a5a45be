"""SQLite on a network file system is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lustre_events.errors import IndexUnavailable
from lustre_events.index.sqlite import local_disk
from lustre_events.index.sqlite.writer import SqliteWriter
from tests.support.rows import each_row

TABLE = rb"""22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:50 / /home rw shared:9 - nfs4 server:/home rw
31 30 8:1 / /home/local rw - xfs /dev/sda1 rw
32 22 0:51 / /mnt/my\040lustre rw - lustre mgs@tcp:/fs rw
33 22 0:52 / /srv rw - ext4 /dev/sdb1 rw
34 22 0:53 / /srv rw - fuse.sshfs somewhere: rw
35 22 0:54 / /win rw - fuseblk /dev/sdc1 rw
this is no line of it
"""


@each_row(
    ("path", "kind"),
    [
        ("/var/lib/index.db", "ext4"),
        ("/home/x/index.db", "nfs4"),
        ("/home/local/index.db", "xfs"),
        ("/home/locals/index.db", "nfs4"),
        ("/mnt/my lustre/index.db", "lustre"),
        ("/srv/index.db", "fuse.sshfs"),
        ("/win/index.db", "fuseblk"),
    ],
)
def test_the_innermost_and_uppermost_mount_counts(path: str, kind: str) -> None:
    """Of the mount points above a path the longest one is it, and of two at one place the later one."""
    assert local_disk.type_at(path.encode(), TABLE) == kind


@each_row("kind", ["nfs", "nfs4", "lustre", "cifs", "smb3", "gpfs", "ceph", "fuse.sshfs", "beegfs"])
def test_a_network_file_system_is_refused_with_a_sentence(tmp_path: Path, kind: str) -> None:
    """The sentence says which one it is and what to do."""
    (tmp_path / "mounts").write_text(f"1 0 0:1 / / rw - {kind} x rw\n")
    with pytest.raises(IndexUnavailable, match=rf"network file system \({kind}\).*local disk"):
        local_disk.check(tmp_path / "index.db", tmp_path / "mounts")


@each_row("kind", ["ext4", "xfs", "tmpfs", "overlay", "btrfs", "zfs", "fuseblk"])
def test_a_local_file_system_is_taken(tmp_path: Path, kind: str) -> None:
    """Local ones, and those that nothing is known about, are not refused."""
    table = f"1 0 0:1 / / rw - {kind} x rw\n".encode()
    assert local_disk.type_at(b"/index.db", table) == kind
    (tmp_path / "mounts").write_bytes(table)
    local_disk.check(tmp_path / "index.db", tmp_path / "mounts")
    local_disk.check(tmp_path / "index.db", tmp_path / "no such table")


def test_the_writer_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index on a network file system is not even made."""
    monkeypatch.setattr(local_disk, "NETWORK", frozenset({local_disk.type_at(str(tmp_path).encode(),
                        Path("/proc/self/mountinfo").read_bytes())}))  # fmt: skip
    with pytest.raises(IndexUnavailable, match="network file system"):
        SqliteWriter(tmp_path / "index.db")
    assert not (tmp_path / "index.db").exists()
