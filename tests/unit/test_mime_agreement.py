"""Types by content agree with libmagic on the files that are installed here, but for the reasons written below."""

from __future__ import annotations

import os
import random
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.support.need import need
from workers.mime import mime_of_fd

pytestmark = pytest.mark.long

PLACES = ("/usr/share", "/usr/lib/python3", sysconfig.get_path("purelib"))
LOOKED = 20_000  # names that are listed in each place
FILES = 1500
SEED = 17
SHARE = 0.995
# what libmagic calls it, what we do, why
SAME = (
    ("text/xml", "application/xml", "RFC 7303 has both"),
    ("image/fits", "application/fits", "RFC 4047 has both"),
    (
        "application/x-pie-executable",
        "application/x-sharedlib",
        "the dynamic section tells, which lies behind 4 KB",
    ),
    ("application/zip", "application/java-archive", "libmagic knows a jar by another first name only"),
    ("application/zip", "application/x-npz", "libmagic looks for no arrays"),
    ("application/zip", "application/x-npy", "libmagic looks for no arrays"),
    ("application/octet-stream", "application/x-npy", "libmagic 5.44 gives it no type"),
    ("application/octet-stream", "application/vnd.apache.parquet", "libmagic 5.44 gives it no type"),
    ("application/octet-stream", "application/x-matlab-data", "libmagic 5.44 gives it no type"),
    ("application/x-matlab-data", "application/x-hdf5", "MATLAB 7.3 is HDF5 with a user block"),
    ("application/x-hdf5", "application/x-netcdf", "NetCDF 4 is HDF5"),
    ("application/x-terminfo2", "application/x-terminfo", "the same format with wider numbers"),
    ("image/tiff", "application/dicom", "DICOM's preamble may hold a TIFF header"),
    ("application/x-dosexec", "application/vnd.microsoft.portable-executable", "IANA's name"),
    ("application/gzip", "application/x-bam", "BAM is gzip by its own definition"),
    ("application/gzip", "application/x-bcf", "BCF is gzip by its own definition"),
    ("application/octet-stream", "image/x.nifti", "libmagic 5.44 gives it no type"),
    ("application/octet-stream", "application/dicom", "libmagic knows it by its preamble only, which is optional"),
    ("application/octet-stream", "application/vnd.apache.orc", "libmagic 5.46 gives it no type"),
    ("application/octet-stream", "application/vnd.apache.arrow.file", "libmagic 5.44 gives it no type"),
    ("application/octet-stream", "application/gzip", "libmagic takes a few bytes within for a boot sector"),
    ("application/x-matlab-data", "application/octet-stream", "MATLAB 4 has no mark but zeros and small numbers"),
    ("image/x-tga", "application/octet-stream", "TGA has no mark: libmagic takes other small numbers for it"),
    ("application/x-ibm-rom", "application/octet-stream", "its mark is two bytes, and it is firmware"),
    ("application/x-intel-aml", "application/octet-stream", "it is firmware"),
    (
        "application/pgp-keys",
        "application/octet-stream",
        "libmagic 5.44 gives it no type either",
    ),
)
KINDS_OF_TEXT = (
    # libmagic guesses the kind of a text by words in it, we tell it by how it begins and by its name
    "text/", "application/json", "application/javascript", "application/xml", "application/yaml",
    "application/toml",
    "application/sql", "application/x-ndjson", "application/x-ipynb+json", "application/x-subrip", "chemical/",
    "application/x-setupscript", "application/x-wine-extension-ini", "application/postscript", "image/svg+xml",
    "message/", "application/vnd.hp-HPGL", "application/x-tex", "application/x-vtk", "application/x-pem-file",
)  # fmt: skip


def reason(theirs: str, ours: str, size: int) -> str:
    """Return why two types differ; an empty text where there is no reason."""
    if theirs.startswith(KINDS_OF_TEXT) and ours.startswith(KINDS_OF_TEXT):
        return "kinds of text"
    if size < 4:
        return "libmagic calls a text of so few bytes binary"
    return next((why for one, other, why in SAME if (theirs, ours) == (one, other)), "")


def files(place: Path) -> Iterator[Path]:
    """Yield the regular files below a folder."""
    for folder, _, names in os.walk(place):
        for path in (Path(folder) / name for name in sorted(names)):
            if path.is_file() and not path.is_symlink() and path.name.isprintable():
                yield path


@pytest.fixture(scope="module")
def told() -> list[tuple[Path, str, str]]:
    """Some of the files that packages have installed: path, libmagic's type, ours."""
    need("file")
    paths = [path for place in PLACES for path in islice(files(Path(place)), LOOKED)]
    paths = random.Random(SEED).sample(sorted(paths), min(FILES, len(paths)))
    asked = subprocess.run(
        ["file", "--mime-type", "-b", "-f", "-"], input="\n".join(map(str, paths)), capture_output=True, text=True,
        check=True, timeout=120,
    )  # fmt: skip
    return [(path, theirs, ours(path)) for path, theirs in zip(paths, asked.stdout.splitlines(), strict=True)]


def ours(path: Path) -> str:
    """Return our type of a file."""
    fd = os.open(path, os.O_PATH)
    try:
        return str(mime_of_fd(fd, name=os.fsencode(path.name)))
    finally:
        os.close(fd)


def test_types_are_those_of_libmagic_or_there_is_a_reason(told: list[tuple[Path, str, str]]) -> None:
    """Of the files of packages 99.5 % have libmagic's type, or one that differs for a written reason."""
    odd = [
        f"{path}: {theirs}, not {ours}"
        for path, theirs, ours in told
        if theirs != ours and not reason(theirs, ours, path.stat().st_size)
    ]

    assert len(told) > FILES // 3
    assert len(odd) <= (1 - SHARE) * len(told), "\n".join(odd)


def test_text_and_binary_are_never_confused(told: list[tuple[Path, str, str]]) -> None:
    """What libmagic calls some kind of text is one for us, and what it calls binary is none."""
    confused = Counter(
        f"{path}: {theirs}, not {ours}"
        for path, theirs, ours in told
        if theirs.startswith(KINDS_OF_TEXT) != ours.startswith(KINDS_OF_TEXT) and path.stat().st_size >= 4
    )

    assert len(confused) <= (1 - SHARE) * len(told) / 2, "\n".join(confused)
