"""MIME types by content: what each beginning is taken for, and that nothing waits, is recalled or breaks."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS
from workers import mime_binary
from workers.mime import EMPTY, HEAD_BYTES, UNKNOWN, mime_of, mime_of_fd

COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0")
BEGINNINGS = {
    "application/vnd.apache.parquet": b"PAR1\x15\x04",
    "application/vnd.apache.arrow.file": b"ARROW1\0\0",
    "application/x-hdf5": bytes(512) + b"\x89HDF\r\n\x1a\n",
    "application/x-netcdf": b"CDF\x02\0\0\0\0",
    "application/fits": b"SIMPLE  =                    T",
    "application/vnd.iccprofile": bytes(36) + b"acsp",
    "audio/x-wav": b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
    "application/pgp-keys": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBE6XR8I=\n",
    "application/x-ole-storage": COMPOUND + b"\xfd\xff\xff\xff\x02\0\0\0".ljust(3000, b"\0"),
    "application/msword": COMPOUND + b"\xfd\xff\xff\xff\x02\0\0\0" + "WordDocument".encode("utf-16-le"),
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "image/tiff": b"II*\0\x08\0\0\0",
    "application/zip": b"PK\3\4\x14\0",
    "application/gzip": gzip.compress(b"x"),
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3",
    "text/x-python": b"#!/usr/bin/env python3\nprint()\n",
    "text/x-shellscript": b"#!/bin/bash\n#SBATCH -n 4\n",
    "application/json": b'{"a": [1, 2]}',
    "application/x-ndjson": b'{"a": 1}\n{"a": 2}\n',
    "application/x-ipynb+json": b'{\n "cells": [\n  {"cell_type": "code"}',
    "application/xml": b"<?xml version='1.0'?>\n<a/>",
    "image/svg+xml": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "text/html": b"<!DOCTYPE html><html>",
    "text/csv": b"a,b\n1,2\n3,4\n",
    "text/tab-separated-values": b"a\tb\n1\t2\n3\t4\n",
    "text/plain": b"[1] is no JSON, and one comma makes no table",
    EMPTY: b"",
    UNKNOWN: bytes(range(256)),
}
TEXTS = {
    # a text that begins as a binary format does, or says by itself what it is
    "text/plain": (
        b"GRIB fields used in this study\n", b"BZh or not\n", b"CRAMER rule\n", b"root:x:0:0:root:/root:/bin/sh\n",
        b"BUFR\xe4nder\n", b"ORC h\xf6rt\n",
        b"BMBF-F\xf6rderung der Forschung, und mehr davon\n",
        b"MZ: Messung \xfcber zwei Stunden, und dann noch eine\n", "Grüße ohne Marke\n".encode("utf-16-le"),
        b"N\x08NA\x08A\n",
    ),
    "text/csv": (
        b"ORCID,name\n0-1,Ann\n0-2,Bob\n", b"PARENT,CHILD\n1,2\n2,3\n", b'# x\na,b\n"1,5",2\n2,3\n',
    ),
    "text/x-python": (b"import numpy as np\n\ndef f():\n    return 1\n",),
    "image/x-portable-graymap": (b"P2\n# made\n2 2\n255\n1 2 3 4\n", b"P5\n1 2\n255\n\0\1"),
    UNKNOWN: (b"\0\1\0\0" + bytes(256) + b"\0\1\0\0", b"\0\0\1\0" + bytes(60)),
}  # fmt: skip
NAMED = {
    # name, content: the type
    (b"a.py", b"x = 1\n"): "text/x-python", (b"a.csv", b"one column\n"): "text/csv",
    (b"a.PY", b"x\n"): "text/x-python",
    (b"a.py", b"<!DOCTYPE html><html>"): "text/html", (b"a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"): "image/png",
    (b"README", b"x\n"): "text/plain", (b"a.yaml", b"x: 1\n"): "application/yaml",
    (b"\xff.c", b"int x;\n"): "text/x-c",
}  # fmt: skip
SAMPLES = {
    # family, sample: the type
    "tabular": {
        "weather.csv": "text/csv", "weather.tsv": "text/tab-separated-values", "weather.json": "application/json",
        "weather.parquet": "application/vnd.apache.parquet", "weather.arrow": "application/vnd.apache.arrow.file",
        "weather.arrows": "application/vnd.apache.arrow.stream",
    },
    "fits": {"m31.fits": "application/fits"},
    "hdf5": {"scan.h5": "application/x-hdf5", "ocean.nc": "application/x-hdf5"},
    "medical": {
        "mr.dcm": "application/dicom", "no-prefix.dcm": "application/dicom",
        "ct-named.txt": "application/dicom", "brain.nii": "image/x.nifti",
        "brain-2.nii": "image/x.nifti", "pair.hdr": "image/x.nifti", "brain.nii.gz": "application/gzip",
    },
    "molecular": {
        "toy.pdb": "chemical/x-pdb", "toy.cif": "chemical/x-mmcif", "salt.cif": "chemical/x-cif",
        "water.xyz": "chemical/x-xyz", "water.mol2": "chemical/x-mol2", "named.txt": "chemical/x-pdb",
    },
    "genomics": {
        "genome.fa": "text/x-fasta", "proteins.fasta": "text/x-fasta", "reads.fastq": "text/x-fastq",
        "toy.vcf": "text/x-vcf", "toy.sam": "text/x-sam", "toy.bam": "application/x-bam",
        "toy.bcf": "application/x-bcf", "toy.cram": "application/x-cram",
        "genome.fa.gz": "application/gzip", "named.txt": "text/x-fastq",
    },
}  # fmt: skip


def read(path: Path, *, released: bool = False) -> str | None:
    """Return the type of a file through a descriptor as `stat` holds it."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        return mime_of_fd(fd, released=released)
    finally:
        os.close(fd)


