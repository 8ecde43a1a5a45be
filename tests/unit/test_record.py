"""The codec of records: laws on values that hypothesis makes, and facts of records of a live Lustre."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import (
    EXTRA_KNOWN,
    FLAG_EXTRA,
    FLAG_JOBID,
    FLAG_RENAME,
    FLAG_VERSION,
    HEADER_BYTES,
    MAX_NAME_BYTES,
    MAX_RECORD_BYTES,
    ChangelogRecord,
    RecordType,
    ScannedBlock,
    boundaries,
    decode_record,
    encode_record,
    iter_records,
    record_size,
    scan,
)
from lustre_events.errors import RecordDecodeError, UnknownExtension
from tests.support.records.builders import capture, captures, create, each_capture, raw, rename, xattr
from tests.support.records.strategies import records
from tests.support.rows import each_row

NAMES = captures(".raw") + captures(".nidbe.raw")

# Every depth of the codec over a whole buffer; they must agree about what is wrong and where.
READERS: dict[str, Callable[[bytes], object]] = {
    "scan": scan,
    "boundaries": lambda buffer: list(boundaries(buffer)),
    "iter_records": lambda buffer: list(iter_records(buffer)),
}


def outcome(read: Callable[[bytes], object], buffer: bytes) -> tuple[type, int] | None:
    """Return the type and the offset of the error that reading `buffer` raises; None: there is none."""
    try:
        read(buffer)
    except RecordDecodeError as exc:
        return type(exc), exc.offset
    return None


def outcomes(buffer: bytes) -> set[tuple[type, int] | None]:
    """Return what the three depths say of `buffer`: one element where they agree."""
    return {outcome(read, buffer) for read in READERS.values()}


@cache
def varied_records() -> list[bytes]:
    """Return one real record of each type, flags and extra flags that the captures have."""
    kinds: dict[tuple[int, int, int], bytes] = {}
    for name in NAMES:
        data = capture(name)
        for offset, size in boundaries(data):
            record, _ = decode_record(data, offset)
            kinds.setdefault((record.type, record.flags & 0xF000, record.extra_flags), data[offset : offset + size])
    return list(kinds.values())


@given(records())
def test_decoding_gives_back_what_was_encoded(record: ChangelogRecord) -> None:
    """decode(encode(r)) == r, and the size is that of the bytes."""
    data = encode_record(record)

    assert decode_record(data) == (record, len(data))


@given(st.lists(records(), max_size=8))
def test_the_three_depths_agree_on_whole_records(values: list[ChangelogRecord]) -> None:
    """Boundaries, scan and decoding see the same records in one buffer, whatever kind of buffer it is."""
    parts = [encode_record(record) for record in values]
    joined = b"".join(parts)

    for buffer in (joined, bytearray(joined), memoryview(joined)):
        assert [size for _, size in boundaries(buffer)] == [len(part) for part in parts]
        assert list(iter_records(buffer)) == values
        span = scan(buffer)
        assert (span.count, span.size) == (len(values), len(joined))
        if values:
            assert (span.first_index, span.last_index) == (values[0].index, values[-1].index)


@given(st.binary(max_size=400) | st.binary(min_size=60, max_size=80))
def test_any_bytes_are_records_or_an_error_with_its_offset(data: bytes) -> None:
    """Arbitrary bytes never crash; the three depths raise the same error at the same place inside the buffer."""
    (found,) = outcomes(data)

    assert found is None or 0 <= found[1] < len(data)


@given(st.data())
def test_a_spoilt_real_record_is_read_or_refused(data: st.DataObject) -> None:
    """Real records with some bytes changed, removed or added never crash, and the three depths agree on them."""
    chosen = data.draw(st.lists(st.sampled_from(varied_records()), min_size=1, max_size=3))
    buffer = bytearray(b"".join(chosen))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(
            st.integers(0, len(buffer) - 1) | st.sampled_from([0, 1, 2, 3, HEADER_BYTES, len(buffer) - 1])
        )
        buffer[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not buffer:
            return

    assert len(outcomes(bytes(buffer))) == 1


def test_a_real_record_cut_anywhere_is_torn() -> None:
    """Whatever is missing at its end, a record is refused, alone and behind a whole one; no depth guesses."""
    for data in varied_records():
        for cut in range(1, len(data)):
            assert outcomes(data[:cut]) == {(RecordDecodeError, 0)}
            assert outcomes(data + data[:cut]) == {(RecordDecodeError, len(data))}
            with pytest.raises(RecordDecodeError):
                record_size(data[:cut])
            with pytest.raises(RecordDecodeError):
                decode_record(data[:cut])


def test_an_empty_buffer_holds_no_record() -> None:
    """Nothing is not an error where any number of records may stand; where one must stand it is."""
    assert scan(b"") == ScannedBlock(0, 0, 0, 0)
    assert (list(iter_records(b"")), list(boundaries(b""))) == ([], [])
    with pytest.raises(RecordDecodeError) as caught:
        decode_record(b"")
    assert caught.value.offset == 0


@given(st.integers(EXTRA_KNOWN + 1, (1 << 64) - 1), st.booleans())
def test_an_unknown_extension_is_said_by_every_depth(extra: int, has_jobid: bool) -> None:
    """An extra flag that this version does not know makes the length unknown: UnknownExtension, at the record."""
    good = raw(create(fid=1))
    flags = FLAG_EXTRA | (FLAG_JOBID if has_jobid else 0)
    bad = bytearray(raw(create(fid=2)))
    bad[2:4] = flags.to_bytes(2, "little")
    at = HEADER_BYTES + (32 if has_jobid else 0)
    bad[at : at + 8] = extra.to_bytes(8, "little")
    unknown = bool(extra & ~EXTRA_KNOWN)

    assert unknown
    assert outcomes(good + bytes(bad)) == {(UnknownExtension, len(good))}
    with pytest.raises(UnknownExtension) as caught:
        record_size(good + bytes(bad), len(good))
    assert f"{extra:#x}" in str(caught.value)
    with pytest.raises(UnknownExtension):
        decode_record(good + bytes(bad), len(good))


@each_row("type_", [25, 1000, (1 << 32) - 1])
def test_an_unknown_type_is_a_record_like_any_other(type_: int) -> None:
    """A newer server's type stays a plain number; its neighbours are not touched."""
    values = [create(fid=1), msgspec.structs.replace(create(fid=2), type=type_), create(fid=3)]

    assert list(iter_records(raw(*values))) == values
    assert scan(raw(*values)).count == 3


