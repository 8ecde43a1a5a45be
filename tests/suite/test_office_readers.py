"""Documents of office programs: the golden documents are what the formats' own libraries read."""

from __future__ import annotations

import sys
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
import xlsxwriter
from docx import Document
from lxml import etree
from odf import dc, draw, opendocument, style, table, teletype, text
from pptx import Presentation

from tests.suite.families import families
from tests.support.programs import load, program

# odfpy puts its own folder there, whose modules are called text, office, table...
sys.path[:] = [place for place in sys.path if Path(place).name != "odf"]
OFFICE = families()["office"]
SAMPLES = OFFICE.manifest.folder / "samples"
office = load("office")


def golden(name: str) -> dict[str, Any]:
    """Return the golden document of a sample."""
    return OFFICE.expected(SAMPLES / name)


def test_a_text_is_as_python_docx_reads_it() -> None:
    """Properties, headings, words and tables of a docx equal those of python-docx."""
    document, found = Document(str(SAMPLES / "report.docx")), golden("report.docx")
    said = document.core_properties
    assert (found["title"], found["creator"], found["subject"]) == (said.title, said.author, said.subject)
    assert found["created"] == said.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    cells = [cell.text for each in document.tables for row in each.rows for cell in row.cells]
    lines = [paragraph.text for paragraph in document.paragraphs] + cells
    assert found["words"] == sum(len(line.split()) for line in lines)
    assert found["paragraphs"] == len([line for line in lines if line])
    assert found["tables"] == len(document.tables)
    assert found["headings"] == [
        each.text for each in document.paragraphs if each.style.name.startswith(("Heading", "Title"))
    ]


def test_a_workbook_is_as_openpyxl_reads_it() -> None:
    """Extents, cells, formulas and the head of sheets equal those of openpyxl."""
    book, found = openpyxl.load_workbook(SAMPLES / "weather.xlsx"), golden("weather.xlsx")
    assert found["sheet_names"] == book.sheetnames
    for sheet in book:
        cells = [cell for row in sheet.iter_rows() for cell in row if cell.value is not None]
        assert found["sheet"][sheet.title]["cells"] == len(cells)
        assert found["sheet"][sheet.title]["rows"] == max((cell.row for cell in cells), default=0)
        assert found["sheet"][sheet.title]["columns"] == max((cell.column for cell in cells), default=0)
        assert found["sheet"][sheet.title].get("formulas", 0) == len([c for c in cells if c.data_type == "f"])
        assert found["sheet"][sheet.title].get("hidden", False) == (sheet.sheet_state != "visible")
    rows = [list(row) for row in book["readings"].iter_rows(max_row=11, max_col=4, values_only=True)]
    assert found["columns"] == rows[0]
    assert found["preview"]["table"] == {"columns": rows[0], "rows": rows[1:]}


def test_slides_are_as_python_pptx_reads_them() -> None:
    """Slides, titles and words of a pptx equal those of python-pptx."""
    show, found = Presentation(str(SAMPLES / "talk.pptx")), golden("talk.pptx")
    assert found["slides"] == len(show.slides)
    assert found["headings"] == [slide.shapes.title.text for slide in show.slides]
    texts = [shape.text_frame.text for slide in show.slides for shape in slide.shapes if shape.has_text_frame]
    assert found["words"] == sum(len(one.split()) for one in texts)
    assert found["notes"] == len([slide for slide in show.slides if slide.has_notes_slide])


def test_open_document_is_as_odfpy_reads_it() -> None:
    """Headings and words of an odt, rows and columns of an ods equal those of odfpy."""
    document, found = opendocument.load(str(SAMPLES / "notes.odt")), golden("notes.odt")
    lines = [teletype.extractText(each) for each in document.text.childNodes]
    assert found["words"] == sum(len(line.split()) for line in lines)
    assert found["headings"] == [teletype.extractText(each) for each in document.getElementsByType(text.H)]
    book, found = opendocument.load(str(SAMPLES / "stock.ods")), golden("stock.ods")
    rows = [
        [teletype.extractText(cell) for cell in row.getElementsByType(table.TableCell) if cell.childNodes]
        for row in book.getElementsByType(table.TableRow)
    ]
    filled = [row for row in rows if row]
    assert found["sheet"]["stock"] == {"rows": len(filled), "columns": 2, "cells": sum(map(len, filled))}
    assert found["columns"] == filled[0]


