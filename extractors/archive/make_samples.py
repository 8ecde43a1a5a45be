#!/usr/bin/env python3
"""Write the samples of the archive extractor anew: the same bytes each time."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import zipfile
from pathlib import Path

import zstandard

FOLDER = Path(__file__).resolve().parent / "samples"
MEMBERS = {
    "run7/readme.txt": b"a run\n",
    "run7/data/scan_001.csv": b"x,y\n1,2\n" * 50,
    "run7/data/scan_002.csv": b"x,y\n",
}
TIME = 1_700_000_000  # 2023-11-14T22:13:20Z


def tar() -> bytes:
    """Return a tar archive with files, a directory and a link, one long name, and one name that leaves it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folder = tarfile.TarInfo("run7")
        folder.type, folder.mtime = tarfile.DIRTYPE, TIME
        archive.addfile(folder)
        for name, content in MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), TIME
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("run7/latest.csv")
        link.type, link.linkname, link.mtime = tarfile.SYMTYPE, "data/scan_002.csv", TIME + 60
        archive.addfile(link)
        long = tarfile.TarInfo("run7/" + "Höhe_" * 30 + ".nc")
        long.mtime = TIME
        archive.addfile(long)
        away = tarfile.TarInfo("../outside.txt")
        away.mtime = TIME
        archive.addfile(away)
    return made.getvalue()


def packed(members: dict[str, bytes], comment: bytes = b"") -> bytes:
    """Return a zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.comment = comment
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20)), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    whole, table = tar(), b"time,temperature\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(500))
    zipped = packed(MEMBERS, b"beam time 7")
    named = io.BytesIO()
    with gzip.GzipFile("table.csv", "wb", 9, named, TIME) as file:
        file.write(table)
    samples = {
        "run7.tar": whole,
        "run7.tar.gz": gzip.compress(whole, 9, mtime=0),
        "run7.tbz2": bz2.compress(whole),
        "run7.txz": lzma.compress(whole),
        "run7.tar.zst": zstandard.compress(whole),
        "run7-pzstd.tar.zst": b"\x50\x2aM\x18\4\0\0\0size" + zstandard.compress(whole),
        "run7.zip": zipped,
        "torn.zip": zipped[:-60],
        "nested.zip": packed({"a.zip": packed({"b.zip": packed({"c.txt": b"deep"})})}),
        "table.csv.gz": named.getvalue(),
        "signal.xz": lzma.compress(bytes(range(256)) * 40),
        "bad-text.zip": b"this is no archive\n",
        "bad-empty.tar": b"",
    }
    for name, content in samples.items():
        (FOLDER / name).write_bytes(content)
    for name, form in (("run7.cpio", "newc"), ("run7-odc.cpio", "odc")):
        made = ["bsdtar", f"--format={form}", "-cf", FOLDER / name, f"@{FOLDER / 'run7.tar'}"]
        subprocess.run(made, check=True, timeout=60)
    for name, chosen in (
        ("run7.7z", ""),
        ("stored.7z", "7zip:compression=store"),
        ("run7-bzip2.7z", "7zip:compression=bzip2"),
    ):
        made = ["bsdtar", "--format=7zip", *(["--options", chosen] if chosen else []), "-cf", FOLDER / name]
        subprocess.run([*made, f"@{FOLDER / 'run7.tar'}"], check=True, timeout=60)
    (FOLDER / "bad-torn.7z").write_bytes((FOLDER / "run7.7z").read_bytes()[:-40])
    for name in ("run7.tar", "table.csv"):
        content = whole if name == "run7.tar" else table
        made = ["lz4", "-q", "-c", "-9"]
        packed_lz4 = subprocess.run(made, input=content, check=True, capture_output=True, timeout=60).stdout
        (FOLDER / f"{name}.lz4").write_bytes(packed_lz4)
    (FOLDER / "run7.cpio.gz").write_bytes(gzip.compress((FOLDER / "run7.cpio").read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
