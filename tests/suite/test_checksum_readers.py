"""Checksums: the golden documents have what coreutils computes, and equal files have one value."""

from __future__ import annotations

import subprocess
from collections import Counter

from tests.suite.families import families

CHECKSUM = families()["checksum"]


def test_checksums_are_those_of_sha256sum() -> None:
    """Each golden checksum is that of sha256sum, so the two equal samples share one, and no other does."""
    printed = subprocess.run(["sha256sum", *CHECKSUM.good], capture_output=True, text=True, check=True, timeout=60)
    expected = [line.split()[0] for line in printed.stdout.splitlines()]
    assert [CHECKSUM.expected(sample)["sha256"] for sample in CHECKSUM.good] == expected
    assert sorted(Counter(expected).values()) == [1, 1, 2]
