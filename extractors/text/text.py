"""Texts: language, encoding, counts of lines and words, keywords, and the headings of marked-up ones.

The file is read once in pieces. Lines, words and characters are counted to its end, as far as the time goes; words
are compared, and the language is told, by its beginning.
"""

from __future__ import annotations

import codecs
import html
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import text_markdown
import text_words
from extractor_batch import OutOfTime, within
from extractor_facts import common, preview
from extractor_open import PIECE, Source
from text_encoding import encoding_of

SECONDS = 20  # of one file; then its document is partial
BEGINNING = 4 << 20  # characters of which words are compared
MARKED = 1 << 19  # characters in which headings are looked for
MAX_LINE = 1000  # characters of a line in which they are
MAX_HEADINGS = 50
MAX_DOIS = 100
MAX_NAME = 300
MAX_EXCERPT = 2000
DOI = re.compile(r"\b10\.\d{4,9}/[-._;()/:A-Za-z0-9]{1,100}")
LINK = re.compile(r"https?://")
TAG = re.compile(r"<[^<>]{0,2000}>")
AUTHOR = re.compile(r"\\author(?:\[[^\]]{0,200}\])?\{((?:[^{}]|\{[^{}]{0,500}\}){1,2000})\}")
META_AUTHOR = re.compile(r"(?i)<meta\s+name=[\"']author[\"']\s+content=[\"']([^\"'<>]{1,500})[\"']")
COMMAND = re.compile(r"\\[A-Za-z]{1,40}\*?|[{}$]|%.*")
MARKUP = (  # (format, what stands in it, its headings)
    (
        "html",
        re.compile(r"(?i)<!doctype html|<html[ >]"),
        re.compile(r"(?i)<(title|h[1-6])\b[^<>]{0,200}>([^<]{1,1000})<"),
    ),
    ("xml", re.compile(r"\A\s*<\?xml "), None),
    (
        "latex",
        re.compile(r"\\documentclass|\\begin\{\w+\}|\\section"),
        re.compile(r"\\(title|(?:sub)*section|chapter)\*?(?:\[[^\]]{0,200}\])?\{([^{}]{1,500})\}"),
    ),
    ("restructuredtext", re.compile(r"(?m)^\.\. [\w-]+::|^:\w+: |^([=\-~]{4,})\n ?\S.{0,200}\n\1[ \t]*$"), None),
)
UNDERLINED = re.compile(r"(?m)^(\S.{0,200})\n([=\-~^\"'`#*+])\2{2,}[ \t]*$")


def decoded(file: BinaryIO, encoding: str) -> Iterator[str]:
    """Yield the text of a file in pieces."""
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding in ("ascii", "utf-8") else encoding)("replace")
    while data := file.read(PIECE):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


class Counted:
    """Lines, words and characters so far, and the beginning."""

    def __init__(self) -> None:
        self.lines = self.words = self.characters = self.links = self.longest = 0
        self.returns = self.pairs = 0
        self.beginning: list[str] = []
        self._kept = self._line = 0
        self._last = ""

    def add(self, text: str) -> None:
        """Count a piece."""
        if not text:
            return
        if self._kept < BEGINNING:
            self.beginning.append(text)
            self._kept += len(text)
            self.links += len(LINK.findall(text))
            self._lengths(text)
        self.characters += len(text)
        self.words += len(text.split()) - (bool(self._last.strip()) and not text[0].isspace())
        self.lines += text.count("\n")
        self.returns += text.count("\r")
        self.pairs += text.count("\r\n") + (self._last == "\r" and text[0] == "\n")
        self._last = text[-1]

    def _lengths(self, text: str) -> None:
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.longest = max(self.longest, self._line + len(first), max(map(len, others), default=0))
        self._line = len(others[-1]) if others else self._line + len(first)

    def describe(self) -> dict[str, Any]:
        """Return the counts as the document shows them."""
        alone = self.returns - self.pairs
        lines = self.lines + alone
        ends = {"lf": self.lines > self.pairs, "crlf": self.pairs > 0, "cr": alone > 0}
        used = [name for name, holds in ends.items() if holds]
        return {
            "lines": lines + (self._last not in ("\n", "\r")),
            "words": self.words,
            "characters": self.characters,
            "longest_line": self.longest,
            "line_ends": "mixed" if len(used) > 1 else "".join(used) or "none",
            "links": self.links,
        }


def clean(text: str, limit: int) -> str:
    """Return text on one line that JSON and a database can hold, cut at `limit` characters."""
    return " ".join(text[: 2 * limit].encode("utf-8", "replace").decode().replace("\0", " ").split())[:limit]


