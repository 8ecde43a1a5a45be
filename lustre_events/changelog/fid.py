"""The FID: Lustre's name for an object, unique for the life of a file system.

Source: struct lu_fid in Lustre's lustre_user.h (u64 seq, u32 oid, u32 ver; little-endian on the wire), and
its printf format DFID `[%#llx:0x%x:0x%x]`, which prints a zero sequence as a bare `0`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

import msgspec

from lustre_events.errors import ConfigError

_PACKED = struct.Struct(">QII")
_TEXT = re.compile(r"(\[)?(0x[0-9a-fA-F]+|0):(0x[0-9a-fA-F]+|0):(0x[0-9a-fA-F]+|0)(?(1)\])\Z")


class FID(msgspec.Struct, frozen=True, order=True, gc=False):
    """One object. Values compare by (seq, oid, ver)."""

    seq: int
    oid: int
    ver: int = 0

    def __str__(self) -> str:
        return (
            f"[{self.seq:#x}:0x{self.oid:x}:0x{self.ver:x}]" if self.seq else f"[0:0x{self.oid:x}:0x{self.ver:x}]"
        )

    def __bool__(self) -> bool:
        """Whether this names an object at all: the zero FID stands for none."""
        return self.seq != 0 or self.oid != 0 or self.ver != 0

    def pack(self) -> bytes:
        """Return 16 bytes, big-endian, so that their order is the FIDs' order (keys of the index)."""
        return _PACKED.pack(self.seq, self.oid, self.ver)

    @classmethod
    def unpack(cls, packed: bytes) -> FID:
        """Return the FID of 16 bytes that `pack` made."""
        return cls(*_PACKED.unpack(packed))

    @classmethod
    def parse(cls, text: str) -> FID:
        """Return the FID of a text such as `[0x200000401:0x1:0x0]`, with or without the brackets.

        Raises:
            ConfigError: the text is no FID.
        """
        match = _TEXT.match(text.strip())
        if match is None:
            raise ConfigError(f"{text!r} is not a FID; write it as [0x200000401:0x1:0x0]")
        seq, oid, ver = (int(part, 16) for part in match.groups()[1:])
        if seq >= 1 << 64 or oid >= 1 << 32 or ver >= 1 << 32:
            raise ConfigError(f"{text!r} is not a FID: a part is too large (64, 32 and 32 bits)")
        return cls(seq, oid, ver)


def texts_of(packed: Iterable[bytes]) -> list[str]:
    """Return many packed FIDs as text, as `str(FID.unpack(each))`."""
    return [
        f"[{seq:#x}:0x{oid:x}:0x{ver:x}]" if seq else f"[0:0x{oid:x}:0x{ver:x}]"
        for seq, oid, ver in _PACKED.iter_unpack(b"".join(packed))
    ]


NO_FID = FID(0, 0, 0)
ROOT_FID = FID(0x200000007, 1, 0)
"""The root directory of every Lustre file system (seen on a live system)."""
