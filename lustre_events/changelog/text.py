"""Records as text: the line that `lfs changelog` prints, and a JSON object.

Lines are bytes, since names and jobids are. The format is that of Lustre 2.17 (lfs.c for the line,
nidstrings.c for NIDs); every line of the captures in tests/data was printed by a real `lfs`. Times are UTC in
both forms: `lfs` itself prints UTC, whatever the time zone of the machine.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from socket import AF_INET6, inet_ntop
from typing import Any, BinaryIO

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import (
    EXTRA_NID_BIG_ENDIAN,
    FLAG_EXTRA,
    FLAG_JOBID,
    FLAG_RENAME,
    MAX_RECORD_BYTES,
    TYPE_FLAGS,
    ChangelogRecord,
    RecordType,
    decode_record,
)
from lustre_events.errors import RecordDecodeError

_TYPE_NAMES = {int(known): known.name for known in RecordType}
_SECOND = 1_000_000_000

# LNet's network types: number in the NID → (name, whether addresses are IP addresses). Source: nidstr.h.
_NETWORKS = {
    2: ("tcp", True),
    5: ("o2ib", True),
    9: ("lo", False),
    13: ("gni", False),
    14: ("gip", True),
    15: ("ptlf", False),
    16: ("kfi", False),
    18: ("efa", True),
    19: ("bxi3f", False),
}
_NID_BYTES = 20
_ANY_NETWORK = 0xFF
_ANY_SMALL_NID = (1 << 64) - 1
_U64 = struct.Struct("<Q")
_LARGE_NID = struct.Struct(">BBH")  # struct lnet_nid: bytes above 8, network type, network number; the address

_HSM_EVENTS = ("archive", "restore", "cancel", "release", "remove", "state")
"""enum hsm_event in lustre_user.h; the error has 7 bits, the event 3, the flags (1: dirty) 2."""

_MODE_READ, _MODE_WRITE, _MODE_EXEC = 0x1, 0x2 | 0o1000 | 0o2000, 0x4
"""MDS_FMODE_READ; MDS_FMODE_WRITE, MDS_OPEN_TRUNC and MDS_OPEN_APPEND; MDS_FMODE_EXEC."""


# Branches: one for each part of a line, in the order of lfs.
def lfs_line(record: ChangelogRecord) -> bytes:
    """Return what `lfs changelog` prints for `record`, with the final newline.

    Names stand as they are: one with a newline makes the line two. A type that this version does not know
    gets no name but `(null)`, as lfs prints it.
    """
    head = (
        f"{record.index} {record.type:02d}{_TYPE_NAMES.get(record.type, '(null)'):<5} "
        f"{_time(record.time_ns, '%H:%M:%S.{:09d} %Y.%m.%d')} 0x{record.flags & TYPE_FLAGS:x} t={record.target}"
    )
    parts = [head.encode()]
    if record.jobid:
        parts.append(b"j=" + record.jobid)
    if record.flags & FLAG_EXTRA:
        parts.append(f"ef=0x{record.extra_flags:x}".encode())
    if record.uid is not None:
        parts.append(f"u={record.uid}:{record.gid}".encode())
    if record.nid is not None:
        parts.append(f"nid={nid_text(record.nid, record.extra_flags)}".encode())
    if record.open_flags is not None and open_mode(record.open_flags) != "---":
        parts.append(f"m={open_mode(record.open_flags)}".encode())
    if record.xattr:
        parts.append(b"x=" + record.xattr)
    if _is_set(record.parent):
        parts.append(f"p={record.parent}".encode())
    if record.name or record.source_name:
        parts.append(record.name)
    if record.flags & FLAG_RENAME and _is_set(record.source):
        parts += [f"s={record.source} sp={record.source_parent}".encode(), record.source_name]
    return b" ".join(parts) + b"\n"


def to_json(record: ChangelogRecord) -> dict[str, Any]:
    """Return every field of `record` as JSON types; an extension that is not there is null.

    `type` is the number and `type_name` its name (null: unknown to this version); FIDs and the NID are text;
    `time` is ISO 8601 in UTC with all nanoseconds. Bytes that are not UTF-8 are surrogate escapes, so
    `text.encode("utf-8", "surrogateescape")` gives the exact name back.
    """
    moved = bool(record.flags & FLAG_RENAME)
    return {
        "index": record.index,
        "prev": record.prev,
        "type": record.type,
        "type_name": _TYPE_NAMES.get(record.type),
        "flags": record.flags,
        "time_ns": record.time_ns,
        "time": _time(record.time_ns, "%Y-%m-%dT%H:%M:%S.{:09d}Z"),
        "target": str(record.target),
        "parent": str(record.parent),
        "name": _text(record.name),
        "source": str(record.source) if moved else None,
        "source_parent": str(record.source_parent) if moved else None,
        "source_name": _text(record.source_name) if moved or record.source_name else None,
        "jobid": _text(record.jobid) if record.flags & FLAG_JOBID else None,
        "extra_flags": record.extra_flags if record.flags & FLAG_EXTRA else None,
        "uid": record.uid,
        "gid": record.gid,
        "nid": None if record.nid is None else nid_text(record.nid, record.extra_flags),
        "open_flags": record.open_flags,
        "xattr": None if record.xattr is None else _text(record.xattr),
        "hsm": hsm(record.flags) if record.type == RecordType.HSM else None,
    }


def hsm(flags: int) -> dict[str, Any]:
    """Return what the type's own bits of an HSM record say: event (null: unknown), error (0 or an errno), flags."""
    event = flags >> 7 & 0x7
    return {
        "event": _HSM_EVENTS[event] if event < len(_HSM_EVENTS) else None,
        "error": flags & 0x7F,
        "flags": flags >> 10 & 0x3,
    }


