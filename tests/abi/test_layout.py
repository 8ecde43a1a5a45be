"""What Python believes about the struct and the constants is what a C compiler makes of them."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from pathlib import Path

import pytest

from lustre_events import llapi
from lustre_events.changelog import record as codec
from lustre_events.llapi.signatures import ChangelogRec, LuFid
from tests.support.need import need
from tests.support.rows import each_row


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    program = tmp_path_factory.mktemp("layout") / "layout"
    source = Path(__file__).with_name("layout.c")
    subprocess.run(
        [need("gcc"), "-std=gnu11", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program)],
        check=True, timeout=60,
    )  # fmt: skip
    answer = subprocess.run([str(program)], check=True, timeout=10, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in answer.splitlines())}


def test_structure_has_the_offsets_of_the_c_struct(layout: dict[str, int]) -> None:
    """Each field of the ctypes structure lies where the packed C struct has it."""
    offsets = {f"offset.{name}": getattr(ChangelogRec, name).offset for name, *_ in ChangelogRec._fields_}

    assert offsets == {name: value for name, value in layout.items() if name.startswith("offset.")}
    assert ctypes.sizeof(ChangelogRec) == layout["size.changelog_rec"] == codec.HEADER_BYTES
    assert ctypes.sizeof(LuFid) == layout["size.lu_fid"]


@each_row("field", ["namelen", "flags", "type", "index", "prev", "time", "tfid", "pfid"])
def test_codec_reads_each_field_at_its_c_offset(layout: dict[str, int], field: str) -> None:
    """A value put at a field's C offset comes out of the codec as that field, and nowhere else."""
    raw = bytearray(codec.HEADER_BYTES)
    struct.pack_into("<H", raw, layout[f"offset.cr_{field}"], 2)
    values = {"namelen": 2, "flags": 2, "type": 2, "index": 2, "prev": 2, "time": 2}
    raw += b"ab" if field == "namelen" else b""

    record, _ = codec.decode_record(raw)

    found = {
        "namelen": len(record.name), "flags": record.flags, "type": record.type, "index": record.index,
        "prev": record.prev, "time": record.time_ns, "tfid": record.target.seq, "pfid": record.parent.seq,
    }  # fmt: skip
    assert {name: value for name, value in found.items() if value} == {field: values.get(field, 2)}


@each_row(
    ("extension", "flags", "extra"),
    [
        ("rename", codec.FLAG_RENAME, None),
        ("jobid", codec.FLAG_JOBID, None),
        ("extra", codec.FLAG_EXTRA, 0),
        ("uidgid", codec.FLAG_EXTRA, codec.EXTRA_UIDGID),
        ("nid", codec.FLAG_EXTRA, codec.EXTRA_NID),
        ("open", codec.FLAG_EXTRA, codec.EXTRA_OPEN_MODE),
        ("xattr", codec.FLAG_EXTRA, codec.EXTRA_XATTR),
    ],
)
def test_codec_knows_the_size_of_each_extension(
    layout: dict[str, int], extension: str, flags: int, extra: int | None
) -> None:
    """Each extension has the length of its C struct."""
    record = codec.ChangelogRecord(index=1, type=1, time_ns=0, flags=flags, extra_flags=extra or 0)
    expected = codec.HEADER_BYTES + layout[f"size.{extension}_extension"]
    if extra:
        expected += layout["size.extra_extension"]

    assert len(codec.encode_record(record)) == expected


def test_constants_have_the_c_values(layout: dict[str, int]) -> None:
    """The flags of start and set_xflags have the documented values, and none is missing."""
    ours = {f"{type(flag).__name__}.{flag.name}": int(flag) for flag in (*llapi.Flag, *llapi.ExtraFlag)}

    assert ours == {name: value for name, value in layout.items() if name.startswith(("Flag.", "ExtraFlag."))}
