#!/usr/bin/env python3
"""Write the samples of the extractor anew: two that are equal, one that is not, and an empty one."""

from __future__ import annotations

from pathlib import Path


def main() -> None:
    """Write all."""
    folder = Path(__file__).resolve().parent / "samples"
    folder.mkdir(exist_ok=True)
    (folder / "first.dat").write_bytes(bytes(range(256)) * 5000)
    (folder / "same.bin").write_bytes(bytes(range(256)) * 5000)
    (folder / "other.dat").write_bytes(bytes(range(256)) * 4999 + bytes(256))
    (folder / "empty.txt").write_bytes(b"")


if __name__ == "__main__":
    main()
