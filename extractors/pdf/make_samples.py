#!/usr/bin/env python3
"""Write the samples of the pdf extractor anew: written out here by hand, the same bytes each time."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "samples"


def pdf(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """Return a PDF file of `objects`, numbered from 1; the first is the catalogue."""
    made, places = b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    table += b"".join(b"%010d 00000 n \n" % place for place in places)
    return made + table + b"trailer\n<</Size %d /Root 1 0 R %b>>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, trailer, len(made),
    )  # fmt: skip


def stream(content: bytes, more: bytes = b"") -> bytes:
    """Return a compressed stream."""
    packed = zlib.compress(content)
    return b"<</Length %d /Filter /FlateDecode %b>>\nstream\n%b\nendstream" % (len(packed), more, packed)


def page(content: int) -> bytes:
    """Return an A4 page with one font."""
    return (
        b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
        b" /Resources <</Font <</F1 <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>>>>>" % content
    )


def text(*lines: tuple[int, str]) -> bytes:
    """Return the content of a page: lines of (size in points, words)."""
    shown = [f"/F1 {size} Tf ({words}) Tj 0 -{size * 2} Td" for size, words in lines]
    return ("BT 50 780 Td " + " ".join(shown) + " ET").encode("latin-1")


def article(information: bytes, first: bytes) -> bytes:
    """Return a PDF of two pages with an outline."""
    return pdf(
        [
            b"<</Type /Catalog /Pages 2 0 R /Outlines 7 0 R>>",
            b"<</Type /Pages /Kids [3 0 R 4 0 R] /Count 2>>",
            page(5),
            page(6),
            stream(first),
            stream(text((12, "2. Results"), (10, "The gap is 0.3 eV."))),
            b"<</Type /Outlines /First 8 0 R /Last 9 0 R /Count 2>>",
            b"<</Title (Introduction) /Parent 7 0 R /Next 9 0 R /Dest [3 0 R /Fit]>>",
            b"<</Title (Results) /Parent 7 0 R /Prev 8 0 R /Dest [4 0 R /Fit]>>",
            information,
        ],
        b"/Info 10 0 R",
    )


XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/"
 pdf:Producer="made by hand" xmp:CreateDate="2024-05-01T12:00:00+02:00"><prism:doi>10.5072/XMP.1</prism:doi>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Superconductivity</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>Emmy Noether</rdf:li><rdf:li>Marie Curie</rdf:li></rdf:Seq></dc:creator>
<dc:subject><rdf:Bag><rdf:li>superconductors</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def with_xmp(packed: bool) -> bytes:
    """Return a PDF of one page whose metadata stands in XMP only, beside that of a picture."""
    plain = b"<</Type /Metadata /Subtype /XML /Length %d>>\nstream\n%b\nendstream"
    other = XMP.replace(b"Superconductivity", b"A picture")
    own = stream(XMP, b"/Type /Metadata /Subtype /XML") if packed else plain % (len(XMP), XMP)
    return pdf(
        [
            b"<</Type /Catalog /Pages 2 0 R /Metadata 5 0 R>>",
            b"<</Type /Pages /Kids [3 0 R] /Count 1>>",
            page(4),
            stream(text((12, "Some plain text, all in one size"))),
            own,
            plain % (len(other), other),
        ]
    )


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    heading = text(
        (20, "Band gaps of graphene"), (10, "doi:10.1234/example.5678 arXiv:2301.01234v2"), (12, "1. Start")
    )
    told = article(
        b"<</Title (Band gaps of graphene) /Author (Ada Lovelace; Emmy Noether) /Keywords (graphene, gap)"
        b" /Subject (Physics) /Creator (LaTeX) /Producer (made by hand)"
        b" /CreationDate (D:20230401120000+02'00') /ModDate (D:20230402)>>",
        heading,
    )
    samples = {
        "article.pdf": told,
        "untitled.pdf": article(b"<<>>", heading),
        "utf16.pdf": article(b"<</Title <FEFF004800F600680065> /Author (Smith, A.)>>", heading),
        "no-table.pdf": told.replace(b"startxref", b"startxrfe"),
        "xmp.pdf": with_xmp(packed=False),
        "xmp-packed.pdf": with_xmp(packed=True),
        "article.pdf.gz": gzip.compress(told, mtime=0),
        "axis.pdf": article(b"<</CreationDate (D:00000101000000Z)>>", text((10, "0"), (10, "2"), (10, "Energy"))),
        "picture.pdf": article(b"<<>>", b"10 10 100 100 re f"),
        "bad-locked.pdf": pdf(
            [
                b"<</Type /Catalog /Pages 2 0 R>>",
                b"<</Type /Pages /Kids [] /Count 0>>",
                b"<</Filter /Standard /V 1 /R 2 /P -4 /O <%b> /U <%b>>>" % (b"41" * 32, b"42" * 32),
            ],
            b"/Encrypt 3 0 R /ID [<00><00>]",
        ),
        "bad-head-only.pdf": b"%PDF-1.4\n",
        "bad-text.pdf": b"This is no PDF file.\n",
    }
    for name, content in samples.items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