def json_line(record: ChangelogRecord) -> bytes:
    """Return `to_json` as one line of ASCII (other characters as escapes), with the final newline."""
    return json.dumps(to_json(record)).encode("ascii") + b"\n"


def decode_file(
    stream: BinaryIO, write: Callable[[bytes], object], *, as_json: bool, chunk_bytes: int = 1 << 20
) -> int:
    """Write a line (JSON or as lfs prints it) for each raw record of `stream`; return how many there were.

    The stream is read in chunks and may be of any length.

    Raises:
        RecordDecodeError: bytes that are no whole record, at the offset in the stream; every record before
            them has been written.
    """
    line = json_line if as_json else lfs_line
    count = base = 0  # base: where `buffer` begins in the stream
    buffer = b""
    ended = False
    while not ended:
        chunk = stream.read(chunk_bytes)
        ended = not chunk
        buffer += chunk
        # What may be cut off by the end of the chunk waits for the next one.
        offset, end = 0, len(buffer) if ended else len(buffer) - MAX_RECORD_BYTES
        lines = []
        try:
            while offset < end:
                record, size = decode_record(buffer, offset)
                lines.append(line(record))
                offset += size
        except RecordDecodeError as exc:
            raise exc.behind(base) from None
        finally:
            write(b"".join(lines))
        count += len(lines)
        base += offset
        buffer = buffer[offset:]
    return count


def nid_text(nid: bytes, extra_flags: int) -> str:
    """Return the text of a record's NID extension, e.g. `192.168.1.2@tcp`, `0@lo`, `10.0.0.1@o2ib1`.

    `extra_flags` say which of two forms the bytes have: a little-endian 64-bit NID (type and number of the
    network above a 32-bit address), or the big-endian struct lnet_nid with room for IPv6.
    """
    nid = nid[:_NID_BYTES].ljust(_NID_BYTES, b"\0")
    if extra_flags & EXTRA_NID_BIG_ENDIAN:
        more, network, number = _LARGE_NID.unpack_from(nid)
        address = nid[4 : 8 + more]
        if network == _ANY_NETWORK:
            return "<?>"
    else:
        (value,) = _U64.unpack_from(nid)
        if value == _ANY_SMALL_NID:
            return "<?>"
        network, number, address = value >> 48, value >> 32 & 0xFFFF, (value & 0xFFFFFFFF).to_bytes(4, "big")
    if network not in _NETWORKS:
        words = ":".join(f"{int.from_bytes(address[at : at + 4], 'big'):x}" for at in range(0, len(address), 4))
        return f"{words}@<{network}:{number}>"
    name, is_ip = _NETWORKS[network]
    if not is_ip:
        host = str(int.from_bytes(address[:4], "big"))
    elif len(address) == 16:
        host = inet_ntop(AF_INET6, address)
    else:
        host = ".".join(map(str, address[:4]))
    return f"{host}@{name}{number or ''}"


def open_mode(open_flags: int) -> str:
    """Return how a file was opened, as `lfs` shows it: `r--`, `-w-`, `rw-`, `--x`, or `---` for neither."""
    if open_flags & _MODE_EXEC:
        return "--x"
    return ("r" if open_flags & _MODE_READ else "-") + ("w-" if open_flags & _MODE_WRITE else "--")


def _time(time_ns: int, pattern: str) -> str:
    seconds, nanoseconds = divmod(time_ns, _SECOND)
    return time.strftime(pattern, time.gmtime(seconds)).format(nanoseconds)


def _is_set(fid: FID) -> bool:
    """Return whether lfs prints `fid`: it does not look at the version."""
    return fid.seq != 0 or fid.oid != 0


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
