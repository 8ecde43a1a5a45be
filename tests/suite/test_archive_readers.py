"""Archives hold what bsdtar lists of them, and what was put into them at random."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.support.need import need
from tests.support.profiles import examples
from tests.support.programs import load
from tests.support.service.images import EXTRACTORS
from workers.contract import checked

FOLDER = EXTRACTORS / "archive"
ARCHIVE = load("archive")
SAMPLES = (
    "nested.zip",
    "run7-pzstd.tar.zst",
    "run7.7z",
    "run7-bzip2.7z",
    "stored.7z",
    "run7.cpio",
    "run7-odc.cpio",
    "run7.cpio.gz",
    "run7.tar",
    "run7.tar.gz",
    "run7.tar.lz4",
    "run7.tar.zst",
    "run7.tbz2",
    "run7.txz",
    "run7.zip",
)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress,
}  # fmt: skip
NAMES = st.lists(
    st.text("abcé ", min_size=1, max_size=120).map(str.strip).filter(bool), min_size=1, max_size=20, unique=True
)
TAR_FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


@pytest.mark.parametrize("sample", SAMPLES)
def test_an_archive_has_the_members_that_bsdtar_lists(sample: str) -> None:
    """Names and their number are those of an independent reader."""
    listed = subprocess.run(
        [need("bsdtar"), "-tf", FOLDER / "samples" / sample], capture_output=True, check=True, timeout=60,
        env={"LC_ALL": "C.UTF-8"},
    ).stdout.decode().splitlines()  # fmt: skip
    document = json.loads((FOLDER / "golden" / f"{sample}.json").read_text(encoding="utf-8"))

    assert [name.rstrip("/") for name in document["names"]] == [name.rstrip("/") for name in listed]
    assert document["members"] == len(listed)


def written(form: int | None, members: dict[str, int]) -> bytes:
    """Return a tar archive in a format, or a zip archive where there is none, with members of some sizes."""
    out = io.BytesIO()
    if form is None:
        with zipfile.ZipFile(out, "w") as archive:
            for name, size in members.items():
                archive.writestr(name, bytes(size))
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, size in members.items():
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    return out.getvalue()


def document(path: Path, content: bytes) -> dict[str, Any]:
    """Return the document of an archive."""
    path.write_bytes(content)
    return checked(ARCHIVE.extract(str(path)))


@examples(60, HealthCheck.function_scoped_fixture)
@given(
    names=NAMES,
    size=st.integers(0, 2000),
    form=st.sampled_from([None, *TAR_FORMATS]),
    packed=st.sampled_from([*PACKED]),
)
def test_a_random_archive_has_its_members(
    tmp_path: Path, names: list[str], size: int, form: int | None, packed: str
) -> None:
    """Whatever its format and compression, an archive has the names and the sizes that were put in."""
    if form == tarfile.USTAR_FORMAT:
        names = [name for name in names if len(name.encode()) < 100] or ["a"]
    members = {name: size + place for place, name in enumerate(names)}
    if form is None:
        packed = ""
    found = document(tmp_path / "a", PACKED[packed](written(form, members)))

    assert found["names"] == names
    assert (found["members"], found["content_bytes"]) == (len(names), sum(members.values()))
    assert (found["format"], found.get("compression", "")) == ("zip" if form is None else "tar", packed)
    assert found["largest_bytes"] == max(members.values())
    assert "partial" not in found


@examples(15, HealthCheck.function_scoped_fixture)
@given(
    names=NAMES,
    size=st.integers(0, 2000),
    method=st.sampled_from(["store", "deflate", "bzip2", "lzma1", "lzma2"]),
)
def test_a_random_7z_archive_has_its_members(tmp_path: Path, names: list[str], size: int, method: str) -> None:
    """What bsdtar writes as 7z has the names and the sizes that were put in, empty ones among them."""
    members = {name: max(0, size + place - 1000) for place, name in enumerate(names)}
    (tmp_path / "a.tar").write_bytes(written(tarfile.PAX_FORMAT, members))
    made = [need("bsdtar"), "--format=7zip", "--options", f"7zip:compression={method}", "-cf", f"{tmp_path}/a"]
    subprocess.run([*made, f"@{tmp_path}/a.tar"], check=True, timeout=60, env={"LC_ALL": "C.UTF-8"})
    found = checked(ARCHIVE.extract(str(tmp_path / "a")))

    assert sorted(found["names"]) == sorted(names)
    assert (found["format"], found["members"], found["files"]) == ("7z", len(names), len(names))
    assert (found["content_bytes"], found["largest_bytes"]) == (sum(members.values()), max(members.values()))
    assert "partial" not in found


def test_what_encrypted_names_hide_is_not_told(tmp_path: Path) -> None:
    """Of a 7z archive whose header is encrypted nothing is said but that."""
    packed = b"\x17\x06\0\1\x09\x10\0\x07\x0b\1\0\1\x24\6\xf1\7\1\2\x53\7\x0c\x10\0\0"
    start = struct.pack("<QQI", 0, len(packed), zlib.crc32(packed))
    head = b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start))

    assert document(tmp_path / "a", head + start + packed) == {
        "format": "7z", "encrypted_names": True, "partial": "its names are encrypted",
    }  # fmt: skip


def test_more_names_than_are_kept_are_said(tmp_path: Path) -> None:
    """A long archive has all members counted, and says that not all names are there."""
    found = document(tmp_path / "a", written(tarfile.GNU_FORMAT, {f"{n}.{n}": 0 for n in range(2500)}))

    assert (found["members"], len(found["names"])) == (2500, 2000)
    assert found["partial"].split("; ") == [
        "names are 2000 of 2500", "top_level has the first 200", "extensions are the 100 most frequent",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"@prefix x: <y> .\n", "text"), (b"> a quotation\nof prose.\n", "text"), (b"@r\nAC\n+\nII\n", "fastq")],
)
def test_a_text_is_no_sequence_for_its_first_sign(tmp_path: Path, content: bytes, kind: str) -> None:
    """What is compressed is told by more than its first letter."""
    assert document(tmp_path / "a.gz", gzip.compress(content))["content"] == kind


def test_links_of_a_zip_file_are_those_that_zipinfo_lists(tmp_path: Path) -> None:
    """A symbolic link in a zip file is a link and no file, as zipinfo marks it, where it was made on Unix."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("run/data.csv", "a,b\n")
        for system in (3, 0):
            link = zipfile.ZipInfo(f"run/latest{system}")
            link.create_system, link.external_attr = system, 0o120777 << 16
            archive.writestr(link, "data.csv")
    listed = subprocess.run(
        [need("zipinfo"), "-l", tmp_path / "a.zip"], capture_output=True, check=True, timeout=60, text=True
    ).stdout
    found = checked(ARCHIVE.extract(str(tmp_path / "a.zip")))
    assert found["links"] == sum(line.startswith("l") for line in listed.splitlines()) == 1
    assert found["files"] == 2


def test_hidden_members_keep_their_dots(tmp_path: Path) -> None:
    """The topmost names are what stands before the first slash, dots too; a hidden file has no extension."""
    names = ["./.github/ci.yml", ".gitignore", "src/.bashrc", "src/run.py", "../up/a.txt", "/abs/b.txt"]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    found = checked(ARCHIVE.extract(str(tmp_path / "a.tar")))
    assert found["top_level"] == [".github", ".gitignore", "src", "up", "abs"]
    assert set(found["extensions"]) == {suffix[1:] for name in names if (suffix := Path(name).suffix)}
