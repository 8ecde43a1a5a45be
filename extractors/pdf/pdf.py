"""PDF files: title, authors, dates, pages, outline and text, read with PDFium, the library of the Chrome browser.

PDFium reads from the file only what it needs, so size does not matter. Text is taken from the first pages, up to a
bound. A file on which PDFium crashes or hangs costs no other file its document (`isolated`). Gzip is seen through.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import resource
from pathlib import Path
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import extractor_xmp
import pdf_xmp
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from extractor_batch import OutOfTime, within
from extractor_open import compression_of, content_of
from pdf_apart import Pages
from pdf_words import MAX_NAME, as_meant, authors, clean, iso

SECONDS = 15  # of its facts, its outline and its pages each; then its document is partial
SECONDS_WHOLE = 30  # of one file; then its child is killed, as where PDFium opens it without end
MEMORY_BYTES = 400 << 20  # address space
MAX_VALUE = 4000  # characters
MAX_AUTHORS = 500
MAX_SEEN = 5000  # authors and keywords of which the first are listed
MAX_OUTLINE = 1000
MAX_ATTACHMENTS = 500
MAX_UNPACKED = 64 << 20  # bytes of a file that is compressed as a whole
MEMORY = "/dev/shm"  # noqa: S108 - where PDFium finds what is unpacked, by a path in each process
HEAD = 1024  # the header may stand anywhere in it (ISO 32000-1, annex H.3.4.1)
DOI = re.compile(r"\b10\.\d{4,9}/[-._;()/:A-Za-z0-9]{1,100}")
ARXIV = re.compile(r"\barXiv:\s?(\d{4}\.\d{4,5}(?:v\d+)?)")
FORMS = {1: "acroform", 2: "xfa", 3: "xfa"}
PASSWORD = 4  # FPDF_ERR_PASSWORD


PAGES = Pages()


def identifiers(found: dict[str, Any]) -> None:
    """Add DOIs and arXiv numbers of the first two pages and of the metadata."""
    said = [found.get("subject", ""), *found.get("keywords", ()), *found.pop("identifiers", ())]
    text = "\n".join([*said, *found.get("text", [])[:2]])
    dois = list(dict.fromkeys(doi.rstrip(".;:)") for doi in DOI.findall(text)))
    arxiv = list(dict.fromkeys(ARXIV.findall(text)))
    found |= ({"dois": dois} if dois else {}) | ({"arxiv": arxiv} if arxiv else {})
    for key, most in (("authors", MAX_AUTHORS), ("keywords", MAX_AUTHORS), ("dois", 100), ("arxiv", 100)):
        if key in found:
            found[key] = facts.first(found[key], most, key)


def xmp(file: BinaryIO, size: int, found: dict[str, Any]) -> None:
    """Add what only the XMP says; what the information dictionary says stays."""
    try:
        told = extractor_xmp.read(packet) if (packet := pdf_xmp.packet(file, size)) else {}
    except ValueError:
        if not found.get("encrypted"):  # where it may be encrypted too, and is not broken
            raise
        told = {}
    told |= {key: moment for key in ("created", "modified") if (moment := facts.moment(told.pop(key, None)))}
    for key, name in (("title", "title"), ("authors", "creator"), ("subject", "description"),
                      ("keywords", "subject"), ("created", "created"), ("modified", "modified"),
                      ("creator", "creator_tool"), ("producer", "producer")):  # fmt: skip
        if value := told.get(name):
            found.setdefault(key, value[:MAX_SEEN] if isinstance(value, list) else value)
    if words := told.get("keywords"):
        found.setdefault("keywords", [word for part in re.split(r"[;,]", words) if (word := part.strip())])
    found["identifiers"] = told.get("identifier", [])


def shared(found: dict[str, Any]) -> dict[str, Any]:
    """Return `common` and `preview`."""
    common = facts.common(
        title=found.get("title"), creator=found.get("authors"), created=found.get("created"),
        keywords=found.get("keywords"), software=[found.get("creator"), found.get("producer")],
        doi=found.get("dois"),
    )  # fmt: skip
    excerpt = "\n\n".join(found.get("text", ())[:3])
    return common | facts.preview(thumbnail=found.pop("thumbnail", None), excerpt=excerpt)


def information(document: Any, name: str) -> str:
    """Return a text of the information dictionary, whatever is wrong with its characters."""
    key = name.encode()
    length = min(pdfium_c.FPDF_GetMetaText(document.raw, key, None, 0), 4 * MAX_VALUE)
    buffer = ctypes.create_string_buffer(max(2, length))
    if pdfium_c.FPDF_GetMetaText(document.raw, key, buffer, length) > length:
        return ""
    return as_meant(buffer.raw[: length - 2].decode("utf-16-le", "replace"))


def information_of(document: Any, found: dict[str, Any]) -> None:
    """Add what the file says of itself."""
    if version := document.get_version():
        found["pdf_version"] = f"{version // 10}.{version % 10}"
    found["pages"] = min(len(document), 1 << 53)
    for key, name in (("title", "Title"), ("subject", "Subject"), ("creator", "Creator"), ("producer", "Producer")):
        if value := clean(information(document, name), MAX_VALUE):
            found[key] = value
    if names := authors(information(document, "Author")):
        found["authors"] = names[:MAX_SEEN]
    words = re.split(r"[;,]", information(document, "Keywords"))
    if keywords := [clean(word, MAX_NAME) for word in words if word.strip()]:
        found["keywords"] = keywords[:MAX_SEEN]
    for key, name in (("created", "CreationDate"), ("modified", "ModDate")):
        if value := iso(information(document, name)):
            found[key] = value
    found["encrypted"] = pdfium_c.FPDF_GetSecurityHandlerRevision(document.raw) >= 0
    found["tagged"] = bool(document.is_tagged())
    if form := FORMS.get(document.get_formtype()):
        found["form"] = form
    if attached := document.count_attachments():
        names = (document.get_attachment(place).get_name() for place in range(min(attached, MAX_ATTACHMENTS)))
        found |= {"attachment_count": attached, "attachments": [clean(name, MAX_NAME) for name in names]}


def outline(document: Any, found: dict[str, Any]) -> None:
    """Add the titles of the outline (bookmarks)."""
    titles = [
        as_meant(mark.get_title()) for mark in itertools.islice(document.get_toc(max_depth=8), MAX_OUTLINE + 1)
    ]
    if len(titles) > MAX_OUTLINE:
        found["partial"] = f"its outline beyond the first {MAX_OUTLINE} titles is left out"
    if titles := [shown for title in titles[:MAX_OUTLINE] if (shown := clean(title or "", MAX_NAME))]:
        found["outline"] = titles


def document_of(path: Path, file: BinaryIO, size: int) -> dict[str, Any]:
    """Return the document of a PDF file, which PDFium opens by its path."""
    file.seek(0)
    if b"%PDF-" not in file.read(HEAD):
        raise ValueError("it is not a PDF file")
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as exc:
        if pdfium_c.FPDF_GetLastError() == PASSWORD:
            raise ValueError("it is encrypted, and can only be read with its password") from None
        raise ValueError("it is damaged beyond what PDFium can read") from exc
    found: dict[str, Any] = {"format": "pdf"}
    reasons: list[str] = []
    steps = {
        "facts": lambda: information_of(document, found), "XMP": lambda: xmp(file, size, found),
        "outline": lambda: outline(document, found), "pages": lambda: PAGES.add(path, found),
    }  # fmt: skip
    for name, step in steps.items():
        try:
            with within(SECONDS):
                step()
        except OutOfTime:
            reasons.append(f"its {name} could not be read in {SECONDS} seconds")
        except (pdfium.PdfiumError, ValueError, OverflowError) as exc:
            reasons.append(f"it is damaged: {clean(str(exc), MAX_NAME)}")
        reasons += [found.pop("partial")] if "partial" in found else []
    identifiers(found)
    found |= shared(found)
    return found | ({"partial": "; ".join(reasons)} if reasons else {})


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with Path(path).open("rb") as file:
        compression = compression_of(file.read(16))
        file.seek(0)
        if not compression:
            return document_of(Path(path), file, os.fstat(file.fileno()).st_size)
        import tempfile  # noqa: PLC0415 - few files need it

        with tempfile.NamedTemporaryFile(dir=MEMORY) as unpacked:
            size = unpacked.write(content_of(file, compression, MAX_UNPACKED))
            unpacked.flush()
            return document_of(Path(unpacked.name), unpacked, size) | {"compression": compression}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    extractor_batch.run(facts.told(extract), isolated=True, seconds_per_file=SECONDS_WHOLE)
