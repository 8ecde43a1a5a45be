"""PDF files: title, authors, dates, pages, outline and text, read with PDFium, the library of the Chrome browser.

PDFium reads from the file only what it needs, so size does not matter. Text is taken from the first pages, up to a
bound. A file on which PDFium crashes or hangs costs no other file its document (`isolated`).
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import re
import resource
import signal
from pathlib import Path
from typing import Any

import extractor_batch
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from extractor_batch import OutOfTime, within

SECONDS = 15  # of its facts, its outline and its pages each; then its document is partial
SECONDS_WHOLE = 30  # of one file; then its child is killed, as where PDFium opens it without end
MEMORY_BYTES = 400 << 20  # address space
MAX_VALUE = 4000  # characters
MAX_NAME = 300
MAX_AUTHORS = 100
MAX_OUTLINE = 100
MAX_PAGES = 50  # of which text is taken
MAX_TEXT = 60_000  # characters of text
MAX_ATTACHMENTS = 50
TITLE_CHARACTERS = 2000  # of the first page that are looked at for the largest
HEAD = 1024  # the header may stand anywhere in it (ISO 32000-1, annex H.3.4.1)
DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(Z)|([+-]\d\d)'?(\d\d)?)?")
DOI = re.compile(r"\b10\.\d{4,9}/[-._;()/:A-Za-z0-9]{1,100}")
ARXIV = re.compile(r"\barXiv:\s?(\d{4}\.\d{4,5}(?:v\d+)?)")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
FORMS = {1: "acroform", 2: "xfa", 3: "xfa"}
PASSWORD = 4  # FPDF_ERR_PASSWORD


def clean(text: str, limit: int) -> str:
    """Return text that JSON and a database can hold, cut at `limit` characters."""
    return UNPRINTABLE.sub(" ", text[:limit].encode("utf-8", "replace").decode()).strip()


def iso(date: str) -> str:
    """Return a PDF date (ISO 32000-1, 7.9.4) as ISO 8601; empty for what is none."""
    match = DATE.match(date.strip())
    if not match:
        return ""
    year, month, day, hour, minute, second, zulu, zone, zone_minutes = match.groups()
    made = "-".join(part for part in (year, month, day) if part)
    if day and hour:
        made += f"T{hour}:{minute or '00'}:{second or '00'}"
        made += "Z" if zulu else f"{zone}:{zone_minutes or '00'}" if zone else ""
    return made


def authors(text: str) -> list[str]:
    """Return the names in the author's field: apart by ; and & `and`, by commas only between full names."""
    parts = [part.strip() for part in re.split(r";|&|\band\b", text)]
    if len(parts) == 1:
        names = [part.strip() for part in text.split(",")]
        parts = names if all(" " in name for name in names) else [text.strip()]
    return [clean(part, MAX_NAME) for part in parts if part][:MAX_AUTHORS]


def largest(text: Any, count: int) -> str:
    """Return what stands in the largest letters on a page: its title, most of the time."""
    best, best_size, run, run_size = "", 0.0, "", 0.0
    for place in range(min(count, TITLE_CHARACTERS)):
        letter = chr(pdfium_c.FPDFText_GetUnicode(text.raw, place))
        size = round(pdfium_c.FPDFText_GetFontSize(text.raw, place), 1)
        if not letter.isspace() and size != run_size:
            run, run_size = "", size
        run += letter
        if (run_size > best_size and len(run.strip()) > 3) or (run_size == best_size and run.startswith(best)):
            best, best_size = run, run_size
    return clean(" ".join(best.split()), MAX_NAME)


def pages(document: Any, found: dict[str, Any]) -> None:
    """Add what the first pages say: their size, their text."""
    count = found["pages"]
    texts, total, without = [], 0, 0
    for number in range(min(count, MAX_PAGES)):
        try:
            page = document[number]
        except pdfium.PdfiumError:
            found["damaged_pages"] = found.get("damaged_pages", 0) + 1
            continue
        if "page_width_mm" not in found:
            found |= {"page_width_mm": mm(page.get_width()), "page_height_mm": mm(page.get_height())}
        text = page.get_textpage()
        characters = max(0, text.count_chars())
        if not number and "title" not in found and (title := largest(text, characters)):
            found |= {"title": title, "title_source": "largest letters"}
        part = clean(text.get_text_range(0, min(characters, MAX_VALUE)), MAX_VALUE) if characters else ""
        without += not part
        if part:
            texts.append(part[: MAX_TEXT - total])
            total += len(texts[-1])
            found["text"] = texts
        text.close()
        page.close()
        found["text_pages"], found["pages_without_text"] = number + 1, without
        if total >= MAX_TEXT:
            break


