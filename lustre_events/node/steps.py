"""Steps of a setup, as values: what each does, whether it is done, how it is done and undone.

One list serves `setup`, `setup --dry-run` and `setup --remove`, so that what is done is what is told and undone.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


def _nothing() -> None:
    """Leave everything as it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Args:
        what: in the words of a command: "write /etc/x".
        done: whether nothing is left to do.
        do: does it; raises OSError or one of our errors.
        undo: makes as if it had never been done; harmless where it was not.
        there: whether there is something to undo.
        kept: it holds data or what other nodes rely on: undone with `--purge` only.
    """

    what: str
    done: Callable[[], bool]
    do: Callable[[], None]
    undo: Callable[[], None] = _nothing
    there: Callable[[], bool] = bool
    kept: bool = False


def forward(steps: Sequence[Step], *, dry: bool = False) -> Iterator[str]:
    """Do what is not done yet, and yield what that is; `dry`: only yield it."""
    for step in steps:
        if not step.done():
            yield step.what
            if not dry:
                step.do()


def backward(steps: Sequence[Step], *, purge: bool, dry: bool = False) -> Iterator[str]:
    """Undo what is there, the last first, and yield what that is; `dry`: only yield it."""
    for step in reversed(steps):
        if step.there() and (purge or not step.kept):
            yield f"undo: {step.what}"
            if not dry:
                step.undo()


@dataclass(frozen=True, slots=True)
class SystemAccounts:
    """The accounts of the system below a root folder, which need not be this one's."""

    root: Path

    def user(self, name: str) -> int | None:
        """Return a UID; None: there is no such account yet."""
        return self._number("passwd", name)

    def group(self, name: str) -> int | None:
        """Return a GID; None: there is no such group yet."""
        return self._number("group", name)

    def _number(self, table: str, name: str) -> int | None:
        if name == "root":
            return 0
        try:
            lines = (self.root / "etc" / table).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return None
        rows = (line.split(":") for line in lines)
        return next((int(row[2]) for row in rows if row[0] == name and len(row) > 2 and row[2].isdecimal()), None)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a file and who else may use it; names that do not exist (yet) stand for root."""

    accounts: SystemAccounts
    user: str = "root"
    group: str = "root"

    def give(self, path: Path) -> None:
        """Let them own it; an ordinary user, who cannot, leaves it (a root folder for a test, or for a package)."""
        if os.geteuid() == 0:
            os.chown(path, *self._numbers(), follow_symlinks=False)

    def has(self, path: Path) -> bool:
        """Return whether they own it."""
        found = path.lstat()
        return os.geteuid() != 0 or (found.st_uid, found.st_gid) == self._numbers()

    def _numbers(self) -> tuple[int, int]:
        return self.accounts.user(self.user) or 0, self.accounts.group(self.group) or 0


def file(
    path: Path, content: Callable[[], bytes], mode: int, owner: Owner, *, keep: bool = False, kept: bool = False,
    what: str = "",
) -> Step:  # fmt: skip
    """Return the step that writes a file.

    Args:
        path: of the file.
        content: what is to be in it; asked for only when it is needed.
        mode: its permissions.
        owner: its owner.
        keep: what is in it stays, where it is there already.
        kept: see Step.
        what: see Step.
    """

    def good() -> bool:
        return path.is_file() and stat.S_IMODE(path.stat().st_mode) == mode and owner.has(path)

    def do() -> None:
        write(path, path.read_bytes() if keep and path.is_file() else content(), mode, owner)

    return Step(
        what or f"write {path}", lambda: good() and (keep or path.read_bytes() == content()), do,
        lambda: path.unlink(missing_ok=True), path.is_file, kept,
    )  # fmt: skip


def write(path: Path, content: bytes, mode: int, owner: Owner) -> None:
    """Write a file as a whole, so that nobody sees half of it or, for a moment, what is not for everybody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
    owner.give(fresh)
    fresh.chmod(mode)
    fresh.replace(path)


def folder(path: Path, mode: int, owner: Owner) -> Step:
    """Return the step that makes a folder; what is in it is data, so it goes with `--purge` only."""

    def do() -> None:
        path.mkdir(parents=True, exist_ok=True)
        owner.give(path)
        path.chmod(mode)

    return Step(
        f"make {path}",
        lambda: path.is_dir() and stat.S_IMODE(path.stat().st_mode) == mode and owner.has(path), do,
        lambda: shutil.rmtree(path, ignore_errors=True), path.is_dir, kept=True,
    )  # fmt: skip


def line(path: Path, text: str) -> Step:
    """Return the step that adds a line to the end of a file of somebody else, which keeps its owner and mode."""

    def lines() -> list[str]:
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def change(wanted: list[str]) -> None:
        with path.open("w", encoding="utf-8") as out:
            out.write("".join(f"{each}\n" for each in wanted))

    return Step(
        f"add to {path}: {text}", lambda: text in lines(), lambda: change([*lines(), text]),
        lambda: change([each for each in lines() if each != text]), lambda: text in lines(),
    )  # fmt: skip


def handed(path: Path, owner: Owner) -> Step:
    """Return the step that gives all files in a folder to an account; undone they are root's alone.

    An account that is removed leaves its number to a later one, which must not get the files.
    """
    root = Owner(owner.accounts)

    def give(owner: Owner) -> None:
        for each in path.rglob("*"):
            owner.give(each)

    def undo() -> None:
        give(root)
        root.give(path)
        path.chmod(0o700)

    return Step(
        f"give what is in {path} to {owner.user}", lambda: all(map(owner.has, path.rglob("*"))),
        lambda: give(owner), undo, path.is_dir,
    )  # fmt: skip
