"""Builders of changelog records for every test: say what matters, the rest has real-looking defaults.

Objects are small numbers or FIDs: `create(fid=1)` is object `[0x200000401:0x1:0x0]` in the root directory.
Each builder also takes any field of ChangelogRecord: `index` (default 1), `time_ns` (default: one second
per index), `uid`, `gid`, `jobid`, `flags` (the type's own bits are added). All of them can be encoded:
`raw(create(fid=1, index=1), unlink(fid=1, index=2))` is what the device would give.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID
from lustre_events.changelog.record import (
    CLOSE_WRITE,
    EXTRA_NID,
    EXTRA_OPEN_MODE,
    EXTRA_UIDGID,
    EXTRA_XATTR,
    FLAG_EXTRA,
    FLAG_JOBID,
    FLAG_RENAME,
    FLAG_VERSION,
    RENME_LAST,
    UNLNK_LAST,
    ChangelogRecord,
    RecordType,
    encode_record,
)
from tests.support.records.captures import each

SEQUENCE = 0x200000401
START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
LOOPBACK = bytes.fromhex("0000000000000900").ljust(24, b"\0")
CAPTURES = Path(__file__).parents[2] / "data" / "captures"

Object = int | FID


def fid_of(number: Object) -> FID:
    """Return the FID of a small number; a FID stays as it is, 0 is no object."""
    if isinstance(number, FID):
        return number
    return FID(SEQUENCE, number) if number else NO_FID


def raw(*records: ChangelogRecord) -> bytes:
    """Return records as the device gives them."""
    return b"".join(map(encode_record, records))


def capture(path: str) -> bytes:
    """Return a file of tests/data/captures, e.g. `09-mdtest-defmask/lustre-MDT0001.raw`, uncompressed."""
    return gzip.decompress((CAPTURES / f"{path}.gz").read_bytes())


def captures(suffix: str) -> list[str]:
    """Return the names (for `capture`) of all captured files that end in `suffix`, e.g. `.nidbe.raw`.

    `.raw` alone stands for the records as the device gave them, without the `.nidbe.raw` files.
    """
    names = (str(path.relative_to(CAPTURES)).removesuffix(".gz") for path in CAPTURES.glob("*/*.gz"))
    return sorted(n for n in names if n.endswith(suffix) and (suffix != ".raw" or not n.endswith(".nidbe.raw")))


def each_capture(*suffixes: str) -> list[Any]:
    """Return `captures` as parameters of a test; `make quick` looks at a few of them."""
    return each(name for suffix in suffixes for name in captures(suffix))


def record(
    type_: int, target: Object = 0, parent: Object = 0, name: bytes = b"", flags: int = 0, **fields: Any
) -> ChangelogRecord:
    """Return a record of any type with a jobid, an owner and a NID, as a real server sends it."""
    values: dict[str, Any] = {"index": 1, "uid": 1000, "gid": 1000, "jobid": b"job.1000", "nid": LOOPBACK, **fields}
    values.setdefault("time_ns", START_NS + values["index"] * SECOND_NS)
    values.setdefault("extra_flags", EXTRA_UIDGID | EXTRA_NID)
    flags |= FLAG_JOBID | FLAG_EXTRA | (0 if flags & FLAG_RENAME else FLAG_VERSION)  # seen in the captures
    return ChangelogRecord(
        type=type_, target=fid_of(target), parent=fid_of(parent), name=name, flags=flags, **values
    )


def create(fid: Object = 1, parent: Object = ROOT_FID, name: bytes = b"a", **fields: Any) -> ChangelogRecord:
    """A new regular file."""
    return record(RecordType.CREAT, fid, parent, name, **fields)


def mkdir(fid: Object = 1, parent: Object = ROOT_FID, name: bytes = b"a", **fields: Any) -> ChangelogRecord:
    """A new directory."""
    return record(RecordType.MKDIR, fid, parent, name, **fields)


def symlink(fid: Object = 1, parent: Object = ROOT_FID, name: bytes = b"a", **fields: Any) -> ChangelogRecord:
    """A new symbolic link."""
    return record(RecordType.SLINK, fid, parent, name, **fields)


def mknod(fid: Object = 1, parent: Object = ROOT_FID, name: bytes = b"a", **fields: Any) -> ChangelogRecord:
    """A new device, pipe or socket."""
    return record(RecordType.MKNOD, fid, parent, name, **fields)


def link(fid: Object = 1, parent: Object = ROOT_FID, name: bytes = b"b", **fields: Any) -> ChangelogRecord:
    """One more name (a hard link) of a file."""
    return record(RecordType.HLINK, fid, parent, name, **fields)


def unlink(
    fid: Object = 1, parent: Object = ROOT_FID, name: bytes = b"a", *, last: bool = True, **fields: Any
) -> ChangelogRecord:
    """A name removed; `last`: the object went with it."""
    flags = fields.pop("flags", 0) | (UNLNK_LAST if last else 0)
    return record(RecordType.UNLNK, fid, parent, name, flags, **fields)


def rmdir(fid: Object = 1, parent: Object = ROOT_FID, name: bytes = b"a", **fields: Any) -> ChangelogRecord:
    """A directory removed."""
    flags = fields.pop("flags", 0) | UNLNK_LAST
    return record(RecordType.RMDIR, fid, parent, name, flags, **fields)


def rename(
    fid: Object = 1,
    parent: Object = ROOT_FID,
    name: bytes = b"a",
    *,
    to: bytes = b"b",
    to_parent: Object | None = None,
    over: Object = 0,
    last: bool = True,
    **fields: Any,
) -> ChangelogRecord:
    """Move `fid` from (`parent`, `name`) to (`to_parent`, `to`); `to_parent` None: within its directory.

    `over` is the object that had the new name before; `last`: that was its last name.
    """
    flags = fields.pop("flags", 0) | FLAG_RENAME | (RENME_LAST if over and last else 0)
    new_parent = parent if to_parent is None else to_parent
    return record(
        RecordType.RENME, over, new_parent, to, flags,
        source=fid_of(fid), source_parent=fid_of(parent), source_name=name, **fields,
    )  # fmt: skip


def migrate(
    fid: Object = 1,
    new_fid: Object = 2,
    parent: Object = ROOT_FID,
    name: bytes = b"a",
    *,
    to_parent: Object | None = None,
    to: bytes | None = None,
    **fields: Any,
) -> ChangelogRecord:
    """Give `fid` the new FID `new_fid`: the record's own parent and name are the *old* place (seen)."""
    flags = fields.pop("flags", 0) | FLAG_RENAME
    return record(
        RecordType.MIGRT, new_fid, parent, name, flags,
        source=fid_of(fid),
        source_parent=fid_of(parent if to_parent is None else to_parent),
        source_name=name if to is None else to,
        **fields,
    )  # fmt: skip