def test_a_book_is_as_an_xml_tree_has_it() -> None:
    """Title, people, subjects and chapters of an EPUB equal those of its package and its archive."""
    found = golden("tides.epub")
    with zipfile.ZipFile(SAMPLES / "tides.epub") as archive:
        package = etree.fromstring(archive.read("OPS/book.opf"))
        chapters = [name for name in archive.namelist() if name.endswith("xhtml")]
    said = {
        key: package.xpath(f"//*[local-name()='{key}']/text()") for key in ("title", "creator", "subject", "date")
    }
    assert (found["title"], found["creator"]) == (said["title"][0], said["creator"][0])
    assert (found["keywords"], found["created"]) == (said["subject"], said["date"][0])
    assert found["chapters"] == len(chapters)


@pytest.mark.parametrize("form", ["odp", "odg"])
def test_slides_and_drawings_of_odf_have_what_odfpy_put_in(tmp_path: Path, form: str) -> None:
    """Pages, words and the title of a presentation and of a drawing are those that were written."""
    made = opendocument.OpenDocumentPresentation() if form == "odp" else opendocument.OpenDocumentDrawing()
    made.meta.addElement(dc.Title(text="Tides"))
    layout = style.PageLayout(name="page")
    made.automaticstyles.addElement(layout)
    master = style.MasterPage(name="master", pagelayoutname=layout)
    made.masterstyles.addElement(master)
    root = made.presentation if form == "odp" else made.drawing
    for number in range(3):
        page, frame, box = draw.Page(masterpagename=master), draw.Frame(width="9cm", height="2cm"), draw.TextBox()
        box.addElement(text.P(text=f"two words {number}"))
        frame.addElement(box)
        page.addElement(frame)
        root.addElement(page)
    made.save(str(tmp_path / "a"))
    found = office.extract(str(tmp_path / "a"))
    assert (found["format"], found["title"], found["words"]) == (form, "Tides", 9)
    assert found.get("slides") == (3 if form == "odp" else None)