def pages_apart(document: Any, found: dict[str, Any]) -> None:
    """Do `pages` in a child: where PDFium crashes on a page or is slow, what is known without it stays."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with contextlib.suppress(BaseException), os.fdopen(writing, "w", encoding="utf-8") as out:
            pages(document, found)
            out.write(json.dumps(found))
        os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as answer:
            text = answer.read()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not text:
        raise ValueError("PDFium cannot read its pages")
    found |= json.loads(text)


def mm(points: float) -> float:
    """Return points (1/72 inch) in mm, 0 for what is no length."""
    return round(points * 25.4 / 72, 1) if 0 < points < 1e6 else 0.0


def identifiers(found: dict[str, Any]) -> None:
    """Add DOIs and arXiv numbers of the first two pages and of the metadata."""
    text = "\n".join([*found.get("text", [])[:2], *(str(found.get(key, "")) for key in ("subject", "keywords"))])
    dois = list(dict.fromkeys(doi.rstrip(".;:)") for doi in DOI.findall(text)))[:20]
    arxiv = list(dict.fromkeys(ARXIV.findall(text)))[:20]
    found |= ({"dois": dois} if dois else {}) | ({"arxiv": arxiv} if arxiv else {})


def information(document: Any, name: str) -> str:
    """Return a text of the information dictionary, whatever is wrong with its characters."""
    key = name.encode()
    length = min(pdfium_c.FPDF_GetMetaText(document.raw, key, None, 0), 4 * MAX_VALUE)
    buffer = ctypes.create_string_buffer(max(2, length))
    if pdfium_c.FPDF_GetMetaText(document.raw, key, buffer, length) > length:
        return ""
    return buffer.raw[: length - 2].decode("utf-16-le", "replace")


def facts(document: Any, found: dict[str, Any]) -> None:
    """Add what the file says of itself."""
    if version := document.get_version():
        found["pdf_version"] = f"{version // 10}.{version % 10}"
    found["pages"] = min(len(document), 1 << 53)
    for key, name in (("title", "Title"), ("subject", "Subject"), ("creator", "Creator"), ("producer", "Producer")):
        if value := clean(information(document, name), MAX_VALUE):
            found[key] = value
    if names := authors(information(document, "Author")):
        found["authors"] = names
    words = re.split(r"[;,]", information(document, "Keywords"))
    if keywords := [clean(word, MAX_NAME) for word in words if word.strip()]:
        found["keywords"] = keywords[:MAX_AUTHORS]
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
    """Add the titles of the outline (bookmarks), the first of them."""
    titles = [mark.get_title() for mark in itertools.islice(document.get_toc(max_depth=8), MAX_OUTLINE)]
    if titles := [shown for title in titles if (shown := clean(title or "", MAX_NAME))]:
        found["outline"] = titles


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with Path(path).open("rb") as file:
        if b"%PDF-" not in file.read(HEAD):
            raise ValueError("it is no PDF file")
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as exc:
        if pdfium_c.FPDF_GetLastError() == PASSWORD:
            raise ValueError("it is encrypted, and can only be read with its password") from None
        raise ValueError("it is damaged beyond what PDFium can read") from exc
    found: dict[str, Any] = {"format": "pdf"}
    for part in (facts, outline, pages_apart):
        try:
            with within(SECONDS):
                part(document, found)
        except OutOfTime:
            found["partial"] = f"its {part.__name__.removesuffix('_apart')} could not be read in {SECONDS} seconds"
        except (pdfium.PdfiumError, ValueError, OverflowError) as exc:
            found["partial"] = f"it is damaged: {clean(str(exc), MAX_NAME)}"
    identifiers(found)
    return found


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    extractor_batch.run(extract, isolated=True, seconds_per_file=SECONDS_WHOLE)
