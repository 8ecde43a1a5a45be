"""Pages are read in a child: where PDFium crashes or is slow on them, what is known before stays.

One child reads the pages of many files, since a fork takes longer than most of them. Part of the extractor `pdf`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
from pdf_pages import pages, png

THUMBNAIL_SECONDS = 2


class Child:
    """A process that reads pages of the files it is asked for."""

    def __init__(self) -> None:
        asking, asked = os.pipe()
        answering, answered = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(asked)
            os.close(answering)
            with contextlib.suppress(BaseException):
                serve(asking, answered)
            os._exit(0)
        os.close(asking)
        os.close(answered)
        self._asked, self._answers = os.fdopen(asked, "w"), os.fdopen(answering)
        self.files = 0

    def read(self, path: str, known: dict[str, Any]) -> tuple[str, str]:
        """Return what its pages say and its thumbnail, as JSON; empty from where on the child has ended."""
        self.files += 1
        with contextlib.suppress(OSError):
            self._asked.write(json.dumps([path, known]) + "\n")
            self._asked.flush()
        told = self._answers.readline()
        return told, self._answers.readline() if told else ""

    def end(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            self._asked.close()
        self._answers.close()


def serve(asking: int, answering: int) -> None:
    """Be the child: answer until nothing more is asked."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with os.fdopen(asking) as jobs, os.fdopen(answering, "w") as out:
        for line in jobs:
            path, found = json.loads(line)
            document = pdfium.PdfDocument(Path(path))
            page = pages(document, found)
            out.write(json.dumps(found) + "\n")
            out.flush()
            signal.setitimer(signal.ITIMER_REAL, THUMBNAIL_SECONDS)
            shown = png(page) if page else None
            signal.setitimer(signal.ITIMER_REAL, 0)
            out.write(json.dumps({"thumbnail": shown}) + "\n")
            out.flush()
            document.close()


class Pages:
    """The child that is kept from file to file, and what becomes of one that crashed or was too slow."""

    def __init__(self) -> None:
        self.child: Child | None = None

    def add(self, path: Path, found: dict[str, Any]) -> None:
        """Add what the pages of a file say, and its thumbnail.

        Raises:
            ValueError: a child that had read no other file ended before it had read this one's.
        """
        told = drawn = ""
        while not told:
            child = self.child = self.child or Child()
            fresh = child.files == 0
            try:
                told, drawn = child.read(str(path), found)
            finally:
                if not drawn:  # also where time was up
                    child.end()
                    self.child = None
            if fresh and not told:
                raise ValueError("PDFium cannot read its pages")
        found |= json.loads(told)
        with contextlib.suppress(ValueError):
            found |= json.loads(drawn or "{}")
