"""XMP (ISO 16684-1), which pictures and PDF files carry: title, creators, subjects and dates.

Families that read it have a copy of extractors/base/extractor_xmp.py in their folder; standard library only, and
extractor_facts.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import extractor_facts as facts

MAX_BYTES = 4 << 20
MAX_TEXT = 4000
MAX_NAMES = 500
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
DC, XMP = "{http://purl.org/dc/elements/1.1/}", "{http://ns.adobe.com/xap/1.0/}"
PHOTOSHOP, PDF = "{http://ns.adobe.com/photoshop/1.0/}", "{http://ns.adobe.com/pdf/1.3/}"
# Where the value of a key stands, the first one that is there
KEYS = {
    "title": (f"{DC}title", f"{PHOTOSHOP}Headline"),
    "creator": (f"{DC}creator",),
    "description": (f"{DC}description", f"{PHOTOSHOP}Caption"),
    "subject": (f"{DC}subject",),
    "keywords": (f"{PDF}Keywords",),
    "rights": (f"{DC}rights",),
    "identifier": (f"{DC}identifier", "{http://prismstandard.org/namespaces/basic/2.0/}doi", "{http://prismstandard.org/namespaces/basic/2.1/}doi",
                   "{http://crossref.org/crossmark/1.0/}DOI", "{http://ns.adobe.com/pdfx/1.3/}doi"),
    "created": (f"{XMP}CreateDate", f"{PHOTOSHOP}DateCreated", f"{DC}date"),
    "modified": (f"{XMP}ModifyDate",),
    "creator_tool": (f"{XMP}CreatorTool",),
    "producer": (f"{PDF}Producer",),
}  # fmt: skip
LISTS = ("creator", "subject", "identifier")


def read(packet: bytes | str) -> dict[str, Any]:
    """Return what a packet says by the names of KEYS: texts, and lists of texts.

    Raises:
        ValueError: it is no XML, or has entities, or is too long.
    """
    data = packet.encode("utf-8", "replace") if isinstance(packet, str) else packet
    if len(data) > MAX_BYTES or re.search(rb"<!(DOCTYPE|ENTITY)", data.replace(b"\0", b"")):
        raise ValueError("its XMP is too long or uses entities")
    try:
        root = ET.fromstring(data.strip(b"\0 \r\n\t"))  # noqa: S314 - no entities
    except (ET.ParseError, LookupError) as exc:
        raise ValueError(f"its XMP is not XML: {exc}") from None
    values: dict[str, list[str]] = {}
    for about in root.iter(f"{RDF}Description"):
        for name, value in about.attrib.items():
            values.setdefault(name, []).append(value)
        for child in about:
            values.setdefault(child.tag, []).extend(texts(child))
    found: dict[str, Any] = {}
    for key, names in KEYS.items():
        kept = [[shown for text in values.get(name, ()) if (shown := clean(text))] for name in names]
        if key in LISTS:
            if several := list(dict.fromkeys(text for each in kept for text in each)):
                found[key] = facts.first(several, MAX_NAMES, f"texts of {key} in its XMP")
        elif first := next((each[0] for each in kept if each), None):
            found[key] = first
    return found


def texts(element: ET.Element) -> list[str]:
    """Return the values of a property: its text, or its items, the one of the default language first."""
    items = list(element.iter(f"{RDF}li"))
    items.sort(key=lambda item: item.get(LANGUAGE) != "x-default" and LANGUAGE in item.attrib)
    return ["".join(item.itertext()) for item in items] or ["".join(element.itertext())]


def clean(text: str) -> str:
    """Return text in one line such as JSON and a database can hold."""
    return " ".join(text.replace("\0", " ").split()).encode("utf-8", "replace").decode()[:MAX_TEXT]
