"""Records as text: the lines of a real `lfs changelog`, and JSON."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import (
    EXTRA_NID_BIG_ENDIAN,
    FLAG_RENAME,
    ChangelogRecord,
    boundaries,
    iter_records,
    scan,
)
from lustre_events.changelog.text import decode_file, json_line, lfs_line, nid_text, open_mode, to_json
from lustre_events.errors import RecordDecodeError, UnknownExtension
from tests.support.records.builders import (
    capture,
    captures,
    create,
    each_capture,
    mark,
    open_,
    raw,
    rename,
    unlink,
    xattr,
)
from tests.support.records.strategies import records
from tests.support.rows import each_row

BIG = captures(".nidbe.raw")


def decoded(data: bytes, *, as_json: bool = False, chunk_bytes: int = 1 << 20) -> bytes:
    """Return everything that decode_file writes for `data`."""
    out = io.BytesIO()
    count = decode_file(io.BytesIO(data), out.write, as_json=as_json, chunk_bytes=chunk_bytes)
    assert count == scan(data).count
    return out.getvalue()


def small_nid(network: int, number: int, address: int) -> bytes:
    """Return the NID extension of an older form: a little-endian lnet_nid_t."""
    return (network << 48 | number << 32 | address).to_bytes(8, "little").ljust(24, b"\0")


def large_nid(network: int, number: int, address: bytes) -> bytes:
    """Return the NID extension of the newer form: struct lnet_nid, big-endian."""
    return (bytes([len(address) - 4, network]) + number.to_bytes(2, "big") + address).ljust(24, b"\0")


@pytest.mark.parametrize("name", each_capture(".nidbe.raw"))
def test_a_capture_prints_as_lfs_printed_it(name: str) -> None:
    """Byte for byte the output of the real `lfs changelog` for the same records."""
    assert decoded(capture(name)) == capture(name.removesuffix(".nidbe.raw") + ".txt")


@pytest.mark.parametrize("name", each_capture(".raw"))
def test_without_the_nid_flag_only_the_nid_differs(name: str) -> None:
    """The plain .raw are the same records but for extra flag 0x10 and the form, not the meaning, of the NID."""
    big = list(iter_records(capture(name.removesuffix(".raw") + ".nidbe.raw")))
    plain = list(iter_records(capture(name)))

    assert [
        msgspec.structs.replace(record, extra_flags=record.extra_flags | EXTRA_NID_BIG_ENDIAN, nid=other.nid)
        for record, other in zip(plain, big, strict=True)
    ] == big
    for record, other in zip(plain, big, strict=True):
        assert lfs_line(record) == lfs_line(other).replace(
            b" ef=0x%x " % other.extra_flags, b" ef=0x%x " % record.extra_flags, 1
        )


def test_the_captures_hold_both_forms() -> None:
    """The two tests above are about something: 32 files of each form, not all of them empty."""
    assert len(BIG) == len(captures(".raw")) == 32
    assert sum(scan(capture(name)).count for name in BIG) > 20_000


def test_the_time_zone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are UTC wherever one looks at them, as those of lfs are."""
    before = lfs_line(create(fid=1)), json_line(create(fid=1))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        after = lfs_line(create(fid=1)), json_line(create(fid=1))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert after == before


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            ChangelogRecord(
                index=9,
                type=8,
                time_ns=0,
                flags=FLAG_RENAME,
                source=FID(1, 2, 0),
                source_parent=FID(4, 5, 6),
                source_name=b"a b",
            ),
            b"9 08RENME 00:00:00.000000000 1970.01.01 0x0 t=[0:0x0:0x0]  s=[0x1:0x2:0x0] sp=[0x4:0x5:0x6] a b\n",
        ),
        (
            ChangelogRecord(index=9, type=1, time_ns=0, flags=FLAG_RENAME, target=FID(1, 2, 3), name=b"f"),
            b"9 01CREAT 00:00:00.000000000 1970.01.01 0x0 t=[0x1:0x2:0x3] f\n",
        ),
        (
            ChangelogRecord(index=9, type=14, time_ns=0, target=FID(1, 2, 3), parent=FID(0, 0, 7)),
            b"9 14SATTR 00:00:00.000000000 1970.01.01 0x0 t=[0x1:0x2:0x3]\n",
        ),
        (
            create(fid=1, index=3, name=b"a\nb \xff", uid=1000, gid=100, jobid=b"cp.0"),
            (
                b"3 01CREAT 22:13:23.000000000 2023.11.14 0x0 t=[0x200000401:0x1:0x0] j=cp.0 ef=0x3 u=1000:100 "
                b"nid=0@lo p=[0x200000007:0x1:0x0] a\nb \xff\n"
            ),
        ),
        (
            rename(fid=1, parent=2, name=b"a", to=b"b", over=3, jobid=b"", time_ns=5),
            (
                b"1 08RENME 00:00:00.000000005 1970.01.01 0x1 t=[0x200000401:0x3:0x0] ef=0x3 u=1000:1000 nid=0@lo "
                b"p=[0x200000401:0x2:0x0] b s=[0x200000401:0x1:0x0] sp=[0x200000401:0x2:0x0] a\n"
            ),
        ),
        (
            mark(time_ns=0, jobid=b""),
            b"1 00MARK  00:00:00.000000000 1970.01.01 0x0 t=[0:0x0:0x0] ef=0x3 u=1000:1000 nid=0@lo\n",
        ),
        (
            ChangelogRecord(index=9, type=25, time_ns=0, target=FID(1, 2, 3)),
            b"9 25(null) 00:00:00.000000000 1970.01.01 0x0 t=[0x1:0x2:0x3]\n",
        ),
        (
            ChangelogRecord(index=9, type=16, time_ns=0, flags=0x1380, target=FID(1, 2, 3)),
            b"9 16HSM   00:00:00.000000000 1970.01.01 0x380 t=[0x1:0x2:0x3]\n",
        ),
        (
            xattr(fid=1, xattr=b"user.color", jobid=b"", time_ns=0),
            (
                b"1 15XATTR 00:00:00.000000000 1970.01.01 0x0 t=[0x200000401:0x1:0x0] ef=0xb u=1000:1000 nid=0@lo "
                b"x=user.color\n"
            ),
        ),
        (
            open_(fid=1, open_flags=0o1003, jobid=b"", time_ns=0),
            (
                b"1 10OPEN  00:00:00.000000000 1970.01.01 0x0 t=[0x200000401:0x1:0x0] ef=0x7 u=1000:1000 nid=0@lo "
                b"m=rw-\n"
            ),
        ),
    ],
    ids=[
        "no name but an old one",
        "rename extension without a source",
        "parent with a version only",
        "name with a newline",
        "rename",
        "mark",
        "unknown type",
        "hsm",
        "xattr",
        "open",
    ],
)
def test_a_line(record: ChangelogRecord, line: bytes) -> None:
    """What is not there is not printed, and names and jobids stand as they are."""
    assert lfs_line(record) == line


