"""Hypothesis strategies for FIDs, names and changelog records: every value that the wire can carry."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from lustre_events.changelog.fid import FID, NO_FID
from lustre_events.changelog.record import (
    EXTRA_KNOWN,
    EXTRA_NID,
    EXTRA_OPEN_MODE,
    EXTRA_UIDGID,
    EXTRA_XATTR,
    FLAG_EXTRA,
    FLAG_JOBID,
    FLAG_RENAME,
    ChangelogRecord,
    RecordType,
)

u16 = st.integers(0, (1 << 16) - 1)
u32 = st.integers(0, (1 << 32) - 1)
u64 = st.integers(0, (1 << 64) - 1)

fids = st.builds(FID, u64, u32, u32) | st.just(NO_FID)
times_ns = st.integers(0, (1 << 34) * 1_000_000_000 - 1)  # 34 bits of seconds


def texts(max_size: int, min_size: int = 0) -> st.SearchStrategy[bytes]:
    """Bytes without NUL, as names, jobids and names of xattrs are."""
    return st.binary(min_size=min_size, max_size=max_size).map(lambda value: value.replace(b"\0", b"\n"))


names = texts(255, min_size=1).map(lambda value: value.replace(b"/", b"\xff"))
paths = st.lists(names, max_size=4).map(b"/".join)


@st.composite
def records(draw: st.DrawFn) -> ChangelogRecord:
    """Any record, of known and unknown types, with any set of extensions, as decoding would return it."""
    flags = draw(u16)
    extra = draw(st.integers(0, EXTRA_KNOWN)) if flags & FLAG_EXTRA else 0
    renames = bool(flags & FLAG_RENAME)
    return ChangelogRecord(
        index=draw(u64),
        type=draw(st.sampled_from([*RecordType]).map(int) | u32),
        time_ns=draw(times_ns),
        target=draw(fids),
        parent=draw(fids),
        name=draw(names | st.just(b"")),
        prev=draw(u64),
        flags=flags,
        extra_flags=extra,
        source=draw(fids) if renames else NO_FID,
        source_parent=draw(fids) if renames else NO_FID,
        source_name=draw(names | st.just(b"")),
        jobid=draw(texts(32)) if flags & FLAG_JOBID else b"",
        uid=draw(u64) if extra & EXTRA_UIDGID else None,
        gid=draw(u64) if extra & EXTRA_UIDGID else None,
        nid=draw(st.binary(min_size=24, max_size=24)) if extra & EXTRA_NID else None,
        open_flags=draw(u32) if extra & EXTRA_OPEN_MODE else None,
        xattr=draw(texts(256)) if extra & EXTRA_XATTR else None,
    )


_NO_ID = 0xFFFF_FFFF
_few_ids = st.integers(0, 3)
_permissions = st.integers(0, 7)


@st.composite
def access_lists(draw: st.DrawFn) -> bytes:
    """Values of system.posix_acl_access: what the kernel makes, and nearly that, down to any bytes."""
    named = [[(tag, draw(_permissions), draw(_few_ids)) for _ in range(draw(st.integers(0, 2)))] for tag in (2, 8)]
    users, groups = named
    has_mask = bool(users or groups) or draw(st.booleans())
    mask = [(0x10, draw(_permissions), _NO_ID)] if has_mask else []
    owner, group, others = ((tag, draw(_permissions), _NO_ID) for tag in (1, 4, 0x20))
    entries = [owner, *users, group, *groups, *mask, others]
    odd = st.tuples(
        st.sampled_from([1, 2, 4, 8, 0x10, 0x20, 0x40, 0x102]), st.integers(0, 9), _few_ids | st.just(_NO_ID)
    )
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(entries)))
        entries[at : at + draw(st.integers(0, 2))] = draw(
            st.lists(odd | st.sampled_from(entries or [owner]), max_size=2)
        )
    value = b"\2\0\0\0" + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    if draw(st.sampled_from([False, False, False, True])):
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(st.binary(max_size=2)) + value[at + draw(st.integers(0, 2)) :]
    return value


TWO_OF_ONE_KIND = bytes.fromhex("02000000 2000000000000000 2000010000000000".replace(" ", ""))
"""Two entries for others: PostgreSQL and Python once disagreed about it."""
