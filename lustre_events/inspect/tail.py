"""Shows the record streams to people, without a group: nothing is kept for whoever looks.

So a block that is committed and trimmed before it was read here is not shown; a jump between two blocks is reported
(`missed`), although it may also be a legal gap in the index.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lustre_events.changelog.record import ChangelogRecord, RecordType, iter_records
from lustre_events.changelog.text import lfs_line, to_json
from lustre_events.config.nearest import nearest
from lustre_events.errors import ConfigError, StreamDamaged
from lustre_events.streams.interface import Block
from lustre_events.streams.records import RedisRecordStreams

log = logging.getLogger(__name__)

READ_BYTES = 8 << 20
WAIT_SECONDS = 1.0
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class View:
    """What to show: of which MDTs (none: all) and types (none: all), and where to begin.

    `newest`: that many of the newest records of each MDT first; None: everything that Redis has.
    """

    mdts: frozenset[str] = frozenset()
    types: frozenset[int] = frozenset()
    newest: int | None = 10


def types_of(text: str) -> frozenset[int]:
    """Return the record types that a list such as `CREAT,RENME` names. Raises ConfigError."""
    names = text.upper().replace(",", " ").split()
    for name in names:
        if name not in RecordType.__members__:
            raise ConfigError(f"{name} is not a record type{nearest(name, tuple(RecordType.__members__))}")
    return frozenset(int(RecordType[name]) for name in names)


class RecordTail:
    """Records out of the streams, shown through `show(block, record)`; `missed` hears of jumps in the index."""

    def __init__(
        self,
        streams: RedisRecordStreams,
        view: View,
        show: Callable[[Block, ChangelogRecord], None],
        missed: Callable[[str, int, int], None],
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        """`flush` is called whenever all that is there has been shown."""
        self._streams = streams
        self._view = view
        self._show = show
        self._missed = missed
        self._flush = flush
        self._positions: dict[tuple[str, int], int] = {}
        self._stopping = False
        self._said: set[tuple[str, str]] = set()

    def stop(self) -> None:
        """Let `follow` end within a second."""
        self._stopping = True

    def so_far(self) -> None:
        """Show what there is now.

        Raises:
            ConfigError: one of the MDTs has no stream.
            StreamError: Redis is away, or a block is damaged.
            RecordDecodeError: a record cannot be read.
        """
        known = self._streams.mdts()
        for mdt in sorted(self._view.mdts - set(known)):
            raise ConfigError(f"{mdt}: no stream of that name in Redis{nearest(mdt, tuple(known) or ('none',))}")
        for mdt in self._mdts():
            with self._alone(mdt):
                for epoch in self._streams.epochs(mdt):
                    self._positions[mdt, epoch] = 0
                if self._view.newest is not None:
                    self._show_newest(mdt, self._view.newest)
        if self._view.newest is None:
            while self._step(0.0):
                pass
        self._flush()

    def follow(self) -> None:
        """Show what comes, until `stop`. Raises as `so_far`."""
        while not self._stopping:
            self._step(WAIT_SECONDS)

    def _mdts(self) -> list[str]:
        return [mdt for mdt in self._streams.mdts() if not self._view.mdts or mdt in self._view.mdts]

    def _show_newest(self, mdt: str, wanted: int) -> None:
        found: list[tuple[Block, ChangelogRecord]] = []
        for epoch in reversed(self._streams.epochs(mdt)):
            self._positions[mdt, epoch] = self._streams.tail(mdt, epoch)
            for block in self._streams.newest_first(mdt, epoch) if len(found) < wanted else ():
                found = [(block, record) for record in self._records(block)] + found
                if len(found) >= wanted:
                    break
        for block, record in found[len(found) - wanted :] if wanted < len(found) else found:
            self._show(block, record)

    def _step(self, timeout_seconds: float) -> bool:
        for mdt in self._mdts():
            with self._alone(mdt):
                for epoch in self._streams.epochs(mdt):
                    self._positions.setdefault((mdt, epoch), 0)
        blocks = self._streams.read(self._positions, READ_BYTES, timeout_seconds)
        for (mdt, _), damage in self._streams.damaged.items():
            self._leave_alone(mdt, damage)
        for block in blocks:
            place = (block.mdt, block.epoch)
            position = self._positions[place]
            if position and block.first_index > position + 1:
                self._missed(block.mdt, position + 1, block.first_index - 1)
            for record in self._records(block):
                if record.index > position:
                    self._show(block, record)
            self._positions[place] = block.last_index
        if blocks:
            self._flush()
        return bool(blocks)

    @contextlib.contextmanager
    def _alone(self, mdt: str) -> Iterator[None]:
        """Keep what is wrong in the keys of one MDT from stopping the others."""
        try:
            yield
        except StreamDamaged as exc:
            self._leave_alone(mdt, str(exc))

    def _leave_alone(self, mdt: str, damage: str) -> None:
        if (mdt, damage) not in self._said:
            log.warning("%s is left alone: %s", mdt, damage, extra={"action": "skip"})
        self._said.add((mdt, damage))

    def _records(self, block: Block) -> Iterator[ChangelogRecord]:
        for record in iter_records(block.data):
            if not self._view.types or record.type in self._view.types:
                yield record


class Printer:
    """Writes records as `lfs changelog` does, with a line `==> MDT <==` where the MDT changes, or as JSON lines."""

    def __init__(
        self, write: Callable[[bytes], object], *, as_json: bool, titles: bool, escape: bool = False
    ) -> None:
        """`titles`: say whose records follow; `escape`: control characters in names would reach a terminal."""
        self._write = write
        self._escape = escape
        self._as_json = as_json
        self._titles = titles
        self._mdt = ""

    def show(self, block: Block, record: ChangelogRecord) -> None:
        """Write one record."""
        if self._as_json:
            self._write(json_line(block, record))
            return
        if self._titles and block.mdt != self._mdt:
            self._write(f"==> {block.mdt} <==\n".encode())
            self._mdt = block.mdt
        line = lfs_line(record)
        self._write(_CONTROL.sub(_escaped, line[:-1]) + b"\n" if self._escape else line)


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % match[0][0]


def json_line(block: Block, record: ChangelogRecord) -> bytes:
    """Return a record as one JSON object on a line of ASCII: `changelog.text.to_json`, with `mdt` and `epoch`."""
    found: Mapping[str, object] = {"mdt": block.mdt, "epoch": block.epoch, **to_json(record)}
    return json.dumps(found).encode("ascii") + b"\n"
