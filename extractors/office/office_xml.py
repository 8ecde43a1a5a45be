"""XML of a document's parts, read piece by piece: no document types, no entities, nothing from outside."""

from __future__ import annotations

import signal
import zipfile
from collections.abc import Callable
from typing import Any

import extractor_facts as facts
from extractor_batch import OutOfTime
from extractor_xml import Refused, Walk

MAX_MEMBERS = 200_000
Start = Callable[[str, dict[str, str]], None]
End = Callable[[str, str], None]
TOO_BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError)


class Package:
    """The archive that a document is."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.names = {info.filename: info for info in archive.infolist()[:MAX_MEMBERS]}
        self.reasons: list[str] = []
        self.late = False

    def walk(
        self,
        name: str,
        start: Start,
        end: End | None = None,
        text: Callable[[str], None] | None = None,
    ) -> bool:
        """Read a part, where it is there; a broken one is told and costs what comes after its break.

        `text` is for elements that have texts before and between others: `end` then gets none.
        """
        if name not in self.names or self.late:
            return False
        try:
            with self.archive.open(self.names[name]) as stream:
                Walk(start, end, text).read(stream)
        except OutOfTime:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.late = True
            self.reasons.append(f"time was up within {facts.text(name, 100)}")
        except Refused:
            raise
        except (ValueError, *TOO_BROKEN) as exc:
            self.reasons.append(f"{facts.text(name, 100)}: {facts.text(str(exc), 200)}")
        return True

    def start_of(self, name: str, size: int = 200) -> bytes:
        """Return the beginning of a part; nothing where it is not there."""
        if name not in self.names:
            return b""
        try:
            with self.archive.open(self.names[name]) as stream:
                return stream.read(size)
        except TOO_BROKEN:
            return b""

    def count(self, *folders: str) -> int:
        """Return how many members lie in folders."""
        return sum(1 for name in self.names if name.startswith(folders) and not name.endswith("/"))


def chosen(start: Start, end: End, passed: set[str]) -> tuple[Start, End]:
    """Return handlers that pass over elements of some names with all in them."""
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        if depth or name in passed:
            depth += 1
        else:
            start(name, attributes)

    def close(name: str, text: str) -> None:
        nonlocal depth
        if depth:
            depth -= 1
        else:
            end(name, text)

    return begin, close


class Text:
    """Words counted, and the beginning kept."""

    def __init__(self) -> None:
        self.words = self.characters = 0
        self.parts: list[str] = []
        self.kept = 0

    def add(self, paragraph: str) -> None:
        """Take a paragraph."""
        self.words += len(paragraph.split())
        self.characters += len(paragraph)
        if self.kept < facts.MAX_EXCERPT * 2:
            self.parts.append(paragraph[: facts.MAX_EXCERPT * 2])
            self.kept += len(paragraph)

    def document(self) -> dict[str, Any]:
        """Return the counts."""
        return {"words": self.words, "characters": self.characters}

    def excerpt(self) -> str:
        """Return the beginning."""
        return "\n".join(self.parts)


def listed(found: list[str], most: int, what: str, reasons: list[str]) -> list[str]:
    """Return the texts of a list that are some, up to a bound, which is told."""
    shown = [text for one in found if (text := facts.text(one, 500))]
    if len(shown) > most:
        reasons.append(f"of {len(shown)} {what} {most} are listed")
    return shown[:most]
