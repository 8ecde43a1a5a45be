"""What is below a directory that is copied: how much of it a listing may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service.copy_site import OWNER
from workers.rights import OwnerRefused
from workers.tree_listing import listing

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")


@pytest.fixture
def folder(open_folder: Path) -> Iterator[int]:
    """Give a directory with the paths a, a/bb, a/bb/ccc and a/d, of 1 + 4 + 8 + 3 bytes."""
    (open_folder / "a" / "bb").mkdir(parents=True)
    (open_folder / "a" / "bb" / "ccc").touch()
    (open_folder / "a" / "d").touch()
    fd = os.open(open_folder, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_listing_is_bounded_by_number(folder: int) -> None:
    """Files and directories count alike, and one more than may be is refused in a sentence."""
    assert [each.path for each in listing(folder, None, most=4).files] == [b"a/bb/ccc", b"a/d"]
    with pytest.raises(OwnerRefused, match="more than 3 files and directories are in it; let rules copy less"):
        listing(folder, None, most=3)


def test_a_listing_is_bounded_by_the_bytes_of_its_paths(folder: int) -> None:
    """Whole paths count, not names: a deep tree of few files may have long ones."""
    assert len(listing(folder, None, most_bytes=16).files) == 2
    with pytest.raises(OwnerRefused, match="the paths of what is in it have more than 0 MiB; let rules"):
        listing(folder, None, most_bytes=15)


def test_bytes_of_a_name_count_as_what_they_are_in_the_answer(folder: int, open_folder: Path) -> None:
    """The listing comes as JSON: a byte that is no UTF-8, or a control character, is six there (RFC 8259, 7)."""
    Path(os.fsdecode(os.fsencode(open_folder) + b"/\xff\x01")).touch()
    assert len(listing(folder, None, most_bytes=28).files) == 3
    with pytest.raises(OwnerRefused, match="the paths of what is in it"):
        listing(folder, None, most_bytes=27)


@needs_root
def test_what_cannot_be_read_counts_too(folder: int, open_folder: Path) -> None:
    """Files and directories that the user cannot read are told, and take room as all others do."""
    for name in ("a/bb/ccc", "a/d"):
        (open_folder / name).chmod(0)
    assert len(listing(folder, OWNER, most=4).closed) == 2
    with pytest.raises(OwnerRefused, match="more than 3 files"):
        listing(folder, OWNER, most=3)
    with pytest.raises(OwnerRefused, match="the paths of what is in it"):
        listing(folder, OWNER, most_bytes=15)
