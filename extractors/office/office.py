"""Documents of office programs: Office Open XML, OpenDocument and EPUB, by what their archives hold.

Parts are read as streams, in bounded memory and time. No macro runs, no document type is read, nothing is fetched.
"""

from __future__ import annotations

import zipfile
from typing import Any

import extractor_batch
import extractor_facts as facts
import office_properties as properties
from office_odf import odf
from office_sheet import WORKBOOK, xlsx
from office_word import docx, pptx
from office_xml import Package

SECONDS = 20
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
DOCUMENTS = (("word/document.xml", docx), (WORKBOOK, xlsx), ("ppt/presentation.xml", pptx))


def container(package: Package) -> str:
    """Return where the package document of a book is."""
    found = [""]

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "rootfile" and not found[0]:
            found[0] = attributes.get("full-path", "")

    package.walk("META-INF/container.xml", start)
    return found[0]


def book(package: Package) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a book holds."""
    chapters = sum(1 for name in package.names if name.lower().endswith((".xhtml", ".html", ".htm")))
    return {"format": "epub", "chapters": chapters} | properties.epub(package, container(package)), {}


def content_of(package: Package) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a document says and holds, and its parts for `preview`.

    Raises:
        ValueError: it is none that is read.
    """
    mime = package.start_of("mimetype").decode("latin-1").strip()
    if mime == "application/epub+zip":
        return book(package)
    if mime.startswith("application/vnd.oasis.opendocument."):
        if b"encryption-data" in package.start_of("META-INF/manifest.xml", 1 << 20):
            raise ValueError("it is encrypted with a password")
        said = properties.open_document(package)
        found, shown = odf(package, mime)
    elif "[Content_Types].xml" in package.names:
        read = next((read for part, read in DOCUMENTS if part in package.names), None)
        if read is None:
            raise ValueError("it is Office Open XML, but not docx, xlsx or pptx, so it is not supported")
        said = properties.office_open(package)
        found, shown = read(package)
    else:
        raise ValueError("it is an archive, but no document of an office program")
    return said | found | holdings(package), shown


def holdings(package: Package) -> dict[str, Any]:
    """Return what else a document carries."""
    found: dict[str, Any] = {}
    if images := package.count("word/media/", "xl/media/", "ppt/media/", "Pictures/"):
        found["images"] = images
    if embedded := package.count("word/embeddings/", "xl/embeddings/", "ppt/embeddings/"):
        found["embedded_files"] = embedded
    if any(name.endswith("vbaProject.bin") or name.startswith(("Basic/", "Scripts/")) for name in package.names):
        found["macros"] = True
    return found


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        head = file.read(1 << 20)
        if head.startswith(OLE):
            if ENCRYPTED in head:
                raise ValueError("it is encrypted with a password")
            raise ValueError(
                "it is a document of Office 97 to 2003, which is not read; save it as docx, xlsx or pptx"
            )
        if not head.startswith(b"PK"):
            raise ValueError("it is not an office document: it is not an archive")
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive, extractor_batch.within(SECONDS):
                package = Package(archive)
                document, shown = content_of(package)
        except zipfile.BadZipFile as exc:
            raise ValueError(f"its archive is broken: {facts.text(str(exc))}") from None
        except extractor_batch.OutOfTime:
            raise ValueError(f"reading it took longer than {SECONDS} s") from None
    software = " ".join(filter(None, (document.get("application"), document.get("application_version"))))
    document |= facts.common(
        title=document.get("title"),
        creator=document.get("creator"),
        created=document.get("created"),
        keywords=[*document.get("keywords", ()), document.get("subject"), document.get("category")],
        software=software,
        doi=document.get("identifier"),
    )
    reasons = dict.fromkeys(package.reasons)
    document |= facts.preview(**shown)
    return document | ({"partial": "; ".join(reasons)[:4000]} if reasons else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
