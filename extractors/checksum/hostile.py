"""For a checksum no file is worse than another: long ones, with holes and without."""

from __future__ import annotations

from pathlib import Path


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    with (folder / "holes.dat").open("wb") as file:
        file.truncate(200 << 20)
    (folder / "lines.txt").write_bytes(b"\n" * 5_000_000)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one file of `size_bytes`."""
    path = folder / "large.dat"
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path
