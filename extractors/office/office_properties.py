"""What documents say of themselves: Office Open XML's core and extended properties, OpenDocument's meta.xml."""

from __future__ import annotations

import re
from typing import Any

import extractor_facts as facts
from office_xml import Package

CORE = {
    "title": "title", "subject": "subject", "creator": "creator", "keywords": "keywords",
    "description": "description", "lastModifiedBy": "modified_by", "created": "created", "modified": "modified",
    "category": "category", "language": "language", "revision": "revision", "contentStatus": "status",
    "identifier": "identifier",
}  # fmt: skip
EXTENDED = {"Application": "application", "AppVersion": "application_version", "Company": "company",
            "Pages": "pages"}  # fmt: skip
META = {
    "title": "title", "subject": "subject", "description": "description", "initial-creator": "creator",
    "creator": "modified_by", "creation-date": "created", "date": "modified", "language": "language",
    "generator": "application", "editing-cycles": "revision",
}  # fmt: skip
MOMENTS = ("created", "modified")
NUMBERS = ("pages", "revision")


def said(values: dict[str, list[str]], names: dict[str, str]) -> dict[str, Any]:
    """Return what is said, under this extractor's names."""
    found: dict[str, Any] = {}
    for name, key in names.items():
        value = next((text for one in values.get(name, ()) if (text := facts.text(one, 4000))), "")
        if not value:
            continue
        if key == "keywords":
            found[key] = [word for part in re.split(r"[,;]", value) if (word := part.strip())][:500]
        elif key in NUMBERS:
            found |= {key: int(value)} if value.isdecimal() and len(value) < 10 else {}
        elif key in MOMENTS:
            found |= {key: shown} if (shown := facts.moment(value)) else {}
        else:
            found[key] = value
    return found


def texts_of(package: Package, name: str) -> dict[str, list[str]]:
    """Return the texts of a part's elements, by their names."""
    values: dict[str, list[str]] = {}

    def end(element: str, text: str) -> None:
        if len(places := values.setdefault(element, [])) < 500:
            places.append(text)

    package.walk(name, lambda *_: None, end)
    return values


def office_open(package: Package) -> dict[str, Any]:
    """Return the properties of an Office Open XML document."""
    core = next(
        (name for name in package.names if re.fullmatch(r"docProps/core\d*\.xml", name)), "docProps/core.xml"
    )
    found = said(texts_of(package, core), CORE)
    return found | said(texts_of(package, "docProps/app.xml"), EXTENDED)


def open_document(package: Package) -> dict[str, Any]:
    """Return the properties of an OpenDocument file."""
    statistic: dict[str, str] = {}
    values: dict[str, list[str]] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "document-statistic":
            statistic.update(attributes)

    def end(name: str, text: str) -> None:
        if len(places := values.setdefault(name, [])) < 500:
            places.append(text)

    package.walk("meta.xml", start, end)
    found = said(values, META)
    if keywords := [word for one in values.get("keyword", ()) if (word := facts.text(one, 500))]:
        found["keywords"] = keywords
    pages = statistic.get("page-count", "")
    return found | ({"pages": int(pages)} if pages.isdecimal() and len(pages) < 10 else {})


def epub(package: Package, place: str) -> dict[str, Any]:
    """Return the properties of a book (EPUB), from its package document."""
    values = texts_of(package, place)
    names = {key: key for key in ("title", "creator", "language", "description", "identifier")}
    found = said(values, names | {"date": "created"})
    if subjects := [word for one in values.get("subject", ()) if (word := facts.text(one, 500))]:
        found["keywords"] = subjects
    return found