@each_row(
    ("open_flags", "text"),
    [
        (0, "---"), (1, "r--"), (2, "-w-"), (3, "rw-"), (4, "--x"), (5, "--x"), (0o1000, "-w-"), (0o2000, "-w-"),
        (0o2001, "rw-"), (0x8, "---"), (0x24A, "-w-"), (0xCB, "rw-"),
    ],
)  # fmt: skip
def test_open_modes(open_flags: int, text: str) -> None:
    """Truncating and appending are writing; execution excludes the others; the last four are from captures."""
    assert open_mode(open_flags) == text


@each_row(
    ("network", "number", "address", "text"),
    [
        (9, 0, bytes(4), "0@lo"),
        (2, 0, bytes([192, 168, 1, 2]), "192.168.1.2@tcp"),
        (2, 1, bytes([10, 0, 0, 1]), "10.0.0.1@tcp1"),
        (5, 0, bytes([10, 0, 0, 1]), "10.0.0.1@o2ib"),
        (5, 65535, bytes([255, 255, 255, 255]), "255.255.255.255@o2ib65535"),
        (13, 0, bytes([0, 0, 1, 44]), "300@gni"),
        (16, 2, bytes([255, 255, 255, 255]), "4294967295@kfi2"),
        (0, 0, bytes(4), "0@<0:0>"),
        (200, 3, bytes([0, 0, 1, 255]), "1ff@<200:3>"),
    ],
)
def test_nids_of_both_forms(network: int, number: int, address: bytes, text: str) -> None:
    """A 32-bit address reads the same in the little-endian and in the big-endian form."""
    assert nid_text(small_nid(network, number, int.from_bytes(address, "big")), 0x3) == text
    assert nid_text(large_nid(network, number, address), 0x13) == text


@each_row(
    ("network", "number", "address", "text"),
    [
        (2, 0, bytes.fromhex("fd00000000000000000000000000abcd"), "fd00::abcd@tcp"),
        (18, 4, bytes.fromhex("20010db8000100020003000400050006"), "2001:db8:1:2:3:4:5:6@efa4"),
        (2, 0, bytes.fromhex("00000000000000000000ffff0a000001"), "::ffff:10.0.0.1@tcp"),
        (99, 7, bytes.fromhex("0000000100000000000000ff0a000001"), "1:0:ff:a000001@<99:7>"),
    ],
)
def test_large_nids(network: int, number: int, address: bytes, text: str) -> None:
    """A 128-bit address is IPv6 text, or words in hexadecimal where the network is unknown."""
    assert nid_text(large_nid(network, number, address), 0x13) == text


def test_the_nid_for_any_node() -> None:
    """The wildcard NID of each form prints as `<?>`."""
    assert nid_text(b"\xff" * 8 + bytes(16), 0x3) == "<?>"
    assert nid_text(b"\xff" * 24, 0x13) == "<?>"


@given(st.binary(max_size=24), st.sampled_from([0x3, 0x13]))
def test_any_bytes_have_a_nid_text(nid: bytes, extra_flags: int) -> None:
    """Whatever a server sends as NID, it is printed on one line and nothing crashes."""
    text = nid_text(nid, extra_flags)

    assert text.isascii()
    assert " " not in text
    assert "\n" not in text


