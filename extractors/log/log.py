"""Logs: which job wrote it, how the job ended, how long it ran, and what went wrong. Made for Slurm's outputs.

The file is read once in pieces; only lines with certain words are looked at closely, and always its end. What a log
does not say is not guessed: Slurm writes nothing of a job that ended well, so its state is then UNKNOWN.
"""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import log_judge
import log_lines
from extractor_batch import OutOfTime, within
from extractor_facts import common, preview
from extractor_open import PIECE, Source

SECONDS = 40  # of one file; then only its end is looked at
TAIL = 1 << 16
NEAR = 16 << 20  # so near to its beginning and end a log is read for all words, between for few
MAX_LOOKED = 20_000  # lines that are looked at closely
MAX_LINE = 2000  # characters of a line that are looked at
MAX_MESSAGES = 20
MAX_MESSAGE = 300  # characters
LAST_LINES = 5
MAX_RUN = 366 * 86_400  # seconds between two times that can be of one run
PERCENT = ("cpu_efficiency_percent", "memory_efficiency_percent")
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\))|[\x00-\x08\x0b-\x1f\x7f]")
DIGITS = re.compile(r"\d+|0x[0-9a-fA-F]+")


class Log:
    """What is kept of a log."""

    def __init__(self) -> None:
        self.found = log_lines.Found()
        self.lines = self.errors = self.warnings = 0
        self._judge = log_judge.Judge()
        self.unlooked = self.skimmed = False
        self._messages: dict[str, dict[str, str]] = {"error": {}, "warning": {}}
        self._looked = 0

    def piece(self, data: bytes, words: tuple[bytes, ...]) -> None:
        """Take some lines: judge those with words of errors, and look closely at those that have one of `words`."""
        low = data.lower()
        self.lines += data.count(b"\n")
        for start, end in sorted(_lines_with(data, low, log_lines.JUDGED)):
            self.judged(data[start:end])
        places = _lines_with(data, low, words, MAX_LOOKED - self._looked)
        self._looked += len(places)
        self.unlooked = self._looked >= MAX_LOOKED
        for start, end in sorted(places):
            self.found.take(shown(data[start:end]))

    def judged(self, raw: bytes) -> None:
        """Count a line that may tell of an error or a warning, and keep it where it is a new one."""
        kind = self._judge.kind(raw.rpartition(b"\r")[2] if b"\r" in raw.rstrip() else raw)
        if not kind:
            return
        self.errors += kind == "error"
        self.warnings += kind == "warning"
        kept = self._messages[kind]
        if len(kept) <= MAX_MESSAGES:
            line = shown(raw)
            kept.setdefault(DIGITS.sub("#", line), line[:MAX_MESSAGE])
            self.found.take(line)

    def describe(self, head: bytes, tail: bytes, reasons: list[str]) -> dict[str, Any]:
        """Return the log as the document shows it; `head` and `tail` are its beginning and end."""
        if self.unlooked:
            reasons.append(f"job and problems are of {MAX_LOOKED} lines with such words, and of the end")
        if self.skimmed:
            reasons.append(f"between its first and last {NEAR >> 20} MiB problems are only of lines with errors")
        if len(self.found.exceptions) > log_lines.MAX_EXCEPTIONS:
            reasons.append(f"exceptions are the first {log_lines.MAX_EXCEPTIONS}")
        for kind, kept in self._messages.items():
            if len(kept) > MAX_MESSAGES:
                reasons.append(f"{kind}_messages are the first {MAX_MESSAGES}")
        found = self.found
        state, source = found.state()
        document: dict[str, Any] = {
            "format": "slurm" if found.slurm or "state" in found.fields else "log",
            "state": state,
        }
        if source:
            document["state_source"] = source
        document |= {key: value for key, value in found.fields.items() if key not in ("state", *PERCENT)}
        document |= {key: float(found.fields[key]) for key in PERCENT if key in found.fields}
        document |= span(head, tail)
        if found.runtime[2]:
            document |= {"runtime_seconds": found.runtime[1], "runtime_source": found.runtime[2]}
        document |= {"lines": self.lines, "errors": self.errors, "warnings": self.warnings}
        for key, value in (
            ("problems", sorted(found.problems)),
            ("exceptions", list(found.exceptions)[: log_lines.MAX_EXCEPTIONS]),
            ("error_messages", list(self._messages["error"].values())[:MAX_MESSAGES]),
            ("warning_messages", list(self._messages["warning"].values())[:MAX_MESSAGES]),
        ):
            if value:
                document[key] = value
        last = [line for raw in tail[-MAX_LINE * LAST_LINES :].split(b"\n") if (line := shown(raw))]
        document["last_lines"] = [line[:MAX_MESSAGE] for line in last[-LAST_LINES:]]
        excerpt = "\n".join(map(shown, head[: 4 * MAX_LINE].split(b"\n")))
        first, last = document.get("first_time"), document.get("last_time")
        times = common(start=first, end=last) if first != last else {}  # of one time it is not known which it is
        return document | times | preview(excerpt=excerpt)