def test_a_name_too_long_to_be_one_is_refused() -> None:
    """A length that no pair of names has means that these bytes are no record, even if that many bytes follow."""
    data = bytearray(raw(create(fid=1))) + bytes(1 << 16)
    data[0:2] = (MAX_NAME_BYTES + 1).to_bytes(2, "little")

    assert outcomes(bytes(data)) == {(RecordDecodeError, 0)}


@pytest.mark.parametrize("name", each_capture(".raw", ".nidbe.raw"))
def test_scan_of_a_capture_is_what_decoding_finds(name: str) -> None:
    """Count, first and last index, and boundaries of every captured file are those of its decoded records."""
    data = capture(name)
    values = list(iter_records(data))
    span = scan(data)

    assert (span.count, span.size) == (len(values), len(data))
    if values:
        assert (span.first_index, span.last_index) == (values[0].index, values[-1].index)
    assert [decode_record(data, offset) for offset, _ in boundaries(data)] == [
        (value, size) for value, (_, size) in zip(values, boundaries(data), strict=True)
    ]


@pytest.mark.parametrize("name", each_capture(".raw", ".nidbe.raw"))
def test_a_real_record_comes_back_but_for_the_garbage_behind_a_nul(name: str) -> None:
    """Encoding what was decoded gives the device's bytes; only what follows the NUL of jobid or xattr is lost."""
    data = capture(name)
    for offset, size in boundaries(data):
        record, _ = decode_record(data, offset)
        real = bytearray(data[offset : offset + size])
        if record.flags & FLAG_JOBID:
            at = HEADER_BYTES + (32 if record.flags & FLAG_RENAME else 0)
            real[at : at + 32] = record.jobid.ljust(32, b"\0")
        if record.xattr is not None:
            at = HEADER_BYTES + 32 + 8 + 16 + 24
            real[at : at + 256] = record.xattr.ljust(256, b"\0")

        assert encode_record(record) == real


