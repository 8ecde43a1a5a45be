"""What the pages of a PDF file say and show: text, title, size, and a thumbnail. Part of the extractor `pdf`."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from typing import Any

import extractor_facts as facts
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from pdf_words import MAX_NAME, clean

MAX_PAGE = 10_000  # characters of the text of one page
MAX_PAGES = 50  # of which text is taken
MAX_TEXT = 100_000  # characters of text
TITLE_CHARACTERS = 2000  # of the first page that are looked at for the largest
THUMBNAIL = 128  # pixels of its longer edge


def mm(points: float) -> float:
    """Return points (1/72 inch) in mm, 0 for what is no length."""
    return round(points * 25.4 / 72, 1) if 0 < points < 1e6 else 0.0


def letter_size(text: Any, place: int) -> float:
    """Return how large a letter is on its page: its font's size, as the text's matrix enlarges it."""
    size = pdfium_c.FPDFText_GetFontSize(text.raw, place)
    matrix = pdfium_c.FS_MATRIX()
    if pdfium_c.FPDFText_GetMatrix(text.raw, place, matrix):
        size *= (matrix.c**2 + matrix.d**2) ** 0.5
    return round(size, 1)


def largest(text: Any, count: int) -> str:
    """Return what stands in the largest letters on a page: its title, most of the time.

    Where most letters are of that size, or where it has no words, as on the axes of a figure, nothing is a title.
    """
    best, best_size, run, run_size = "", 0.0, "", 0.0
    sizes: Counter[float] = Counter()
    for place in range(min(count, TITLE_CHARACTERS)):
        letter = chr(pdfium_c.FPDFText_GetUnicode(text.raw, place))
        size = run_size if letter.isspace() else letter_size(text, place)
        if size != run_size:
            run, run_size = "", size
        run += letter
        sizes[size] += not letter.isspace()
        if (run_size > best_size and len(run.strip()) > 3) or (run_size == best_size and run.startswith(best)):
            best, best_size = run, run_size
    second = max((size for size in sizes if size < best_size and sizes[size]), default=best_size)
    body = sizes[best_size] * 2 > sizes.total() and best_size < 1.5 * second
    if body or second == best_size or sum(letter.isalpha() for letter in best) < 4:
        return ""
    return clean(" ".join(best.split()), MAX_NAME)


def png(page: Any) -> dict[str, str] | None:
    """Return a page as a small PNG in shades of grey."""
    width, height = page.get_size()
    if not 0 < min(width, height) <= max(width, height) < 1e6:
        return None
    bitmap = page.render(scale=THUMBNAIL / max(width, height), grayscale=True)
    data, wide, high = bytes(bitmap.buffer), bitmap.width, bitmap.height
    rows = b"".join(b"\0" + data[row * bitmap.stride : row * bitmap.stride + wide] for row in range(high))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows, 9)),
             (b"IEND", b"")]  # fmt: skip
    content = b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in parts
    )
    return facts.thumbnail("image/png", b"\x89PNG\r\n\x1a\n" + content)


def pages(document: Any, found: dict[str, Any]) -> Any:
    """Add what the first pages say: their size, their text; return the first of all, None where it is damaged."""
    count, first = found["pages"], None
    texts, total, without, cut = [], 0, 0, False
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
        part = clean(text.get_text_range(0, min(characters, MAX_PAGE)), MAX_PAGE) if characters else ""
        cut = cut or characters > MAX_PAGE or len(part) > MAX_TEXT - total
        without += not part
        if part:
            texts.append(part[: MAX_TEXT - total])
            total += len(texts[-1])
            found["text"] = texts
        text.close()
        if number:
            page.close()
        else:
            first = page
        found["text_pages"], found["pages_without_text"] = number + 1, without
        if total >= MAX_TEXT:
            break
    if cut or found.get("text_pages", count) < count:
        found["partial"] = f"text of the first {found['text_pages']} of {count} pages" + (", cut" if cut else "")
    return first
