"""Directory globs of rules, as far as a path has come in them: whether a move changes what rules say below it.

A glob is a row of segments, and what it can still match below a directory depends only on the segments that the
directory's path may have used up: its places. So two paths with the same places are the same to a glob, however
deep the tree below them is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SPECIAL = re.compile(rb"[\\\[\]^&~|]")

Segment = re.Pattern[bytes] | None
"""The pattern of one name, or None for `**`: any number of names."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The directory globs of one rule."""

    globs: tuple[tuple[Segment, ...], ...]

    def places(self, directories: Iterable[bytes]) -> frozenset[tuple[int, int]]:
        """Return (glob, segments used up) for all ways in which globs match `directories` or go on below them."""
        return frozenset(
            (number, place)
            for directory in directories
            for number, segments in enumerate(self.globs)
            for place in _places(segments, [name for name in directory.split(b"/") if name])
        )


def _places(segments: Sequence[Segment], names: Sequence[bytes]) -> set[int]:
    places = _skip(segments, {0})
    for name in names:
        after = {place for place in places if place < len(segments) and segments[place] is None}
        for place in places - after:
            pattern = segments[place] if place < len(segments) else None
            if pattern is not None and pattern.match(name):
                after.add(place + 1)
        places = _skip(segments, after)
    return places


def _skip(segments: Sequence[Segment], places: set[int]) -> set[int]:
    """Return places and those behind them that `**` reaches with no name at all."""
    found = set(places)
    for place, segment in enumerate(segments):
        if segment is None and place in found:
            found.add(place + 1)
    return found


def directory_pattern(glob: bytes) -> bytes:
    """Return the pattern of a directory glob over `/a/b/c`, to be followed by its end; the mount point is empty."""
    runs = [b""]
    for segment in glob.split(b"/"):
        if segment == b"**":
            runs.append(b"")
        elif segment:
            runs[-1] += b"/" + name_pattern(segment)
    return in_turn(runs, rb"(?:/[^/]+)*", rb"(?=/|\Z)")


def in_turn(pieces: Sequence[bytes], gap: bytes, border: bytes = b"") -> bytes:
    """Return the pattern of pieces with gaps between them, which takes no more time the more gaps there are.

    A piece between two gaps is taken where it comes first, once and for all: that leaves the most for what comes
    behind it. Plain patterns would try all places of all pieces: hours for `*a*a*a*a*b` over a long name.
    """
    first, *behind = pieces
    if not behind:
        return first
    between = b"".join(b"(?>" + gap + b"?" + piece + border + b")" for piece in behind[:-1] if piece)
    return first + between + gap + behind[-1]


def segments_of(glob: bytes) -> tuple[Segment, ...]:
    """Return the segments of a directory glob."""
    return tuple(
        None if segment == b"**" else re.compile(name_pattern(segment) + rb"\Z", re.DOTALL)
        for segment in glob.split(b"/")
        if segment
    )


def name_pattern(glob: bytes) -> bytes:
    """Return the pattern of a glob over one name: `*`, `?` and `[...]`, which never match a slash."""
    pieces, at = [b""], 0
    while at < len(glob):
        char = glob[at : at + 1]
        at += 1
        if char == b"*":
            pieces.append(b"")
        elif char == b"?":
            pieces[-1] += rb"[^/]"
        elif char == b"[" and (end := glob.find(b"]", at + (2 if glob[at : at + 1] == b"!" else 1))) > 0:
            members = glob[at:end]
            negation, members = (b"^", members[1:]) if members[:1] == b"!" else (b"", members)
            pieces[-1] += rb"(?!/)[" + negation + _SPECIAL.sub(rb"\\\g<0>", members) + b"]"
            at = end + 1
        else:
            pieces[-1] += re.escape(char)
    return in_turn(pieces, rb"[^/]*")
