#!/usr/bin/env python3
"""Write the samples of the extractor anew, by the formats' libraries: the same bytes each time.

Needs python-docx, openpyxl, python-pptx and odfpy. All contents are made up here.
"""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from docx import Document
from odf import dc, meta, opendocument, table, text
from openpyxl import Workbook
from pptx import Presentation

WHEN = datetime(2026, 3, 2, 10, 11, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 5, 8, 0, 0, tzinfo=UTC)
CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
BOOK = """<?xml version="1.0"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>A short book of tides</dc:title><dc:creator>Ada Example</dc:creator><dc:language>en</dc:language>
<dc:date>2025-11-30</dc:date><dc:subject>tides</dc:subject><dc:subject>harbours</dc:subject>
<dc:identifier>doi:10.1000/TIDES.1</dc:identifier></metadata></package>"""


def archive(path: Path, content: bytes, drop: str = "") -> None:
    """Write an archive again with one time for all members."""
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if not drop or drop not in name:
                packing = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
                part = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>2026-03-05T08:00:00Z", old.read(name))
                new.writestr(zipfile.ZipInfo(name), part, packing)


def word(folder: Path) -> None:
    """Write a report."""
    document = Document()
    said = document.core_properties
    said.title, said.author, said.keywords = "Beam time report", "Ada Example", "ARPES, silicon; beam time"
    said.created, said.modified, said.last_modified_by, said.subject = WHEN, LATER, "Bo Sample", "Surface science"
    said.comments, said.language, said.category = "After the second run", "en-GB", "Report"
    document.add_heading("Beam time report", 0)
    document.add_heading("Samples", 1)
    document.add_paragraph("Two wafers of silicon were cleaned and measured at 80 K.")
    rows = document.add_table(rows=2, cols=2)
    for place, word_ in enumerate(("wafer", "result", "7", "clean")):
        rows.cell(place // 2, place % 2).text = word_
    document.add_heading("Results", 1)
    document.add_paragraph("The surface state was seen in both.")
    out = io.BytesIO()
    document.save(out)
    archive(folder / "report.docx", out.getvalue())


def sheets(folder: Path) -> None:
    """Write a workbook: a table, a hidden sheet, and one that is empty."""
    book = Workbook()
    said = book.properties
    said.title, said.creator, said.created, said.modified = "Weather log", "Cy Demo", WHEN, LATER
    first = book.active
    first.title = "readings"
    first.append(["station", "day", "temperature", "ok"])
    for number in range(30):
        first.append([("north", "south")[number % 2], number + 1, 10.5 + number / 4, number % 3 == 0])
    first["F40"] = "=SUM(C2:C31)"
    hidden = book.create_sheet("notes")
    hidden["B2"] = "calibrated in March"
    hidden.sheet_state = "hidden"
    book.create_sheet("empty")
    out = io.BytesIO()
    book.save(out)
    archive(folder / "weather.xlsx", out.getvalue())


def slides(folder: Path) -> None:
    """Write a talk."""
    show = Presentation()
    said = show.core_properties
    said.title, said.author, said.created, said.modified = "Tides of the harbour", "Di Speaker", WHEN, LATER
    for title, body in (
        ("Tides of the harbour", "A talk"),
        ("Method", "A gauge\nTwo years"),
        ("Result", "Neap and spring"),
    ):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    slide.notes_slide.notes_text_frame.text = "Thank the harbour master."
    slide._element.set("show", "0")  # noqa: SLF001 - the library has no other way
    out = io.BytesIO()
    show.save(out)
    archive(folder / "talk.pptx", out.getvalue())


def open_documents(folder: Path) -> None:
    """Write a text and a table of OpenDocument."""
    for name, document in (
        ("notes.odt", opendocument.OpenDocumentText()),
        ("stock.ods", opendocument.OpenDocumentSpreadsheet()),
    ):
        document.meta.addElement(dc.Title(text="Notes of the store" if name == "notes.odt" else "Stock list"))
        document.meta.addElement(meta.InitialCreator(text="Ed Keeper"))
        document.meta.addElement(meta.CreationDate(text="2026-02-01T09:30:00"))
        document.meta.addElement(meta.Keyword(text="chemicals"))
        document.meta.addElement(meta.Keyword(text="store"))
        if name == "notes.odt":
            document.text.addElement(text.H(outlinelevel=1, text="Solvents"))
            document.text.addElement(text.P(text="Ethanol stands on the second shelf."))
            document.text.addElement(text.H(outlinelevel=1, text="Gases"))
            document.text.addElement(text.P(text="Argon is outside."))
        else:
            sheet = table.Table(name="stock")
            for row in (("substance", "litres"), ("ethanol", 5), ("acetone", 2.5)):
                line = table.TableRow()
                for value in row:
                    kind = (
                        {"valuetype": "string"}
                        if isinstance(value, str)
                        else {"valuetype": "float", "value": value}
                    )
                    cell = table.TableCell(**kind)
                    cell.addElement(text.P(text=f"{value}"))
                    line.addElement(cell)
                line.addElement(table.TableCell(numbercolumnsrepeated=1000))
                sheet.addElement(line)
            sheet.addElement(table.TableRow(numberrowsrepeated=1_000_000))
            document.spreadsheet.addElement(sheet)
        out = io.BytesIO()
        document.write(out)
        archive(folder / name, out.getvalue())


def book(folder: Path) -> None:
    """Write a book."""
    with zipfile.ZipFile(folder / "tides.epub", "w") as place:
        parts = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER, "OPS/book.opf": BOOK,
                 "OPS/one.xhtml": "<html/>", "OPS/two.xhtml": "<html/>"}  # fmt: skip
        for name, content in parts.items():
            place.writestr(zipfile.ZipInfo(name), content)


def main() -> None:
    """Write all."""
    folder = Path(__file__).resolve().parent / "samples"
    folder.mkdir(exist_ok=True)
    word(folder)
    sheets(folder)
    slides(folder)
    open_documents(folder)
    book(folder)
    archive(folder / "bad-part.docx", (folder / "report.docx").read_bytes(), drop="word/document")
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)
    (folder / "bad-old.doc").write_bytes(old)
    (folder / "bad-locked.xlsx").write_bytes(old + "EncryptedPackage".encode("utf-16-le") + bytes(99))


if __name__ == "__main__":
    main()
