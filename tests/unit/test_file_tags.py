"""What a worker reads of a file's extended attributes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from workers.file_tags import MOST_BYTES, MOST_TAGS, MOST_VALUE, tags_of_fd


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_PATH)
    yield fd
    os.close(fd)


def read(fd: int, attributes: Mapping[str, bytes | None]) -> dict[str, str]:
    """Return the tags of a file that has these attributes; None: it may not be read."""

    def getxattr(_path: str, name: str) -> bytes:
        value = attributes[name]
        if value is None:
            raise PermissionError(errno.EACCES, "no")
        return value

    found: dict[str, str] = tags_of_fd(fd, lambda _path: list(attributes), getxattr)["xattr"]
    return found


def test_tags_are_attributes_of_users(fd: int) -> None:
    """Attributes `user.` are tags by the rest of their names; those of the system are never read."""
    given = {"user.project": b"halo", "user.run.id": b"7\0", "security.selinux": None, "trusted.lma": None}
    assert read(fd, given) == {"project": "halo", "run.id": "7"}
    assert read(fd, {}) == {}


@pytest.mark.parametrize(
    "given",
    [
        {"user.a": b"1", "user.b": b"\xff"},
        {"user.a": b"1", "user.b": None},
        {"user.a": b"1", "user.b": b"x" * (MOST_VALUE + 1)},
        {"user.a": b"1", "user.\udcff": b"x"},
    ],
    ids=("binary", "forbidden", "long", "name"),
)
def test_what_is_left_out_is_told(fd: int, given: dict[str, bytes | None]) -> None:
    """What is no text, may not be read or is too long is left out, and the tags say that they are partial."""
    assert read(fd, given) == {"a": "1", "partial": "1 of 2 extended attributes"}


def test_tags_are_bounded(fd: int) -> None:
    """A file gives no more than a number of tags and of bytes, however many it has."""
    many = read(fd, {f"user.{number}": b"x" for number in range(MOST_TAGS + 9)})
    large = read(fd, {f"user.{number}": b"x" * MOST_VALUE for number in range(9)})

    assert (len(many), many["partial"]) == (MOST_TAGS + 1, "64 of 73 extended attributes")
    assert sum(map(len, large.values())) <= MOST_BYTES
    assert large["partial"] == "3 of 9 extended attributes"


def test_what_cannot_be_told_is_not_told(fd: int) -> None:
    """A file system without attributes has no tags; where they may not be listed, nothing is said of them."""

    def fails(number: int) -> dict[str, object]:
        def listxattr(_path: str) -> list[str]:
            raise OSError(number, "no")

        return tags_of_fd(fd, listxattr)

    assert fails(errno.EOPNOTSUPP) == {"xattr": {}}
    assert fails(errno.EACCES) == {}
    pipe, other = os.pipe()
    os.close(other)
    assert tags_of_fd(pipe) == {}
    os.close(pipe)
