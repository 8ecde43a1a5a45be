"""Texts and slides of Office Open XML: docx and pptx."""

from __future__ import annotations

import re
from typing import Any

from office_xml import Package, Text, chosen, listed

MAX_HEADINGS = 200
# The same again for older programs (ISO/IEC 29500-3), and what was moved away, which stands at its new place too
TWICE = {"Fallback", "moveFrom"}
HEADING = re.compile(r"(?i)(heading|title)\b")


def headings_of(package: Package) -> set[str]:
    """Return the identifiers of the styles of headings: their names are the same in every language."""
    found: set[str] = set()
    style = [""]

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "style":
            style[0] = attributes.get("styleId", "")
        elif name == "name" and HEADING.match(attributes.get("val", "")):
            found.add(style[0])

    package.walk("word/styles.xml", start)
    return found


class Body:
    """The text of a document, with headings and tables."""

    def __init__(self, styles: set[str]) -> None:
        self.styles, self.text = styles, Text()
        self.paragraphs = self.tables = self.changes = self.footnotes = 0
        self.headings: list[str] = []
        self.lines: list[list[str]] = [[]]  # of paragraphs that are open: a text box stands within one
        self.are_headings = [False]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if name == "p":
            self.lines.append([])
            self.are_headings.append(False)
        elif name == "pStyle":
            self.are_headings[-1] = attributes.get("val") in self.styles
        elif name == "tbl":
            self.tables += 1
        elif name in {"ins", "del"}:
            self.changes += 1
        elif name == "footnoteReference":
            self.footnotes += 1
        elif name in {"tab", "br", "cr"}:
            self.lines[-1].append(" ")
        elif name == "noBreakHyphen":
            self.lines[-1].append("-")

    def end(self, name: str, text: str) -> None:
        """Take the end of an element."""
        if name == "t":
            self.lines[-1].append(text)
        elif name == "p" and len(self.lines) > 1:
            paragraph, is_heading = "".join(self.lines.pop()).strip(), self.are_headings.pop()
            if paragraph:
                self.paragraphs += 1
                self.text.add(paragraph)
                if is_heading and len(self.headings) <= MAX_HEADINGS:
                    self.headings.append(paragraph)


def docx(package: Package) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a text holds, and its parts for `preview`."""
    body = Body(headings_of(package))
    package.walk("word/document.xml", *chosen(body.start, body.end, TWICE))
    found = {"format": "docx", "paragraphs": body.paragraphs, "tables": body.tables} | body.text.document()
    if headings := listed(body.headings, MAX_HEADINGS, "headings", package.reasons):
        found["headings"] = headings
    if body.changes:
        found["tracked_changes"] = body.changes
    if body.footnotes:
        found["footnotes"] = body.footnotes
    if comments := counted(package, "word/comments.xml", "comment"):
        found["comments"] = comments
    return found, {"excerpt": body.text.excerpt()}


def counted(package: Package, part: str, element: str) -> int:
    """Return how many elements of a name a part has."""
    count = [0]

    def start(name: str, _: dict[str, str]) -> None:
        count[0] += name == element

    package.walk(part, start)
    return count[0]


def relations(package: Package, part: str) -> dict[str, str]:
    """Return the parts that a part refers to, by the identifiers of the relations."""
    folder, _, name = part.rpartition("/")
    found: dict[str, str] = {}

    def start(element: str, attributes: dict[str, str]) -> None:
        target = attributes.get("Target", "")
        if element == "Relationship" and attributes.get("TargetMode") != "External" and len(found) < 100_000:
            whole = target[1:] if target.startswith("/") else f"{folder}/{target}"
            while (short := re.sub(r"(^|/)[^/.]+/\.\./", r"\1", whole)) != whole:
                whole = short
            found[attributes.get("Id", "")] = whole

    package.walk(f"{folder}/_rels/{name}.rels", start)
    return found


class Slide:
    """The text of one slide; its title is in a placeholder of that kind."""

    def __init__(self) -> None:
        self.title: list[str] = []
        self.lines: list[str] = []
        self.line: list[str] = []
        self.in_title = self.hidden = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if name == "sld":
            self.hidden = attributes.get("show") in {"0", "false"}
        elif name == "sp":
            self.in_title = False
        elif name == "ph":
            self.in_title = attributes.get("type") in {"title", "ctrTitle"}
        elif name == "br":
            self.line.append(" ")

    def end(self, name: str, text: str) -> None:
        """Take the end of an element."""
        if name == "t":
            self.line.append(text)
        elif name == "p":
            if line := "".join(self.line).strip():
                self.lines.append(line)
                if self.in_title:
                    self.title.append(line)
            self.line = []
        elif name == "sp":
            self.in_title = False


def pptx(package: Package) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what slides hold, and their parts for `preview`."""
    order: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "sldId" and len(order) < 100_000:
            order.append(attributes.get("id", ""))

    package.walk("ppt/presentation.xml", start)
    places = relations(package, "ppt/presentation.xml")
    text, titles, hidden = Text(), [], 0
    for part in [places[key] for key in order if key in places]:
        slide = Slide()
        package.walk(part, *chosen(slide.start, slide.end, TWICE))
        titles.append(" ".join(slide.title))
        hidden += slide.hidden
        for line in slide.lines:
            text.add(line)
    found = {"format": "pptx", "slides": len(order)} | text.document()
    if shown := listed(titles, MAX_HEADINGS, "titles of slides", package.reasons):
        found["headings"] = shown
    if hidden:
        found["hidden_slides"] = hidden
    if notes := package.count("ppt/notesSlides/notesSlide"):
        found["notes"] = notes
    return found, {"excerpt": text.excerpt()}
