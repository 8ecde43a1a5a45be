"""Where the content of a Lustre file lies, from its attribute `lustre.lov`. Pure values.

lustre_user.h: struct lov_user_md_v1 and _v3 (with a pool's name), and struct lov_comp_md_v1 with components, each
of which is one of these. Numbers are in the host's order, which is little-endian wherever Lustre has clients.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PLAIN = struct.Struct("<II16xIHH")
_POOL = struct.Struct("<16s")
_COMPOSITE = struct.Struct("<IIIHHH14x")
_COMPONENT = struct.Struct("<IIQQII16x")
_V1, _V3, _COMPOSITE_V1 = 0x0BD10BD0, 0x0BD30BD0, 0x0BD60BD0
_DOM = 0x100
_OVERSTRIPED = 0x200
_INITIALISED = 0x10
_ALL = 0xFFFF
MOST_COMPONENTS = 1_024


@dataclass(frozen=True, slots=True)
class Layout:
    """Stripes of a file; of a composite one those of its last component that has been made (as of `lfs find`).

    Args:
        kinds: of `raid0`, `dom`, `overstriped`, `pfl` (several extents), `flr` (several mirrors), in this order.
        stripe_count: how many; -1: on all OSTs.
        stripe_size: bytes.
        pool: the pool's name, or None.
        mirror_count: how many copies, 1 of what has no mirrors.
    """

    kinds: tuple[str, ...]
    stripe_count: int
    stripe_size: int
    pool: str | None
    mirror_count: int = 1


def layout_of(value: bytes) -> Layout | None:
    """Return what an attribute says; None: it is none that is known, or is cut."""
    try:
        (magic,) = struct.unpack_from("<I", value)
        return _composite(value) if magic == _COMPOSITE_V1 else _plain(value, 0)
    except struct.error:
        return None


def _plain(value: bytes, at: int) -> Layout | None:
    magic, pattern, size, count, _ = _PLAIN.unpack_from(value, at)
    if magic not in {_V1, _V3}:
        return None
    pool = None
    if magic == _V3:
        raw = _POOL.unpack_from(value, at + _PLAIN.size)[0].split(b"\0")[0]
        pool = "".join(chr(byte) if 0x20 < byte < 0x7F else "?" for byte in raw) or None
    kinds: tuple[str, ...] = ("dom",) if pattern & _DOM else ("raid0",)
    kinds += ("overstriped",) if pattern & _OVERSTRIPED else ()
    return Layout(kinds, -1 if count == _ALL else count, size, pool)


def _composite(value: bytes) -> Layout | None:
    _, _, _, _, entries, mirrors = _COMPOSITE.unpack_from(value)
    found = [_component(value, number) for number in range(min(entries, MOST_COMPONENTS))]
    parts = [each for each in found if each is not None]
    return _of_parts(parts, mirrors) if parts and len(parts) == entries else None


def _of_parts(parts: list[tuple[bool, int, Layout]], mirrors: int) -> Layout:
    shown = _made(parts)
    kinds = {kind for _, _, part in parts for kind in part.kinds}
    kinds |= {"pfl"} if len({start for _, start, _ in parts}) > 1 else set()
    kinds |= {"flr"} if mirrors else set()
    pools: list[str | None] = [part.pool for part in shown if part.pool]
    return Layout(
        _in_order(kinds), shown[-1].stripe_count, shown[-1].stripe_size, (pools or [None])[-1], mirrors + 1
    )


def _made(parts: list[tuple[bool, int, Layout]]) -> list[Layout]:
    """Return the components that have objects on OSTs; else the first one."""
    return [part for made, _, part in parts if made and part.kinds != ("dom",)] or [parts[0][2]]


def _component(value: bytes, number: int) -> tuple[bool, int, Layout] | None:
    """Return whether a component has been made, where it begins, and what it is."""
    _, flags, start, _, offset, _ = _COMPONENT.unpack_from(value, _COMPOSITE.size + number * _COMPONENT.size)
    part = _plain(value, offset)
    return None if part is None else (bool(flags & _INITIALISED), start, part)


def _in_order(kinds: set[str]) -> tuple[str, ...]:
    return tuple(kind for kind in ("raid0", "dom", "overstriped", "pfl", "flr") if kind in kinds)