def test_garbage_behind_the_jobid_is_not_read() -> None:
    """Servers leave bytes of earlier requests behind the NUL (seen): two such records are the same value."""
    clean = raw(create(fid=1, jobid=b"cp.0"))
    dirty = bytearray(clean)
    at = clean.index(b"cp.0\0") + 5
    dirty[at : at + 27] = b"an-identifier-of-former-tim"
    real = capture("10-times-defmask/lustre-MDT0000.raw")

    assert decode_record(bytes(dirty)) == decode_record(clean)
    assert any(
        real[offset + HEADER_BYTES : offset + HEADER_BYTES + 32].partition(b"\0")[2].strip(b"\0")
        for offset, _ in boundaries(real)
    )
    assert not any(b"\0" in record.jobid for record in iter_records(real))


def test_the_longest_record_fits_its_bound() -> None:
    """Every extension and two names of 255 bytes stay below MAX_RECORD_BYTES, and one more byte is refused."""
    longest = msgspec.structs.replace(
        rename(fid=1, name=b"o" * 255, to=b"n" * 255, over=2),
        extra_flags=EXTRA_KNOWN,
        jobid=b"j" * 32,
        open_flags=3,
        xattr=b"x" * 256,
    )
    data = encode_record(longest)

    assert len(data) == 947 <= MAX_RECORD_BYTES
    assert decode_record(data) == (longest, 947)
    with pytest.raises(ValueError, match="512 bytes"):
        encode_record(msgspec.structs.replace(longest, name=b"n" * 256))


@each_row(
    "fields",
    [
        {"index": 1 << 64},
        {"index": -1},
        {"time_ns": 1 << 80},
        {"time_ns": -1},
        {"type": 1 << 32},
        {"flags": 1 << 16},
        {"target": FID(1 << 64, 0, 0)},
        {"parent": FID(0, 1 << 32, 0)},
        {"uid": 1 << 64},
        {"jobid": b"j" * 33},
        {"nid": bytes(25)},
        {"extra_flags": EXTRA_KNOWN + 1},
        {"name": b"n" * 512},
    ],
)
def test_a_value_that_does_not_fit_is_refused(fields: dict[str, object]) -> None:
    """Encoding never truncates: a value too large for its field is a ValueError."""
    with pytest.raises(ValueError):
        encode_record(msgspec.structs.replace(create(fid=1), **fields))


def test_an_xattr_name_that_does_not_fit_is_refused() -> None:
    """The name of an xattr has 256 bytes at most."""
    with pytest.raises(ValueError):
        encode_record(xattr(fid=1, xattr=b"x" * 257))


def test_a_header_alone_is_a_record() -> None:
    """A record with no extension and no name is its 64 bytes, and absent extensions have their empty values."""
    data = encode_record(ChangelogRecord(index=7, type=RecordType.SATTR, time_ns=0))
    record, size = decode_record(data)

    assert size == HEADER_BYTES
    assert record == ChangelogRecord(index=7, type=RecordType.SATTR, time_ns=0, flags=FLAG_VERSION)
    assert (record.jobid, record.uid, record.nid, record.open_flags, record.xattr) == (b"", None, None, None, None)


def test_the_layout_is_that_of_the_header_file() -> None:
    """Each field lies at the offset that lustre_user.h gives it, little-endian, time as seconds << 30."""
    data = encode_record(
        rename(
            fid=FID(0x31, 0x32, 0x33), parent=FID(0x41, 0x42, 0x43), name=b"old",
            to_parent=FID(0x21, 0x22, 0x23), to=b"new", over=FID(0x11, 0x12, 0x13),
            index=5, prev=4, time_ns=7_000_000_009, jobid=b"job", uid=1, gid=2,
        )
    )  # fmt: skip

    assert struct.unpack_from("<HHIQQQ", data) == (7, 0xE001, 8, 5, 4, 7 << 30 | 9)
    assert struct.unpack_from("<QIIQII", data, 32) == (0x11, 0x12, 0x13, 0x21, 0x22, 0x23)
    assert struct.unpack_from("<QIIQII", data, 64) == (0x31, 0x32, 0x33, 0x41, 0x42, 0x43)
    assert data[96:128] == b"job".ljust(32, b"\0")
    assert struct.unpack_from("<QQQQ", data, 128) == (3, 1, 2, 9 << 48)
    assert data[176:] == b"new\0old"
