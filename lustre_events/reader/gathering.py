"""Gathering: small reads become blocks worth storing, decoding nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lustre_events.changelog.record import ScannedBlock, scan
from lustre_events.config.settings import ReaderSettings
from lustre_events.errors import RecordDecodeError
from lustre_events.sources.interface import Source

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """What this reader did since it began: read = stored + dropped + held, for records and for blocks."""

    records_read: int = 0
    records_stored: int = 0
    records_dropped: int = 0
    blocks_read: int = 0
    blocks_stored: int = 0
    blocks_dropped: int = 0
    bytes_read: int = 0
    bytes_stored: int = 0


class Gathering:
    """The reads of one reader. At most one block's records are in here, and one read more."""

    def __init__(self, source: Source, settings: ReaderSettings, clock: Callable[[], float]) -> None:
        self._source = source
        self._block_bytes = settings.block_bytes
        # The lease is renewed between two blocks, so no wait may be longer than a good part of it.
        self._poll_seconds = min(settings.poll_seconds, settings.lease_seconds / 3)
        self._linger_seconds = min(settings.linger_ms / 1000, settings.lease_seconds / 3)
        self._clock = clock
        self._aside = b""
        self._given_at = float("-inf")

    @property
    def empty(self) -> bool:
        """Whether every record that was read has been given out."""
        return not self._aside

    def forget(self) -> None:
        """Drop what was read and not given out."""
        self._aside = b""

    def next(self) -> tuple[ScannedBlock, bytes] | None:
        """Return the next block's records with rising indexes, or None where the source has nothing.

        A block ends when it is full, or `linger_ms` after the one before: at full speed blocks are large, and in
        a quiet time nothing waits.
        Raises ChangelogBroken; RecordDecodeError when the source gave what are no records.
        """
        chunk, self._aside = self._aside, b""
        if not chunk:
            chunk = self._source.read(self._block_bytes, self._poll_seconds)
        if not chunk:
            return None
        # In a quiet time the first record goes at once; what comes soon behind it shares a block.
        deadline = self._given_at + self._linger_seconds
        chunks, whole = [chunk], self._scan(chunk)
        while whole.size < self._block_bytes and (left_seconds := deadline - self._clock()) > 0:
            chunk = self._source.read(self._block_bytes - whole.size, left_seconds)
            if not chunk:
                break
            span = self._scan(chunk)
            if span.first_index <= whole.last_index:
                self._aside = chunk  # the index starts again here: that is another epoch's block
                break
            chunks.append(chunk)
            whole = ScannedBlock(
                whole.count + span.count, whole.first_index, span.last_index, whole.size + span.size,
                whole.size + span.last_offset,
            )  # fmt: skip
        self._given_at = self._clock()
        return whole, b"".join(chunks)

    def _scan(self, chunk: bytes) -> ScannedBlock:
        try:
            return scan(chunk)
        except RecordDecodeError as exc:
            _log.error(
                "%s: what the MDT gave cannot be read as records; they stay on the MDT: %s",
                self._source.mdt, exc, extra={"action": "refuse", "mdt": self._source.mdt},
            )  # fmt: skip
            raise