def markup(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the format of a text, and its headings as (level, words)."""
    lines = "\n".join(line[:MAX_LINE] for line in text[:MARKED].splitlines())
    for form, sign, headings in MARKUP:
        if sign.search(lines):
            pattern = headings or (UNDERLINED if form == "restructuredtext" else None)
            found = itertools.islice(pattern.finditer(lines), 10 * MAX_HEADINGS) if pattern else ()
            if pattern is UNDERLINED:
                return form, underlined(lines)
            return form, [(match[1].lower(), match[2]) for match in found]
    if text_markdown.is_markdown(lines):
        return "markdown", text_markdown.marked(lines)
    heads = underlined(lines, 2)
    return "plain", heads if heads and lines.lstrip("\ufeff \n").startswith(heads[0][1]) else []


def underlined(lines: str, longer: int = MAX_LINE) -> list[tuple[str, str]]:
    """Return the lines under which a line of signs stands, as long as they are or up to `longer` signs longer."""
    found = [
        (match[2], match[1].strip())
        for match in itertools.islice(UNDERLINED.finditer(lines), 10 * MAX_HEADINGS)
        if 0 <= len(match[0].rstrip().rpartition("\n")[2]) - len(match[1].strip()) <= longer
    ]
    return [(sign, words) for sign, words in found if any(map(str.isalpha, words))]


def titled(form: str, headings: list[tuple[str, str]], reasons: list[str]) -> dict[str, Any]:
    """Return title and headings: the title that is marked as such, else the first heading."""
    shown = [(level, clean(html.unescape(words.rstrip("# ")), MAX_NAME)) for level, words in headings]
    titles = [words for level, words in shown if level == "title"] + [words for _, words in shown]
    rest = [words for level, words in shown if level != "title" and words]
    if len(rest) > MAX_HEADINGS:
        reasons.append(f"headings are the first {MAX_HEADINGS}")
    found: dict[str, Any] = {"format": form}
    if titles:
        found["title"] = titles[0]
    return found | ({"headings": rest[:MAX_HEADINGS]} if rest else {})


def words_of(form: str, text: str, reasons: list[str]) -> dict[str, Any]:
    """Return language, keywords and what else the words of a text say."""
    plain = TAG.sub(" ", text) if form in ("html", "xml") else COMMAND.sub(" ", text) if form == "latex" else text
    plain = html.unescape(plain) if form in ("html", "xml") else plain
    words = text_words.Words()
    for start in range(0, len(plain), PIECE):
        words.add(plain[start : start + PIECE])
    told = text_words.languages(plain)
    found: dict[str, Any] = {}
    if told:
        found |= {"language": told[0][0], "language_percent": told[0][1], "languages": [code for code, _ in told]}
    found["unique_words"] = len(words.counts)
    if words.total:
        found["mean_word_length"] = round(words.letters / words.total, 2)
    if keywords := words.keywords([code for code, _ in told]):
        found["keywords"] = keywords
    dois = list(dict.fromkeys(doi.rstrip(".;:)") for doi in DOI.findall(text)))
    if len(dois) > MAX_DOIS:
        reasons.append(f"dois are the first {MAX_DOIS}")
    found |= {"dois": dois[:MAX_DOIS]} if dois else {}
    return found | {"excerpt": clean(plain, MAX_EXCERPT)}


def people(form: str, text: str) -> list[str]:
    """Return who wrote a text, where its form has a place for that."""
    if form == "latex":
        found = [part for match in AUTHOR.findall(text[:MARKED]) for part in re.split(r"\\and\b|\\\\", match)]
    else:
        found = META_AUTHOR.findall(text[:MARKED]) if form == "html" else []
    return [name for one in found[:MAX_HEADINGS] if (name := clean(COMMAND.sub(" ", html.unescape(one)), MAX_NAME))]


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    reasons: list[str] = []
    counted = Counted()
    with Path(path).open("rb") as raw:
        source = Source(raw)
        file = io.BufferedReader(source, PIECE)
        sample = source.sample
        if not sample.strip():
            raise ValueError("it is empty")
        encoding = encoding_of(sample, whole=source.whole)
        try:
            with within(SECONDS):
                for piece in decoded(file, encoding):
                    counted.add(piece)
        except OutOfTime:
            reasons.append(f"its first {counted.characters} characters were counted, in {SECONDS} seconds")
        if source.damage:
            reasons.append(f"it is torn or damaged: {clean(source.damage, MAX_NAME)}")
    text = "".join(counted.beginning)
    form, headings = markup(text)
    found = titled(form, headings, reasons) | {"encoding": encoding} | counted.describe()
    found |= words_of(form, text, reasons)
    if counted.characters > len(text):
        found["compared_characters"] = len(text)
        reasons.append(f"language, keywords, links and DOIs are of its first {len(text)} characters")
    if source.compression:
        found["compression"] = source.compression
    found |= common(title=found.get("title"), creator=people(form, text)) | preview(excerpt=text[: 2 * MAX_EXCERPT])
    return found | ({"partial": "; ".join(reasons)} if reasons else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True, seconds_per_file=2 * SECONDS)