def test_a_large_sheet_is_counted_exactly(tmp_path: Path) -> None:
    """Rows and cells far below the head count, wherever they stand and however they are written."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("far")
    for number in range(3000):
        sheet.append([number, None, f"text {number}"])
    book.save(tmp_path / "far.xlsx")
    found = office.extract(str(tmp_path / "far.xlsx"))
    assert found["sheet"]["far"] == {"rows": 3000, "columns": 3, "cells": 6000}
    assert "partial" not in found


def test_words_around_formatted_ones_count(tmp_path: Path) -> None:
    """Words before, in and after a part with a format of its own, or a blank, are those that odfpy reads."""
    made = opendocument.OpenDocumentText()
    line = text.P(text="Tides of the ")
    line.addElement(text.Span(text="North Sea"))
    line.addText(" were high")
    line.addElement(text.S())
    line.addText("in March")
    heading = text.H(outlinelevel=1, text="What ")
    heading.addElement(text.Span(text="was"))
    heading.addText(" measured")
    for each in (heading, line):
        made.text.addElement(each)
    made.save(str(tmp_path / "a.odt"))
    lines = [teletype.extractText(each) for each in opendocument.load(str(tmp_path / "a.odt")).text.childNodes]
    found = office.extract(str(tmp_path / "a.odt"))
    assert found["headings"] == [lines[0]]
    assert found["preview"]["excerpt"] == "\n".join(lines)
    assert found["words"] == sum(len(one.split()) for one in lines)


def test_remarks_and_what_was_deleted_are_no_words(tmp_path: Path) -> None:
    """Of an odt, annotations, deleted text and words for pictures do not count; notes do, as words of their own."""
    parts = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>deleted words</text:p></text:deletion>"
        "</text:changed-region></text:tracked-changes>"
        "<text:p>Two words<office:annotation><dc:creator>Emmy</dc:creator><text:p>a remark</text:p>"
        "</office:annotation><text:note><text:note-citation>1</text:note-citation><text:note-body>"
        "<text:p>a note</text:p></text:note-body></text:note></text:p>"
        "<text:p><draw:frame><svg:title>a picture</svg:title></draw:frame></text:p>"
    )
    spaces = {
        name: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" for name in ("office", "text", "drawing")
    } | {
        "dc": "http://purl.org/dc/elements/1.1/",
        "svg": "urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0",
    }
    said = " ".join(f'xmlns:{"draw" if name == "drawing" else name}="{uri}"' for name, uri in spaces.items())
    with zipfile.ZipFile(tmp_path / "a.odt", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", f"<office:document-content {said}>{parts}</office:document-content>")
    found = office.extract(str(tmp_path / "a.odt"))
    assert (found["words"], found["preview"]["excerpt"]) == (4, "Two words a note")


def test_the_title_as_a_field_of_the_text_counts(tmp_path: Path) -> None:
    """A paragraph that shows the title of the document has its words, as odfpy reads them."""
    made = opendocument.OpenDocumentText()
    line, part = text.P(text="Report on "), text.Span(text="the ")
    part.addElement(text.Title(text="North Sea"))
    line.addElement(text.Title(text="Tides"))
    line.addText(" of ")
    line.addElement(part)
    made.text.addElement(line)
    made.save(str(tmp_path / "a.odt"))
    found = office.extract(str(tmp_path / "a.odt"))
    assert found["preview"]["excerpt"] == teletype.extractText(line)
    assert found["words"] == 7


def test_a_text_box_counts_once(tmp_path: Path) -> None:
    """What a docx says twice, for new and old programs, counts once; so does what was moved to another place."""
    made = Document()
    line = made.add_paragraph("before the box")
    box = (
        "<w:txbxContent xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'>"
        "<w:p><w:r><w:t>in the box</w:t></w:r></w:p></w:txbxContent>"
    )
    spaces = (
        "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main' "
        "xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006'"
    )
    line._p.append(  # python-docx makes no boxes
        etree.fromstring(
            f"<w:r {spaces}><mc:AlternateContent><mc:Choice Requires='wps'>{box}</mc:Choice>"
            f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r>"
        )
    )
    line._p.append(etree.fromstring(f"<w:moveFrom {spaces}><w:r><w:t>moved away</w:t></w:r></w:moveFrom>"))
    made.save(str(tmp_path / "a.docx"))
    found = office.extract(str(tmp_path / "a.docx"))
    assert (found["words"], found["paragraphs"]) == (6, 2)
    assert found["preview"]["excerpt"].split("\n") == ["in the box", "before the box"]


MOMENTS = [
    (date(2024, 3, 1), "yyyy-mm-dd"), (date(2024, 12, 31), "dd/mm/yy"),
    (datetime(2024, 3, 1, 6, 7, 8), "m/d/yy h:mm"),  # noqa: DTZ001 - a sheet has no zone
    (datetime(1987, 6, 5, 23, 59, 59, 500_000), "yyyy-mm-dd hh:mm:ss.000"),  # noqa: DTZ001
    (date(1900, 1, 1), "d mmm yyyy"), (date(1900, 2, 28), "yyyy-mm-dd"),
    (date(1900, 3, 1), '[$-409]d" of "mmmm'), (time(12, 30), "h:mm AM/PM"), (time(0, 0, 1), "mm:ss"),
    (date(2024, 2, 29), "[Red]mmmm\\ yyyy;@"),
]  # fmt: skip
PLAIN = [(1.5, "0.00"), (45352, "General"), (0.25, "0%"), (3, '0" days"'), (7, "0.0E+00"), (12, "#,##0\\ \\h")]


def iso(value: Any) -> Any:
    """Return a moment as ISO 8601, a day without its midnight; any other value as it is."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="auto").removesuffix("000").removesuffix("T00:00:00")
    return value.isoformat() if isinstance(value, (date, time)) else value


