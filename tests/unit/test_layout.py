"""What a file's attribute `lustre.lov` says, and what a worker makes of Lustre's answers."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.domain.layout import Layout, layout_of
from tests.support.profiles import examples
from tests.support.rows import each_row
from workers.lustre_facts import lustre_facts_of_fd

# The definitions of lustre_user.h, written out: a header, then for each stripe 24 bytes that nobody looks at.
V1, V3, COMPOSITE = 0x0BD10BD0, 0x0BD30BD0, 0x0BD60BD0
RAID0, DOM, OVERSTRIPED = 0x1, 0x100, 0x200
MIB = 1 << 20


def plain(count: int = 1, *, size: int = MIB, pattern: int = RAID0, pool: bytes = b"") -> bytes:
    magic = V3 if pool else V1
    header = struct.pack("<IIQQIHH", magic, pattern, 1, 2, size, count, 0)
    return header + (pool.ljust(16, b"\0") if pool else b"") + bytes(24) * (0 if count == 0xFFFF else count)


def composite(*parts: tuple[int, int, bytes], mirrors: int = 0) -> bytes:
    """Return an attribute of components: (start, flags, layout)."""
    offset = 32 + 48 * len(parts)
    entries, blobs = b"", b""
    for number, (start, flags, blob) in enumerate(parts, start=1):
        entries += struct.pack(
            "<IIQQIIIQI", number, flags, start, 2**64 - 1, offset + len(blobs), len(blob), 0, 0, 0
        )
        blobs += blob
    header = struct.pack("<IIIHHHHHHQ", COMPOSITE, offset + len(blobs), 1, 0, len(parts), mirrors, 0, 0, 0, 0)
    return header + entries + blobs


MADE, NOT_YET = 0x10, 0
PFL = composite(
    (0, MADE, plain(0, pattern=DOM)),
    (MIB, MADE, plain(4, pool=b"flash")),
    (2**30, NOT_YET, plain(0xFFFF, pool=b"disk")),
)


@each_row(
    ("value", "expected"),
    [
        (plain(3), Layout(("raid0",), 3, MIB, None)),
        (plain(2, size=4 * MIB, pool=b"flash"), Layout(("raid0",), 2, 4 * MIB, "flash")),
        (plain(8, pattern=RAID0 | OVERSTRIPED), Layout(("raid0", "overstriped"), 8, MIB, None)),
        (plain(0xFFFF), Layout(("raid0",), -1, MIB, None)),
        (plain(1, pool=b"p\xff\n"), Layout(("raid0",), 1, MIB, "p??")),
        (PFL, Layout(("raid0", "dom", "pfl"), 4, MIB, "flash")),
        (composite((0, MADE, plain(2)), (0, MADE, plain(2)), mirrors=1), Layout(("raid0", "flr"), 2, MIB, None, 2)),
        (composite((0, MADE, plain(0, pattern=DOM))), Layout(("dom",), 0, MIB, None)),
        (b"", None),
        (plain(1)[:20], None),
        (PFL[:60], None),
        (b"\0" * 64, None),
        (composite(), None),
        (composite((0, MADE, b"\0" * 32)), None),
    ],
)
def test_a_layout_is_read_as_lfs_getstripe_tells_it(value: bytes, expected: Layout | None) -> None:
    """Stripes, pool and kinds of plain and composite layouts are told; of what is cut or unknown nothing is."""
    assert layout_of(value) == expected


@examples(300)
@given(st.binary(max_size=200) | st.binary(max_size=120).map(lambda tail: PFL[:40] + tail))
def test_no_attribute_ends_a_worker(value: bytes) -> None:
    """Any bytes are a layout whose values the index takes, or none."""
    found = layout_of(value)

    assert found is None or (-1 <= found.stripe_count < 2**16 and 0 <= found.stripe_size < 2**32)


class Answers:
    """A Lustre that answers: an attribute, and ioctls by the bytes of their numbers' letter and place."""

    def __init__(self, lov: bytes | None, **ioctls: bytes) -> None:
        self.lov, self.ioctls = lov, ioctls

    def getxattr(self, _path: str, name: str) -> bytes:
        """Give the attribute, as os.getxattr does."""
        if self.lov is None or name != "lustre.lov":
            raise OSError(errno.ENODATA, "no such attribute")
        return self.lov

    def ioctl(self, _fd: int, request: int, room: bytes) -> bytes:
        """Answer a request, as fcntl.ioctl does."""
        answer = self.ioctls.get(f"{chr(request >> 8 & 0xFF)}{request & 0xFF}")
        if answer is None:
            raise OSError(errno.ENOTTY, "no such request")
        assert request >> 16 & 0x3FFF == len(room) == len(answer)
        return answer


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"x")
    opened = os.open(tmp_path / "file", os.O_PATH)
    yield opened
    os.close(opened)


def test_what_lustre_answers_are_facts(fd: int) -> None:
    """MDT, layout, project and HSM state have the index's names; flags of HSM are words."""
    answers = Answers(
        PFL, f175=struct.pack("=i", 3), X31=struct.pack("=12xI12x", 4711), f211=struct.pack("=I28x", 0x1 | 0x8)
    )

    assert lustre_facts_of_fd(fd, answers.getxattr, answers.ioctl) == {
        "mdt": 3, "projid": 4711, "hsm": "exists archived", "layout": "raid0 dom pfl", "stripe_count": 4,
        "stripe_size": MIB, "mirror_count": 1, "pool": "flash",
    }  # fmt: skip


def test_what_is_not_told_is_absent(fd: int, tmp_path: Path) -> None:
    """Without an answer a fact is left out, and of what is no file or directory nothing is asked."""
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_PATH)
    try:
        assert lustre_facts_of_fd(fifo) == {}
    finally:
        os.close(fifo)
    nothing = Answers(None)
    assert lustre_facts_of_fd(fd, nothing.getxattr, nothing.ioctl) == {}
    assert lustre_facts_of_fd(fd).keys() <= {"projid"}
