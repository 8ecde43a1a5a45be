"""Files made from samples by breaking them, the same ones for the same random numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

PLACES = 20
HEAD = 1024
EDGES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"9999999999",
    b"\n",
    b"[",
    b"{",
)


def truncated(content: bytes) -> list[bytes]:
    """Return the beginnings of `content` that end at 20 places, evenly spread, the empty one first."""
    return [content[: len(content) * place // PLACES] for place in range(PLACES)]


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Change 1 to 16 bytes, mostly near the beginning, where headers are."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if changed:
            changed[_place(changed, chance)] = chance.randrange(256)
    return bytes(changed)


def edged(content: bytes, chance: random.Random) -> bytes:
    """Write a value that programs seldom expect over some bytes."""
    place, value = _place(content, chance), chance.choice(EDGES)
    return content[:place] + value + content[place + len(value) :]


def cut(content: bytes, chance: random.Random) -> bytes:
    """Leave some bytes out."""
    place = _place(content, chance)
    return content[:place] + content[place + chance.randrange(1, 64) :]


def repeated(content: bytes, chance: random.Random) -> bytes:
    """Repeat some bytes."""
    place, length, times = _place(content, chance), chance.randrange(1, 256), chance.randrange(2, 100)
    return content[:place] + content[place : place + length] * times + content[place + length :]


def swapped(content: bytes, chance: random.Random) -> bytes:
    """Move some bytes to another place."""
    here, there, length = _place(content, chance), _place(content, chance), chance.randrange(1, 64)
    return content[:there] + content[here : here + length] + content[there + length :]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flipped, flipped, edged, cut, repeated, swapped)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Break `content` in one to three ways."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        content = chance.choice(MUTATIONS)(content, chance)
    return content


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write a file that everybody may read."""
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o644)
    return path


def _place(content: bytes | bytearray, chance: random.Random) -> int:
    if not content:
        return 0
    return chance.randrange(min(HEAD, len(content)) if chance.random() < 0.6 else len(content))
