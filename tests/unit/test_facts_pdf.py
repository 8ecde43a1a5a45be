"""Facts of PDF files: what pypdf wrote is what the document says, from the information dictionary or from XMP."""

from __future__ import annotations

import base64
import gzip
import io
import os
import signal
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from PIL import Image

from tests.support.profiles import examples
from tests.support.programs import Later, program
from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS

pypdf, generic = Later("pypdf"), Later("pypdf.generic")
pdf, words, packets = Later("pdf", "pdf"), Later("pdf_words", "pdf"), Later("pdf_xmp", "pdf")
maker = Later("extractor_xmp", "pdf")
SAMPLES = EXTRACTORS / "pdf" / "samples"
quick = examples(15, HealthCheck.function_scoped_fixture)
TEXT = st.text("abc äé", min_size=1, max_size=40).map(lambda text: " ".join(text.split())).filter(bool)


@pytest.fixture(scope="module", autouse=True)
def _reading_ends() -> Iterator[None]:
    """End the process that reads pages with these tests: without them, it ends with its extractor's."""
    yield
    if pdf.PAGES.child is not None:
        pdf.PAGES.child.end()
        pdf.PAGES.child = None


def with_text(*lines: tuple[float, float, str]) -> bytes:
    """Return a PDF of one page with lines of (font size, matrix, words)."""
    writer, name = pypdf.PdfWriter(), generic.NameObject
    page = writer.add_blank_page(595, 842)
    parts = [
        f"/F1 {size} Tf {scale} 0 0 {scale} 50 {700 - 50 * n} Tm ({line}) Tj"
        for n, (size, scale, line) in enumerate(lines)
    ]
    content = generic.DecodedStreamObject()
    content.set_data(("BT " + " ".join(parts) + " ET").encode("latin-1"))
    page[name("/Contents")] = writer._add_object(content)
    font = pypdf.generic.DictionaryObject(
        {name("/Type"): name("/Font"), name("/Subtype"): name("/Type1"),
         name("/BaseFont"): name("/Helvetica")}
    )  # fmt: skip
    fonts = pypdf.generic.DictionaryObject({name("/F1"): font})
    page[name("/Resources")] = pypdf.generic.DictionaryObject({name("/Font"): fonts})
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@quick
@given(
    title=TEXT, author=TEXT, pages=st.integers(1, 5),
    written=st.tuples(st.integers(-2_000_000_000, 4_000_000_000), st.integers(-720, 720)),
)  # fmt: skip
def test_metadata_is_what_pypdf_wrote(
    tmp_path: Path, title: str, author: str, pages: int, written: tuple[int, int]
) -> None:
    """Title, author, pages and dates are those of the information dictionary, within gzip too."""
    zone = timezone(timedelta(minutes=written[1]))
    when = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=written[0])).astimezone(zone)
    offset = when.strftime("%z")
    writer = pypdf.PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(200, 100)
    writer.add_metadata(
        {"/Title": title, "/Author": author, "/CreationDate": f"D:{when:%Y%m%d%H%M%S}{offset[:3]}'{offset[3:5]}'"}
    )
    writer.write(tmp_path / "a.pdf")
    (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / "a.pdf").read_bytes()))

    found = pdf.extract(str(tmp_path / "a.pdf"))

    read = pypdf.PdfReader(tmp_path / "a.pdf")
    assert (found["title"], found["pages"]) == (read.metadata.title, len(read.pages)) == (title, pages)
    assert found["common"]["creator"] == found["authors"]
    assert datetime.fromisoformat(found["created"]) == when
    assert datetime.fromisoformat(found["common"]["created"]) == when.astimezone(UTC)
    assert pdf.extract(str(tmp_path / "a.gz")) == found | {"compression": "gzip"}
    with Image.open(io.BytesIO(base64.b64decode(found["preview"]["thumbnail"]["base64"]))) as small:
        assert small.size == (128, 64)


@each_row(
    ("title", "encoding"),
    [
        ("Größe äé", "latin-1"),
        ("Grö äé €", "utf-8"),
        ("Größe", "utf-8"),
        ("トランスバース社 (英語).docx", "utf-8"),
        ("plain", "utf-8"),
    ],
)
def test_a_title_has_the_characters_that_were_meant(tmp_path: Path, title: str, encoding: str) -> None:
    """A title is read as the standard has it, and as it was meant where a program wrote plain UTF-8.

    PDFium does not give two of the bytes (of ß and í): these have the sign for unknown ones.
    """
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 100)
    writer.metadata = {}
    writer._info[generic.NameObject("/Title")] = generic.ByteStringObject(title.encode(encoding))
    writer.write(tmp_path / "a.pdf")
    found = pdf.extract(str(tmp_path / "a.pdf"))["title"]
    assert found == title if encoding == "latin-1" else found.replace("\ufffd\ufffd", "ß") == title


