"""Where a page of hits ended, as a token that a program can keep and give back for the next page.

It holds no offset but the last hit's place in the order, so that a change between two pages neither repeats nor
skips what did not change; and the moment that `now` means, so that all pages answer the same question.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from lustre_events.errors import QueryError
from lustre_events.index.backend import PagePosition
from lustre_events.index.interface import Signed64

_VERSION = 1
_CHECK = 6


class PageEnd(msgspec.Struct, frozen=True, array_like=True):
    """The end of a page: behind `position` in the order of a column, or behind a path in a subtree's walk."""

    now_ns: int
    position: tuple[Signed64 | None, Signed64] | None = None
    path: bytes | None = None

    @property
    def after(self) -> PagePosition | None:
        """The place, as a Reading takes it."""
        return None if self.position is None else PagePosition(*self.position)


def token(cursor: PageEnd, query: str, sort: str | None) -> str:
    """Return a cursor of a search as letters, digits, `-` and `_`."""
    packed = msgspec.msgpack.encode((_VERSION, cursor))
    return base64.urlsafe_b64encode(_check(packed, query, sort) + packed).decode().rstrip("=")


def read(text: str, query: str, sort: str | None) -> PageEnd:
    """Return the cursor of a token.

    Raises:
        QueryError: it is damaged, or of another query or order.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, packed = data[:_CHECK], data[_CHECK:]
        if check != _check(packed, query, sort):
            raise ValueError
        version, cursor = msgspec.msgpack.decode(packed, type=tuple[int, PageEnd])
        if version != _VERSION:
            raise ValueError
    except (ValueError, binascii.Error, msgspec.DecodeError) as exc:
        raise QueryError(
            "the cursor is damaged, or belongs to another query or order; begin again without it"
        ) from exc
    return cursor


def _check(packed: bytes, query: str, sort: str | None) -> bytes:
    told = msgspec.msgpack.encode((packed, query.encode("utf-8", "surrogateescape"), sort))
    return hashlib.blake2b(told, digest_size=_CHECK).digest()
