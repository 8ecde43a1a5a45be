"""Changes of a tree by chance, for as long as it is wanted: files written, renamed, linked, removed, moved."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
from pathlib import Path
from typing import Self

MOST_FILES = 120
PAUSE_SECONDS = 0.15
NAMES = ("a", "b", "c", "é", "two words", "x'y", "n\nl")
ENDS = ("csv", "csv", "csv", "bin", "dat2", "")
NUMBERS = itertools.count()
"""Of all workloads of a run: a name or a column of an earlier one never comes again."""


class Workload(threading.Thread):
    """Changes what is below `top` until `finish`; the same seed makes the same choices."""

    def __init__(self, top: Path, seed: int) -> None:
        """Take the folder and the seed."""
        super().__init__(daemon=True)
        self.top, self.done = top, 0
        self._chance, self._ends = random.Random(seed), threading.Event()
        self._deeds = [
            *(self.write,) * 3, self.rewrite, self.rename, self.remove, self.make, self.move, self.link, self.mode,
        ]  # fmt: skip

    def run(self) -> None:
        """Do one thing after the other."""
        while not self._ends.wait(PAUSE_SECONDS):
            with contextlib.suppress(OSError):  # what cannot be done so is not done
                self._chance.choice(self._deeds)()
                self.done += 1

    def __enter__(self) -> Self:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Finish."""
        self.finish()

    def finish(self) -> None:
        """Stop, and wait for the last change."""
        self._ends.set()
        self.join(30)

    def folders(self) -> list[Path]:
        """Return all folders, the top first."""
        return [self.top, *sorted(path for path in self.top.rglob("*") if path.is_dir())]

    def files(self) -> list[Path]:
        """Return all files."""
        return sorted(path for path in self.top.rglob("*") if path.is_file())

    def write(self) -> None:
        """Make a file; at most as many as the extractors keep up."""
        if len(self.files()) < MOST_FILES:
            self._fill(self._fresh())

    def rewrite(self) -> None:
        """Write one of the files anew."""
        self._fill(self._chance.choice(self.files() or [self._fresh()]))

    def rename(self) -> None:
        """Give a file another name, or that of another file."""
        files = self.files()
        if files:
            self._chance.choice(files).rename(self._chance.choice([self._fresh(), self._chance.choice(files)]))

    def remove(self) -> None:
        """Remove a file."""
        if files := self.files():
            self._chance.choice(files).unlink()

    def make(self) -> None:
        """Make a folder, or remove one that is empty."""
        folders = self.folders()
        empty = [path for path in folders[1:] if not any(path.iterdir())]
        if len(folders) > 12 and empty:
            self._chance.choice(empty).rmdir()
        elif len(folders) <= 12:
            (self._chance.choice(folders) / f"folder{next(NUMBERS)}").mkdir()

    def move(self) -> None:
        """Move a folder with all that is in it."""
        if len(folders := self.folders()) > 2:
            source, target = self._chance.choice(folders[1:]), self._chance.choice(folders)
            if not target.is_relative_to(source):
                source.rename(target / f"moved{next(NUMBERS)}")

    def link(self) -> None:
        """Give a file one more name."""
        if files := self.files():
            self._fresh().hardlink_to(self._chance.choice(files))

    def mode(self) -> None:
        """Change what may be done with a file; all may read it, for containers do not run as root."""
        if files := self.files():
            self._chance.choice(files).chmod(self._chance.choice([0o644, 0o664, 0o755]))

    def _fresh(self) -> Path:
        end = self._chance.choice(ENDS)
        name = f"{self._chance.choice(NAMES)}{next(NUMBERS)}{'.' if end else ''}{end}"
        return self._chance.choice(self.folders()) / name

    def _fill(self, path: Path) -> None:
        """Write a table whose column is named like nothing before it: an old document cannot pass for a new one."""
        number = next(NUMBERS)
        with path.open("w") as out:
            out.write(f"column{number},other\n1,2\n" + "3,4\n" * self._chance.randrange(30))
            out.flush()
            os.fsync(out.fileno())