def test_dates_of_a_workbook_are_those_that_openpyxl_wrote(tmp_path: Path) -> None:
    """What a format shows as a date or a time is one in the head, whatever its code; other numbers stay numbers."""
    book = openpyxl.Workbook()
    for place, (value, code) in enumerate(MOMENTS[:9]):
        cell = book.active.cell(row=place + 1, column=1, value=value)
        cell.number_format = code
    for place, (value, code) in enumerate(PLAIN):
        book.active.cell(row=place + 1, column=2, value=value).number_format = code
    book.active.cell(row=1, column=3, value=timedelta(hours=36, minutes=5)).number_format = "[h]:mm"
    book.save(tmp_path / "a.xlsx")
    rows = office.extract(str(tmp_path / "a.xlsx"))["preview"]["table"]["rows"]
    assert [row[0] for row in rows] == [iso(value) for value, _ in MOMENTS[:9]]
    assert [row[1] for row in rows[: len(PLAIN)]] == [value for value, _ in PLAIN]
    assert rows[0][2] == "36:05:00"


@pytest.mark.parametrize("from_1904", [False, True])
def test_dates_of_a_workbook_are_those_that_pandas_reads(tmp_path: Path, *, from_1904: bool) -> None:
    """Dates of a workbook of another library, from 1900 or from 1904, are those of pandas; dates are no names."""
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path, {"date_1904": from_1904}) as book:
        sheet = book.add_worksheet()
        for place, (value, code) in enumerate(one for one in MOMENTS if getattr(one[0], "year", 0) > 1904):
            sheet.write_datetime(place, 0, value, book.add_format({"num_format": code}))
    read = pd.read_excel(path, header=None)
    expected = [[iso(value.to_pydatetime()) for value in row] for row in read.astype(object).to_numpy().tolist()]
    found = office.extract(str(path))
    assert found["preview"]["table"]["rows"] == expected
    assert "columns" not in found


def test_dates_of_an_open_document_sheet_are_its_values(tmp_path: Path) -> None:
    """Of an ods, dates, times and amounts are what the cells hold, as pandas reads them, and not how they look."""
    made = opendocument.OpenDocumentSpreadsheet()
    sheet = table.Table(name="days")
    cells = [
        ({"valuetype": "date", "datevalue": "2024-03-02"}, "02.03.24"),
        ({"valuetype": "date", "datevalue": "2024-03-02T12:30:00"}, "2 March, half past twelve"),
        ({"valuetype": "time", "timevalue": "PT06H05M00S"}, "06:05"),
        ({"valuetype": "percentage", "value": "0.25"}, "25 %"),
        ({"valuetype": "currency", "currency": "EUR", "value": "1234.5"}, "1.234,50 EUR"),
    ]
    for _ in range(2):
        row = table.TableRow()
        for attributes, shown in cells:
            cell = table.TableCell(**attributes)
            cell.addElement(text.P(text=shown))
            row.addElement(cell)
        sheet.addElement(row)
    made.spreadsheet.addElement(sheet)
    made.save(str(tmp_path / "a.ods"))
    found = office.extract(str(tmp_path / "a.ods"))
    (expected, _) = pd.read_excel(tmp_path / "a.ods", header=None, engine="odf").astype(object).to_numpy().tolist()
    moments = [iso(value if isinstance(value, time) else value.to_pydatetime()) for value in expected[:3]]
    assert found["preview"]["table"]["rows"] == [[*moments, *expected[3:]]] * 2
    assert "columns" not in found
    assert program("office", "office_dates").of_iso("PT36H05M00.5S") == "36:05:00.5"


def test_a_duration_that_no_clock_shows_costs_only_itself() -> None:
    """Python reads no number of thousands of digits; the document stays, and the cell is as it was written."""
    for written in (f"PT{'9' * 5000}H", f"P{'9' * 5000}DT1H", f"PT1H{'9' * 5000}M", f"PT{'9' * 5000}.5S"):
        assert program("office", "office_dates").of_iso(written) == written