def open_(fid: Object = 1, parent: Object = 0, *, open_flags: int = 1, **fields: Any) -> ChangelogRecord:
    """A file opened; `open_flags` are MDS_OPEN flags (1 read, 2 write, 4 execute)."""
    fields.setdefault("extra_flags", EXTRA_UIDGID | EXTRA_NID | EXTRA_OPEN_MODE)
    return record(RecordType.OPEN, fid, parent, open_flags=open_flags, **fields)


def close(fid: Object = 1, *, write: bool = True, **fields: Any) -> ChangelogRecord:
    """A file closed; `write`: it had been open for writing."""
    flags = fields.pop("flags", 0) | (CLOSE_WRITE | 0x40 if write else 0x1)
    return record(RecordType.CLOSE, fid, flags=flags, **fields)


def truncate(fid: Object = 1, parent: Object = 0, **fields: Any) -> ChangelogRecord:
    """A file's size changed."""
    return record(RecordType.TRUNC, fid, parent, flags=fields.pop("flags", 0xE), **fields)


def sattr(fid: Object = 1, **fields: Any) -> ChangelogRecord:
    """Mode, owner or times changed."""
    return record(RecordType.SATTR, fid, flags=fields.pop("flags", 0x14), **fields)


def mtime(fid: Object = 1, **fields: Any) -> ChangelogRecord:
    """The modification time changed, and nothing else."""
    return record(RecordType.MTIME, fid, **fields)


def xattr(fid: Object = 1, xattr: bytes = b"user.color", **fields: Any) -> ChangelogRecord:
    """An extended attribute was set or removed."""
    fields.setdefault("extra_flags", EXTRA_UIDGID | EXTRA_NID | EXTRA_XATTR)
    return record(RecordType.XATTR, fid, xattr=xattr, **fields)


def layout(fid: Object = 1, **fields: Any) -> ChangelogRecord:
    """A file's layout changed."""
    return record(RecordType.LYOUT, fid, **fields)


def hsm(fid: Object = 1, **fields: Any) -> ChangelogRecord:
    """Something about a file's copy in the archive; `flags` holds error, event and flags."""
    return record(RecordType.HSM, fid, flags=fields.pop("flags", 0), **fields)


def mark(**fields: Any) -> ChangelogRecord:
    """The changelog was switched on or off: no object at all."""
    return record(RecordType.MARK, **fields)