@given(records())
def test_json_gives_exact_bytes_back(record: ChangelogRecord) -> None:
    """Any record is one line of valid ASCII JSON, from which every name, jobid and number comes back exactly."""
    line = json_line(record)
    value: dict[str, Any] = json.loads(line)

    def exact(key: str) -> bytes:
        return (value[key] or "").encode("utf-8", "surrogateescape")

    assert line.isascii()
    assert line.count(b"\n") == 1
    assert value == to_json(record)
    assert (exact("name"), exact("source_name"), exact("jobid")) == (record.name, record.source_name, record.jobid)
    assert exact("xattr") == (record.xattr or b"")
    assert (FID.parse(value["target"]), FID.parse(value["parent"])) == (record.target, record.parent)
    for key in ("index", "prev", "type", "flags", "time_ns", "uid", "gid", "open_flags"):
        assert value[key] == getattr(record, key)


@given(records())
def test_every_record_has_a_line(record: ChangelogRecord) -> None:
    """Any record is printed, with its name as it stands and one newline at the end."""
    line = lfs_line(record)

    assert line.startswith(b"%d " % record.index)
    assert record.name in line
    assert line.endswith(b"\n")


def test_json_has_every_field_of_the_record() -> None:
    """No field is forgotten, and the additions are the type's name, the time as text and what HSM's flags say."""
    value = to_json(rename(fid=1, name=b"a", to=b"\xff"))

    assert set(value) == {*ChangelogRecord.__struct_fields__, "type_name", "time", "hsm"}
    assert (value["type"], value["type_name"], value["time"]) == (8, "RENME", "2023-11-14T22:13:21.000000000Z")
    assert (value["nid"], value["name"], value["source"]) == ("0@lo", "\udcff", "[0x200000401:0x1:0x0]")


def test_json_of_what_is_not_there_is_null() -> None:
    """An absent extension is null, an empty one is empty, and an unknown type has no name."""
    value = to_json(ChangelogRecord(index=1, type=25, time_ns=0))

    assert {key for key, item in value.items() if item is None} == {
        "type_name", "source", "source_parent", "source_name", "jobid", "extra_flags", "uid", "gid", "nid",
        "open_flags", "xattr", "hsm",
    }  # fmt: skip
    assert to_json(create(fid=1, jobid=b""))["jobid"] == ""


@pytest.mark.parametrize("chunk_bytes", [1, 63, 1000, 1 << 20])
@pytest.mark.parametrize("as_json", [False, True], ids=["lfs", "json"])
def test_the_chunks_do_not_show(chunk_bytes: int, as_json: bool) -> None:
    """However small the pieces that a file is read in, the same lines come out, in both forms."""
    data = capture("03-names-defmask/lustre-MDT0001.raw")
    line = json_line if as_json else lfs_line

    assert decoded(data, as_json=as_json, chunk_bytes=chunk_bytes) == b"".join(map(line, iter_records(data)))


@pytest.mark.long
def test_a_file_is_not_held_whole() -> None:
    """No more than a chunk and one record is written at once, so a file may be of any length."""
    data = capture("09-mdtest-defmask/lustre-MDT0001.raw")
    parts: list[bytes] = []
    decode_file(io.BytesIO(data), parts.append, as_json=False, chunk_bytes=10_000)

    assert len(parts) > len(data) // 10_000
    assert max(map(len, parts)) < 20_000
    assert b"".join(parts) == decoded(data)


@pytest.mark.parametrize("chunk_bytes", [100, 1 << 20])
def test_a_torn_tail_is_said_after_everything_before_it(chunk_bytes: int) -> None:
    """The error of a file cut anywhere in its last record has that record's offset in the file."""
    data = capture("03-names-defmask/lustre-MDT0001.raw")
    last, size = list(boundaries(data))[-1]
    for cut in (1, size // 2, size - 1):
        out = io.BytesIO()
        with pytest.raises(RecordDecodeError) as caught:
            decode_file(io.BytesIO(data[: last + cut]), out.write, as_json=False, chunk_bytes=chunk_bytes)

        assert (caught.value.offset, str(last) in str(caught.value)) == (last, True)
        assert out.getvalue() == b"".join(map(lfs_line, iter_records(data[:last])))


def test_an_unknown_extension_is_said_with_its_place() -> None:
    """A record of a newer Lustre in a file ends the decoding with UnknownExtension at its offset in the file."""
    good = raw(*(create(fid=n, index=n) for n in range(1, 200)))
    bad = bytearray(raw(unlink(fid=1)))
    bad[64 + 32] |= 0x80
    out = io.BytesIO()
    with pytest.raises(UnknownExtension) as caught:
        decode_file(io.BytesIO(good + bytes(bad) + good), out.write, as_json=False, chunk_bytes=1000)

    assert caught.value.offset == len(good)
    assert out.getvalue().count(b"\n") == 199


def test_an_empty_file_has_no_records() -> None:
    """Nothing in, nothing out, no error."""
    assert decoded(b"") == b""