@each_row("mime", BEGINNINGS)
def test_beginnings_are_told_apart(mime: str) -> None:
    """The first bytes decide."""
    assert mime_of(BEGINNINGS[mime]) == mime


@each_row(("mime", "head"), [(mime, head) for mime, heads in TEXTS.items() for head in heads])
def test_no_text_is_taken_for_binary(mime: str, head: bytes) -> None:
    """A word that a signature has makes no binary file of a text, nor zeros a font."""
    assert mime_of(head) == mime


@each_row(("name", "head"), NAMED)
def test_a_name_breaks_ties_between_texts(name: bytes, head: bytes) -> None:
    """An extension tells which kind of text it is, where the text itself does not."""
    assert mime_of(head, name) == NAMED[name, head]


def zipped(*members: tuple[str, bytes]) -> bytes:
    """Return a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


ZIPS = {
    "application/epub+zip": (("mimetype", b"application/epub+zip"), ("OPS/a.xhtml", b"")),
    "application/vnd.oasis.opendocument.text": (("mimetype", b"application/vnd.oasis.opendocument.text"),),
    mime_binary.OFFICE + "wordprocessingml.document": (
        ("[Content_Types].xml", b"x" * 9000), ("word/document.xml", b""),
    ),
    mime_binary.OFFICE + "spreadsheetml.sheet": (
        ("[Content_Types].xml", b""), ("_rels/.rels", b""), ("xl/workbook.xml", b""),
    ),
    "application/java-archive": (("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"),),
    "application/x-npz": (("a.npy", b"\x93NUMPY"),),
    "application/zip": (("a.txt", b"word/"), ("word/x", b"")),
}  # fmt: skip


@each_row("mime", ZIPS)
def test_zip_archives_are_looked_into(mime: str, tmp_path: Path) -> None:
    """What a zip archive is the form of is told by its first names, and by its end where it is long."""
    (tmp_path / "a").write_bytes(zipped(*ZIPS[mime]))

    assert read(tmp_path / "a") == mime


def test_old_and_displaced_formats_are_known(tmp_path: Path) -> None:
    """A tar archive without `ustar` is known by its sum, HDF5 behind its user block, whatever its size."""
    member = tarfile.TarInfo("a.txt").tobuf(tarfile.USTAR_FORMAT)
    old = bytearray(member[:257] + bytes(255))
    old[148:156] = b"%06o\0 " % (sum(old[:148]) + 8 * 32 + sum(old[156:]))
    (tmp_path / "a").write_bytes(bytes(1 << 14) + b"\x89HDF\r\n\x1a\n" + bytes(100))

    assert mime_of(bytes(old)) == "application/x-tar"
    assert mime_of(bytes(old[:150]) + b"9" + bytes(old[151:])) != "application/x-tar"
    assert read(tmp_path / "a") == "application/x-hdf5"


@each_row("family", SAMPLES)
def test_samples_have_the_type_of_their_content(family: str) -> None:
    """The samples of the families get the types of their formats, whatever they are called."""
    folder = EXTRACTORS / family / "samples"

    assert {name: read(folder / name) for name in SAMPLES[family]} == SAMPLES[family]


NO_SIGN = {
    "array/classifier.onnx": "a message of protocol buffers begins as many another one",
    "mesh/wedge.stl": "a binary STL begins with 80 bytes of any text",
    "checksum/first.dat": "made of any bytes",
    "checksum/other.dat": "made of any bytes",
    "checksum/same.bin": "made of any bytes",
}
"""Samples whose format has no beginning of its own; rules find them by their extension."""


def test_every_sample_of_every_family_has_a_type() -> None:
    """No sample that an extractor understands is unknown, but where a reason is written: a rule would miss it."""
    samples = [
        path for path in EXTRACTORS.glob("*/samples/*") if path.is_file() and not path.name.startswith("bad-")
    ]
    unknown = {f"{path.parent.parent.name}/{path.name}" for path in samples if read(path) in {UNKNOWN, None}}

    assert samples
    assert unknown == NO_SIGN.keys()


@each_row("text", ["Grüße, ", "プレーン", "a\x1b[31m red\n", "x\r\n"])
def test_a_text_cut_within_a_letter_is_text(text: str) -> None:
    """4 KB may end within a letter of UTF-8; that is no reason to take it for binary."""
    for extra in range(4):
        assert mime_of(b"x" * extra + text.encode() * HEAD_BYTES) == "text/plain"


@given(st.binary(max_size=2 * HEAD_BYTES))
def test_any_bytes_have_a_type(head: bytes) -> None:
    """Whatever a file begins with, there is a type, and it is one."""
    assert "/" in mime_of(head)


@pytest.mark.parametrize(
    "start", [b"[" * HEAD_BYTES, b'{"a":' * 1000, b"\n" * HEAD_BYTES, b"#\n" * 2048, b"ATOM  \n" * 600]
)
def test_no_text_takes_long(start: bytes) -> None:
    """Texts made to confuse patterns are told apart at once; pytest-timeout would end this."""
    for _ in range(50):
        assert mime_of(start)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A fifo without a writer, a link and a directory have no type; nobody waits for them."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")

    assert [read(tmp_path / name) for name in ("fifo", "link", ".")] == [None, None, None]
    assert read(Path("/dev/zero")) is None


def test_released_files_are_left_alone(tmp_path: Path) -> None:
    """A file whose content is on tape is not read; one that is empty or may be read has a type."""
    (tmp_path / "a").write_bytes(b"PAR1\x15\x04")
    (tmp_path / "empty").touch()

    assert (read(tmp_path / "a", released=True), read(tmp_path / "a")) == (None, "application/vnd.apache.parquet")
    assert read(tmp_path / "empty") == EMPTY


def test_reading_leaves_the_access_time(tmp_path: Path) -> None:
    """Looking at a file of our own does not change when it was last read."""
    path = tmp_path / "a"
    path.write_bytes(b"PAR1\x15\x04")
    os.utime(path, ns=(1, path.stat().st_mtime_ns))

    assert read(path) == "application/vnd.apache.parquet"
    assert path.stat().st_atime_ns == 1


def test_a_descriptor_that_is_gone_has_no_type(tmp_path: Path) -> None:
    """A failure is no type and no exception."""
    assert mime_of_fd(1 << 20) is None
