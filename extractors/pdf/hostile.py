"""PDF files that nobody would write on purpose: circles, bombs, absurd numbers, nesting without end."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

LARGE = 64 << 20
PAGES = b"<</Type /Pages /Kids [3 0 R] /Count 1>>"
PAGE = b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R %b>>"
FONT = b"/Resources <</Font <</F1 <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>>>"


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, and a sparse one of 64 MB."""
    catalogue = b"<</Type /Catalog /Pages 2 0 R %b>>"
    plain = catalogue % b""
    zeros = zlib.compress(bytes(100 << 20), 9)
    words = b"BT /F1 10 Tf " + b"(word word word) Tj " * 300_000 + b"ET"
    form = b"<</Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources <</XObject <</X 5 0 R>>>> /Length 13>>"
    files = {
        "pages-in-a-circle.pdf": [plain, b"<</Type /Pages /Kids [2 0 R 2 0 R] /Count 2>>"],
        "a-billion-pages.pdf": [plain, b"<</Type /Pages /Kids [3 0 R] /Count 2000000000>>", PAGE % b""],
        "page-tree.pdf": [plain, *(b"<</Type /Pages /Count 1 /Kids [%d 0 R]>>" % (n + 3) for n in range(20_000))],
        "outline-in-a-circle.pdf": [
            catalogue % b"/Outlines 5 0 R", PAGES, PAGE % b"", stream(b""), b"<</First 6 0 R /Last 6 0 R>>",
            b"<</Title (a) /Next 6 0 R /First 6 0 R /Parent 6 0 R>>",
        ],
        "bomb.pdf": [plain, PAGES, PAGE % b"", stream(zeros, b"/Filter /FlateDecode")],
        "bomb-in-bomb.pdf": [
            plain, PAGES, PAGE % b"", stream(zlib.compress(zeros, 9), b"/Filter [/FlateDecode /FlateDecode]"),
        ],
        "filters.pdf": [plain, PAGES, PAGE % b"", stream(b"x", b"/Filter [" + b"/FlateDecode " * 50_000 + b"]")],
        "words.pdf": [plain, PAGES, PAGE % FONT, stream(zlib.compress(words, 9), b"/Filter /FlateDecode")],
        "states.pdf": [plain, PAGES, PAGE % b"", stream(b"q " * 1_000_000)],
        "numbers.pdf": [plain, PAGES, PAGE % b"", stream(b"9" * 1_000_000 + b" " + b"1 " * 1_000_000 + b"cm")],
        "forms-in-a-circle.pdf": [
            plain, PAGES, PAGE % b"/Resources <</XObject <</X 5 0 R>>>>", stream(b"/X Do"),
            form + b"\nstream\n/X Do /X Do \nendstream",
        ],
        "arrays.pdf": [plain, PAGES, PAGE % (b"/A " + b"[" * 500_000)],
        "dictionaries.pdf": [plain, PAGES, PAGE % (b"/A " + b"<</A " * 100_000)],
        "media-box.pdf": [plain, PAGES, b"<</Type /Page /Parent 2 0 R /MediaBox [-1e38 -1e38 1e38 1e38]>>"],
        "no-box.pdf": [plain, PAGES, b"<</Type /Page /Parent 2 0 R /MediaBox [(a) null [] 4 0 R]>>"],
        "title.pdf": [
            plain, PAGES, PAGE % b"", b"<</Title (" + b"t" * 5_000_000 + b") /Author (" + b"a;" * 500_000 + b")>>",
        ],
        "length.pdf": [plain, PAGES, PAGE % b"", b"<</Length 4 0 R>>\nstream\nq\nendstream"],
        "surrogates.pdf": [
            plain, PAGES, PAGE % b"", b"<</Title <FEFFD800D800DC00FFFFFFFE0000> /CreationDate (D:99999999)>>",
        ],
    }  # fmt: skip
    for name, objects in files.items():
        (folder / name).write_bytes(pdf(objects))
    whole = pdf([plain, PAGES, PAGE % b"", stream(b"")])
    (folder / "table-in-a-circle.pdf").write_bytes(
        whole.replace(b"/Info", b"/Prev %d /Info" % whole.index(b"xref"))
    )
    (folder / "table-of-billions.pdf").write_bytes(whole.replace(b"xref\n0 5", b"xref\n0 4294967295"))
    (folder / "objects.pdf").write_bytes(b"%PDF-1.7\n" + b"".join(b"%d 0 obj\n" % n for n in range(300_000)))
    with (folder / "sparse.pdf").open("wb") as file:
        file.write(whole)
        file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one PDF of `size_bytes`, sparse: a page, and a stream that takes the room."""
    path = folder / "large.pdf"
    objects = [b"<</Type /Catalog /Pages 2 0 R>>", PAGES, PAGE % FONT, stream(b"BT /F1 10 Tf (word) Tj ET")]
    small = pdf(objects)
    table = small.index(b"xref")
    places = re.findall(rb"(\d{10}) 00000 n", small)
    with path.open("wb") as file:
        file.write(small[:table])
        file.write(b"5 0 obj\n<</Length %d>>\nstream\n" % size_bytes)
        file.seek(size_bytes, os.SEEK_CUR)
        file.write(b"\nendstream\nendobj\n")
        start = file.tell()
        entries = b"".join(b"%b 00000 n \n" % place for place in [*places, b"%010d" % table])
        file.write(b"xref\n0 6\n0000000000 65535 f \n" + entries)
        file.write(b"trailer\n<</Size 6 /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start)
    return path


def stream(content: bytes, more: bytes = b"") -> bytes:
    """Return a stream as it is."""
    return b"<</Length %d %b>>\nstream\n%b\nendstream" % (len(content), more, content)


def pdf(objects: list[bytes]) -> bytes:
    """Return a PDF file of `objects`, numbered from 1; what describes the file is the fourth."""
    made, places = b"%PDF-1.6\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    table += b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<</Size %d /Root 1 0 R /Info 4 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(made))
    return made + table + end
