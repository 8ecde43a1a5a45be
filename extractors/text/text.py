"""Texts: language, encoding, counts of lines and words, keywords, and the headings of marked-up ones.

The file is read once in pieces. Lines, words and characters are counted to its end, as far as the time goes; words
are compared, and the language is told, by its beginning.
"""

from __future__ import annotations

import codecs
import html
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import extractor_batch
import text_words
from extractor_batch import OutOfTime, within

SECONDS = 20  # of one file; then its document is partial
PIECE = 1 << 20
SAMPLE = 1 << 15  # bytes by which an encoding is told that is not UTF-8
BEGINNING = 4 << 20  # characters of which words are compared
MARKED = 1 << 19  # characters in which headings are looked for
MAX_LINE = 1000  # characters of a line in which they are
MAX_HEADINGS = 50
MAX_NAME = 300
MAX_EXCERPT = 2000
BOMS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
USUAL = ("cp1252", "latin_1", "cp1251", "koi8_r", "gb18030", "shift_jis", "euc_jp", "euc_kr", "big5")
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
DOI = re.compile(r"\b10\.\d{4,9}/[-._;()/:A-Za-z0-9]{1,100}")
LINK = re.compile(r"https?://")
TAG = re.compile(r"<[^<>]{0,2000}>")
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
    ("restructuredtext", re.compile(r"(?m)^\.\. [\w-]+::|^:\w+: |^(?:={4,}|-{4,}|~{4,})\n\S"), None),
    (
        "markdown",
        re.compile(r"(?m)^#{1,6} \S|^```|\[[^\]\n]{1,200}\]\([^)\n]{1,500}\)"),
        re.compile(r"(?m)^(#{1,6}) +(.{1,500})$"),
    ),
)
UNDERLINED = re.compile(r"(?m)^(\S.{0,200})\n([=\-~^\"'`#*+])\2{2,}[ \t]*$")


def encoding_of(sample: bytes) -> str:
    """Return the encoding of a file's beginning, by Python's name. Raise ValueError for a binary file."""
    for bom, name in BOMS:
        if sample.startswith(bom):
            return name
    head = sample[:SAMPLE]
    if b"\0" in head or len(head.translate(None, CONTROLS)) < 0.9 * len(head):
        raise ValueError("it is a binary file, not a text")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return guessed(head)
    return "ascii" if sample.isascii() else "utf-8"


def guessed(head: bytes) -> str:
    """Return the likeliest encoding of a text that is not UTF-8; of those that read it alike the most usual."""
    import charset_normalizer  # noqa: PLC0415 - few files need it

    best = charset_normalizer.from_bytes(head, cp_exclusion=["utf_7", "cp037", "cp500"]).best()
    if best is None:
        return "latin-1"
    alike = [best.encoding, *best.could_be_from_charset]
    for name in USUAL:
        if name in alike or (name == "cp1252" and reads_alike(head, best.encoding)):
            return codecs.lookup(name).name
    return codecs.lookup(best.encoding).name


def reads_alike(head: bytes, other: str) -> bool:
    """Say whether Windows-1252 reads the same text."""
    return head.decode("cp1252", "replace") == head.decode(other, "replace")


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
        first, *others = text.split("\n")
        self.longest = max(self.longest, self._line + len(first), max(map(len, others), default=0))
        self._line = len(others[-1]) if others else self._line + len(first)

    def describe(self) -> dict[str, Any]:
        """Return the counts as the document shows them."""
        alone = self.returns - self.pairs
        lines = self.lines + alone * (not self.lines)
        ends = {"lf": self.lines > self.pairs, "crlf": self.pairs > 0, "cr": alone > 0 and not self.lines}
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
                return form, [(match[2], match[1]) for match in found]
            return form, [(match[1].lower(), match[2]) for match in found]
    return "plain", []


def titled(form: str, headings: list[tuple[str, str]]) -> dict[str, Any]:
    """Return title and headings: the title that is marked as such, else the first heading."""
    shown = [(level, clean(html.unescape(words.rstrip("# ")), MAX_NAME)) for level, words in headings]
    titles = [words for level, words in shown if level == "title"] + [words for _, words in shown]
    rest = [words for level, words in shown if level != "title" and words][:MAX_HEADINGS]
    found: dict[str, Any] = {"format": form}
    if titles:
        found["title"] = titles[0]
    return found | ({"headings": rest} if rest else {})


def words_of(form: str, text: str) -> dict[str, Any]:
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
    dois = list(dict.fromkeys(doi.rstrip(".;:)") for doi in DOI.findall(text[:MARKED])))[:20]
    found |= {"dois": dois} if dois else {}
    return found | {"excerpt": clean(plain, MAX_EXCERPT)}


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    partial = ""
    counted = Counted()
    with Path(path).open("rb") as file:
        sample = file.read(PIECE)
        if not sample.strip():
            raise ValueError("it is empty")
        encoding = encoding_of(sample)
        file.seek(0)
        try:
            with within(SECONDS):
                for piece in decoded(file, encoding):
                    counted.add(piece)
        except OutOfTime:
            partial = f"the first {file.tell()} bytes of it were counted, in {SECONDS} seconds"
    text = "".join(counted.beginning)
    form, headings = markup(text)
    found = titled(form, headings) | {"encoding": encoding} | counted.describe() | words_of(form, text)
    if counted.characters > BEGINNING + PIECE:
        found["compared_characters"] = len(text)
    return found | ({"partial": partial} if partial else {})


if __name__ == "__main__":
    extractor_batch.run(extract, isolated=True, seconds_per_file=2 * SECONDS)
