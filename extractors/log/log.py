"""Logs: which job wrote it, how the job ended, how long it ran, and what went wrong. Made for Slurm's outputs.

The file is read once in pieces; only lines with certain words are looked at closely, and always its end. What a log
does not say is not guessed: Slurm writes nothing of a job that ended well, so its state is then UNKNOWN.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import extractor_batch
import log_lines
from extractor_batch import OutOfTime, within

SECONDS = 20  # of one file; then only its end is looked at
PIECE = 1 << 20
TAIL = 1 << 16
NEAR = 16 << 20  # so near to its beginning and end a log is read for all words, between for few
MAX_LOOKED = 20_000  # lines that are looked at closely
MAX_LINE = 2000  # characters of a line that are looked at
MAX_MESSAGES = 20
MAX_MESSAGE = 300  # characters
LAST_LINES = 5
PERCENT = ("cpu_efficiency_percent", "memory_efficiency_percent")
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\))|[\x00-\x08\x0b-\x1f\x7f]")
DIGITS = re.compile(r"\d+|0x[0-9a-fA-F]+")
ERROR = re.compile(r"(?<!\b0 )(?<!\bno )\berrors?\b|\bfatal\b|Error\b", re.IGNORECASE)
WARNING = re.compile(r"(?<!\b0 )(?<!\bno )\bwarn(?:ing)?s?\b|Warning\b", re.IGNORECASE)


class Log:
    """What is kept of a log."""

    def __init__(self) -> None:
        self.found = log_lines.Found()
        self.lines = self.errors = self.warnings = 0
        self._messages: dict[str, dict[str, str]] = {"error": {}, "warning": {}}
        self._looked = 0

    def piece(self, data: bytes, words: tuple[bytes, ...]) -> None:
        """Take some lines, and look closely at those that have one of `words`."""
        low = data.lower()
        self.lines += data.count(b"\n")
        counts = {word: low.count(word) for word in (b"error", b"fatal", b"warn")}
        self.errors += counts[b"error"] + counts[b"fatal"]
        self.warnings += counts[b"warn"]
        if counts[b"error"] or counts[b"warn"]:
            self.errors -= low.count(b" 0 error") + low.count(b"no error")
            self.warnings -= low.count(b" 0 warn") + low.count(b"no warn")
        places: set[tuple[int, int]] = set()
        for word in words:
            at = low.find(word) if counts.get(word, 1) else -1
            while at >= 0 and self._looked + len(places) < MAX_LOOKED:
                start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
                end = len(data) if end < 0 else end
                places.add((start, min(end, start + MAX_LINE)))
                at = low.find(word, end)
        self._looked += len(places)
        for start, end in sorted(places):
            self.line(data[start:end])

    def line(self, raw: bytes) -> None:
        """Look at one line closely."""
        line = shown(raw)
        self.found.take(line)
        for kind, pattern in (("error", ERROR), ("warning", WARNING)):
            kept = self._messages[kind]
            if len(kept) < MAX_MESSAGES and pattern.search(line):
                kept.setdefault(DIGITS.sub("#", line), line[:MAX_MESSAGE])
                break

    def describe(self, head: bytes, tail: bytes) -> dict[str, Any]:
        """Return the log as the document shows it; `head` and `tail` are its beginning and end."""
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
            ("exceptions", list(found.exceptions)),
            ("error_messages", list(self._messages["error"].values())),
            ("warning_messages", list(self._messages["warning"].values())),
        ):
            if value:
                document[key] = value
        last = [line for raw in tail[-MAX_LINE * LAST_LINES :].split(b"\n") if (line := shown(raw))]
        document["last_lines"] = [line[:MAX_MESSAGE] for line in last[-LAST_LINES:]]
        return document


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
    return found | ({"runtime_seconds": seconds, "runtime_source": "times"} if seconds > 0 else {})


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
    partial = ""
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        tail = file.read(TAIL)
        file.seek(0)
        head = file.read(TAIL)
        file.seek(0)
        if not head.strip():
            raise ValueError("it is empty")
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:1024]:
            raise ValueError("it is a binary file, not a log")
        try:
            with within(SECONDS):
                for piece in pieces(file):
                    middle = NEAR < file.tell() < size - NEAR
                    log.piece(piece, log_lines.FEW_WORDS if middle else log_lines.WORDS)
        except OutOfTime:
            partial = f"in {SECONDS} seconds {file.tell()} of its {size} bytes were read, and its end"
    for line in tail.split(b"\n")[size > TAIL :]:
        log.line(line)
    log.lines += not tail.endswith(b"\n")
    return log.describe(head, tail) | ({"partial": partial} if partial else {})


if __name__ == "__main__":
    extractor_batch.run(extract, isolated=True)