def _lines_with(data: bytes, low: bytes, words: tuple[bytes, ...], most: int = 1 << 60) -> set[tuple[int, int]]:
    """Return where lines begin and end that have one of `words`; `low` is `data` in small letters."""
    places: set[tuple[int, int]] = set()
    for word in words:
        at = low.find(word)
        while at >= 0 and len(places) < most:
            start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            end = len(data) if end < 0 else end
            places.add((start, min(end, start + MAX_LINE)))
            at = low.find(word, end)
    return places


def shown(raw: bytes) -> str:
    """Return a line as text without colours and control characters; of a progress bar what it showed last."""
    text = raw[:MAX_LINE].decode("utf-8", "replace").rstrip()
    return ESCAPES.sub("", text.rpartition("\r")[2]).strip()


def span(head: bytes, tail: bytes) -> dict[str, Any]:
    """Return the first and the last time that a log names, and the time between them."""
    first, last = (log_lines.times(part.decode("utf-8", "replace")) for part in (head, tail))
    if not first or not last:
        return {}
    found: dict[str, Any] = {"first_time": first[0].isoformat(), "last_time": last[-1].isoformat()}
    seconds = (last[-1] - first[0]).total_seconds()
    if 0 < seconds < MAX_RUN:
        found |= {"runtime_seconds": seconds, "runtime_source": "times"}
    return found


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file in pieces that end where a line does, if lines are not longer than pieces."""
    rest = b""
    while data := file.read(PIECE):
        data = rest + data
        end = data.rfind(b"\n") + 1 or len(data)
        rest = data[end:]
        yield data[:end]
    if rest:
        yield rest


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    log = Log()
    reasons: list[str] = []
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        source = Source(file)
        head = source.sample[:TAIL]
        if not head.strip():
            raise ValueError("it is empty")
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:1024]:
            raise ValueError("it is a binary file, not a log")
        tail = read(log, source, size, reasons)
        if source.compression is None:
            file.seek(max(0, size - TAIL))
            tail = file.read(TAIL)
        if source.damage:
            reasons.append(f"it is torn or damaged: {source.damage}"[:MAX_MESSAGE])
    for line in tail.split(b"\n"):
        log.found.take(shown(line))
    log.lines += not tail.endswith((b"\n", b"\r"))
    document = log.describe(head, tail, reasons)
    if source.compression:
        document["compression"] = source.compression
    return document | ({"partial": "; ".join(reasons)} if reasons else {})


def read(log: Log, source: Source, size: int, reasons: list[str]) -> bytes:
    """Read all pieces of a log, and return the end of what was read."""
    place, tail = 0, b""
    try:
        with within(SECONDS):
            for piece in pieces(io.BufferedReader(source, PIECE)):
                place += len(piece)
                middle = place > NEAR and (source.compression is not None or place < size - NEAR)
                log.skimmed = log.skimmed or middle
                log.piece(piece, log_lines.FEW_WORDS if middle else log_lines.WORDS)
                tail = piece[-TAIL:] if len(piece) >= TAIL else (tail + piece)[-TAIL:]
    except OutOfTime:
        end = ", and its end" if source.compression is None else ""
        reasons.append(f"in {SECONDS} seconds {place} bytes of it were read{end}")
    return tail


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True, seconds_per_file=60)