@each_row(
    ("lines", "title"),
    [
        ([(10, 1, "0"), (10, 1, "2"), (10, 1, "4")], None), ([(12, 1, "Some plain text, all in one size")], None),
        ([(20, 1, "Band gaps"), (10, 1, "of graphene, and what else the first page tells")], "Band gaps"),
        ([(1, 20, "Band gaps"), (1, 10, "of graphene, and what else the first page tells")], "Band gaps"),
        ([(30, 1, "A cover with a long title of many words"), (12, 1, "by somebody")],
         "A cover with a long title of many words"),
        ([(14, 1, "0 2 4"), (10, 1, "Energy of photons")], None),
    ],
)  # fmt: skip
def test_only_larger_words_are_a_title(
    tmp_path: Path, lines: list[tuple[float, float, str]], title: str | None
) -> None:
    """Without metadata a title is what is larger than the rest, by font or matrix; numbers are none."""
    (tmp_path / "a.pdf").write_bytes(with_text(*lines))
    found = pdf.extract(str(tmp_path / "a.pdf"))
    assert found.get("title") == title
    assert found.get("title_source") == (title and "largest letters")


@pytest.mark.parametrize("name", ["xmp.pdf", "xmp-packed.pdf"])
def test_xmp_of_the_document_is_read_and_not_that_of_a_picture(name: str) -> None:
    """The packet that the catalogue names is the one that pypdf finds, compressed or not."""
    found = pdf.extract(str(SAMPLES / name))
    read = pypdf.PdfReader(SAMPLES / name).xmp_metadata
    assert read is not None
    assert found["title"] == (read.dc_title or {})["x-default"] == "Superconductivity"
    assert found["authors"] == read.dc_creator
    assert found["common"]["created"] == "2024-05-01T10:00:00Z"
    assert found["common"]["doi"] == ["10.5072/xmp.1"]


@each_row(
    ("date", "found"),
    [
        ("D:00000101000000Z", ""), ("D:20240230", ""), ("D:20240229", "2024-02-29"), ("D:2024", "2024"),
        ("D:20240501100000+02'00'", "2024-05-01T10:00:00+02:00"), ("D:20241301", ""), ("soon", ""),
    ],
)  # fmt: skip
def test_what_is_no_date_is_absent(date: str, found: str) -> None:
    """A date that no calendar has is none."""
    assert words.iso(date) == found


@given(
    data=st.binary(max_size=200),
    filler=st.sampled_from([b"1 0 obj<<", b"/Type/Metadata", b"/Type /Catalog", b"stream"]),
)
def test_looking_for_xmp_survives_anything(data: bytes, filler: bytes) -> None:
    """Whatever stands where a packet is looked for, what is found is bytes or nothing, soon."""
    content = data + filler * 5000 + zlib.compress(data)
    assert isinstance(packets.packet(io.BytesIO(content), len(content)), bytes)


def test_a_long_text_that_is_cut_is_told(tmp_path: Path) -> None:
    """Where only the first pages are read for text, `partial` says how many."""
    writer = pypdf.PdfWriter()
    for _ in range(60):
        writer.add_blank_page(100, 100)
    writer.write(tmp_path / "a.pdf")
    found = pdf.extract(str(tmp_path / "a.pdf"))
    assert (found["pages"], found["text_pages"], found["partial"]) == (60, 50, "text of the first 50 of 60 pages")


def test_an_encrypted_file_that_opens_is_not_called_damaged(tmp_path: Path) -> None:
    """XMP that is encrypted with the rest is no damage: what the library decrypts is told, and nothing is wrong."""
    writer = pypdf.PdfWriter(clone_from=SAMPLES / "xmp.pdf")
    writer.add_metadata({"/Title": "Locked"})
    writer.encrypt("", "owner", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")
    found = pdf.extract(str(tmp_path / "a.pdf"))
    assert (found["encrypted"], found["title"]) == (True, "Locked")
    assert "partial" not in found


def test_a_child_that_dies_costs_no_other_file_its_pages(tmp_path: Path) -> None:
    """Where the child that reads pages has ended between two files, or is slow, the next file has its pages."""
    apart = program("pdf", "pdf_apart")
    (tmp_path / "a.pdf").write_bytes(with_text((12, 1, "some words of a page")))
    pages, expected = apart.Pages(), pdf.extract(str(tmp_path / "a.pdf"))["text"]
    for _ in range(3):
        found = {"pages": 1}
        pages.add(tmp_path / "a.pdf", found)
        assert found["text"] == expected
        os.kill(pages.child.pid, signal.SIGKILL)
    pages.child.end()


def test_what_is_compressed_is_read_by_the_same_child(tmp_path: Path) -> None:
    """A file that is compressed as a whole has the document of the plain one, and costs no process of its own."""
    content = with_text((12, 1, "some words of a page"))
    (tmp_path / "a.pdf").write_bytes(content)
    (tmp_path / "a.pdf.gz").write_bytes(gzip.compress(content))
    expected = pdf.extract(str(tmp_path / "a.pdf"))
    child = pdf.PAGES.child
    assert pdf.extract(str(tmp_path / "a.pdf.gz")) == expected | {"compression": "gzip"}
    assert pdf.PAGES.child is child
