"""Documents that nobody would write on purpose: entities, bombs, absurd places, parts that are not there."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

TYPES = {"[Content_Types].xml": b"<Types/>"}
LAUGHS = b"<!DOCTYPE x [<!ENTITY a 'ha'>" + b"".join(
    b"<!ENTITY %c '&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;'>" % (98 + n, *[97 + n] * 8) for n in range(12)
)
OUTSIDE = b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x><p><t>&a;</t></p></x>"
RELATED = b"<r><Relationship Id='r1' Target='worksheets/a.xml'/></r>"
BOOK = b"<w><sheets><sheet name='a' id='r1'/></sheets></w>"


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    makers: dict[str, dict[str, bytes]] = {
        "laughs.docx": {"word/document.xml": LAUGHS + b"]><x><p><t>&m;</t></p></x>"},
        "outside.docx": {"word/document.xml": OUTSIDE},
        "core.docx": {"word/document.xml": b"<x/>", "docProps/core.xml": OUTSIDE},
        "deep.docx": {"word/document.xml": b"<p>" * 500_000},
        "words.docx": {"word/document.xml": b"<x><p>" + b"<t>word </t>" * 2_000_000 + b"</p></x>"},
        "text.docx": {"word/document.xml": b"<x><p><t>" + b"x" * 60_000_000 + b"</t></p></x>"},
        "attribute.docx": {"word/document.xml": b"<x a='" + b"x" * 60_000_000 + b"'/>"},
        "attributes.docx": {"word/document.xml": b"<x " + b" ".join(b"a%d=''" % n for n in range(300_000)) + b"/>"},
        "headings.docx": {
            "word/styles.xml": b"<s><style styleId='h'><name val='heading 1'/></style></s>",
            "word/document.xml": b"<x>" + b"<p><pStyle val='h'/><t>a</t></p>" * 50_000 + b"</x>",
        },
        "places.xlsx": sheet(b"<c r='ZZZ9999999'><v>1</v></c><c r='A0'><v>1</v></c><c r='-1'><v>1</v></c>"),
        "numbers.xlsx": sheet(b"<c t='s'><v>9999999999999999</v></c><c t='n'><v>1e999</v></c><c><v>nan</v></c>"),
        "cells.xlsx": sheet(b"<c><v>1</v></c>" * 2_000_000),
        "sheets.xlsx": {"xl/workbook.xml": b"<w>" + b"<sheet name='a' id='r1'/>" * 20_000 + b"</w>",
                        "xl/_rels/workbook.xml.rels": RELATED, "xl/worksheets/a.xml": b"<w/>"},
        "itself.xlsx": {"xl/workbook.xml": BOOK,
                        "xl/_rels/workbook.xml.rels": RELATED.replace(b"worksheets/a", b"workbook")},
        "upwards.xlsx": {"xl/workbook.xml": BOOK,
                         "xl/_rels/workbook.xml.rels": RELATED.replace(b"worksheets/a.xml", b"a/../" * 5000)},
        "slides.pptx": {"ppt/presentation.xml": b"<p>" + b"<sldId id='1'/>" * 500_000 + b"</p>"},
        "rows.ods": opened(b"<x><table>" + b"<table-row number-rows-repeated='999999999'>"
                           b"<table-cell number-columns-repeated='999999999' value-type='float' value='1e400'/>"
                           b"</table-row>" * 1000 + b"</table></x>"),
        "ends.ods": opened(b"<x><table-row><table-cell/></table-row></x>"),
        "book.epub": {"mimetype": b"application/epub+zip",
                      "META-INF/container.xml": b"<c><rootfile full-path='/etc/passwd'/></c>"},
        "members.docx": {f"word/media/{n}": b"" for n in range(5000)} | {"word/document.xml": b"<x/>"},
    }  # fmt: skip
    for name, parts in makers.items():
        (folder / name).write_bytes(package(parts if "mimetype" in parts else TYPES | parts))
    whole = package(TYPES | {"word/document.xml": b"<x><p><t>a</t></p></x>"})
    (folder / "torn.docx").write_bytes(whole[:-30])
    (folder / "crc.docx").write_bytes(whole.replace(b"word/document.xml", b"word/DOCUMENT.xml", 1))


def opened(content: bytes) -> dict[str, bytes]:
    """Return an OpenDocument sheet with this content."""
    return {"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "content.xml": content}


def sheet(cells: bytes) -> dict[str, bytes]:
    """Return a workbook with these cells."""
    rows = b"<w><sheetData><row r='1'>" + cells + b"</row></sheetData></w>"
    return {"xl/workbook.xml": BOOK, "xl/_rels/workbook.xml.rels": RELATED, "xl/worksheets/a.xml": rows}


def package(parts: dict[str, bytes]) -> bytes:
    """Return an archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def large(folder: Path, size_bytes: int) -> Path:
    """Write one workbook of about `size_bytes`, all of it cells."""
    path = folder / "large.xlsx"
    rows = b"<row>" + b"<c><v>12345.678</v></c>" * 10 + b"</row>"
    rows *= 5000
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (TYPES | sheet(b"")).items():
            if name != "xl/worksheets/a.xml":
                archive.writestr(name, content)
        with archive.open("xl/worksheets/a.xml", "w", force_zip64=True) as file:
            file.write(b"<w><sheetData>")
            for _ in range(size_bytes // len(rows)):
                file.write(rows)
            file.write(b"</sheetData></w>")
    return path
