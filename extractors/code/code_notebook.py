"""Jupyter notebooks, read as a stream: cells, kernel, headings, and what the code of the cells says.

Long strings (pictures in outputs) are cut before they reach the JSON parser, so memory does not grow with the file.
The keys are those of nbformat 4, and of version 3 where it has others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import code_python
import ijson
from extractor_facts import MAX_EXCERPT

PIECE = 1 << 18
MAX_STRING = 1 << 16  # bytes of a string that are kept
MAX_HEADINGS = 200
MAX_DEPTH = 8  # of JSON, that is looked at
ESCAPE = 12  # bytes of a pair of surrogates, the longest escape of JSON
BODY = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}$")  # the first of a pair of surrogates
HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
MAGIC = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)
OTHER_LANGUAGES = {
    "R": re.compile(r"(?:library|require)\(\s*[\"']?([\w.]+)"),
    "julia": re.compile(r"^[ \t]*(?:using|import)[ \t]+([\w.]+)", re.MULTILINE),
}
TRANSPARENT = ("%%time", "%%capture", "%%prun", "%%writefile")  # magics whose cell is still Python
SOURCES = ("source", "source.item", "input", "input.item")
VERSIONS = ("nbformat", "nbformat_minor")
PLACES = {
    "metadata.kernelspec.name": "kernel",
    "metadata.kernelspec.display_name": "kernel_display_name", "metadata.kernelspec.language": "language",
    "metadata.language_info.name": "language", "metadata.language_info.version": "language_version",
    "metadata.title": "title",
}  # fmt: skip


class Shortened:
    """A JSON file with its long strings cut, to be read by a parser."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inside = False
        self._kept = 0
        self._carried = b""

    def read(self, size: int) -> bytes:
        """Return the next piece; b"" at the end and for a size of 0, with which the parser asks for the type."""
        while size and (data := self._file.read(PIECE)):
            data = self._carried + data
            escape = data.find(b"\\", max(0, len(data) - ESCAPE))  # it is not torn apart
            end = escape if escape >= 0 else len(data)
            self._carried = data[end:]
            if shorter := self._cut(data[:end]):
                return shorter
        rest, self._carried = self._carried, b""
        return self._cut(rest) if size else b""

    def _cut(self, data: bytes) -> bytes:
        parts, at = [], 0
        while at < len(data):
            if not self._inside:
                quote = data.find(b'"', at)
                end = len(data) if quote < 0 else quote + 1
                parts.append(data[at:end])
                self._inside, self._kept = quote >= 0, 0
                at = end
                continue
            match = BODY.match(data, at)
            end = match.end() if match else len(data)
            parts.append(short(data[at:end], MAX_STRING - self._kept))
            self._kept += end - at
            at = end
            if at < len(data):
                parts.append(b'"')
                self._inside, at = False, at + 1
        return b"".join(parts)


def short(body: bytes, room: int) -> bytes:
    """Return `body` cut at `room` bytes or some less: not within an escape or a character of UTF-8."""
    if len(body) <= room:
        return body
    cut = body[: max(0, room)]
    escape = cut.find(b"\\", max(0, len(cut) - ESCAPE))
    cut = HALF.sub(b"", cut[:escape].rstrip(b"\\")) if escape >= 0 else cut
    while cut and cut[-1] >= 0x80:
        cut = cut[:-1]
    return cut


class Notebook:
    """What is kept of a notebook."""

    def __init__(self) -> None:
        self.found = code_python.Found()
        self.facts: dict[str, Any] = {}
        self.counts = dict.fromkeys(
            ("cells", "code_cells", "markdown_cells", "executed_cells", "outputs", "errors"), 0
        )
        self.errors: dict[str, None] = {}
        self.headings: list[str] = []
        self.lines = 0
        self.cut = False
        self.excerpt = ""
        self._cell: dict[str, Any] = {}
        self._others: list[tuple[str, ...]] = []

    def event(self, place: str, event: str, value: Any) -> None:
        """Take one event of the parser."""
        place = place.removeprefix("worksheets.item.")
        if place.startswith("cells.item"):
            self._in_cell(place.removeprefix("cells.item").removeprefix("."), event, value)
        elif place in VERSIONS and event == "number" and 0 <= value < 100:
            self.facts[place] = int(value)
        elif place in PLACES and event == "string":
            self.facts[PLACES[place]] = code_python.clean(value)[: code_python.MAX_NAME]

    def _in_cell(self, place: str, event: str, value: Any) -> None:
        if not place and event == "start_map":
            self._cell = {"type": "", "source": [], "size": 0, "executed": 0, "outputs": 0}
        elif not place and event == "end_map":
            self._end()
        elif place in SOURCES and event == "string" and self._cell["size"] < MAX_STRING:
            self._cell["source"].append(value)
            self._cell["size"] += len(value)
            self.cut = self.cut or self._cell["size"] >= MAX_STRING
        elif place == "cell_type" and event == "string":
            self._cell["type"] = value
        elif place in ("execution_count", "prompt_number"):
            self._cell["executed"] = int(event == "number")
        elif place == "outputs.item" and event == "start_map":
            self._cell["outputs"] += 1
        elif place == "outputs.item.ename" and event == "string":
            self.counts["errors"] += 1
            code_python.keep(self.errors, value)

    def _end(self) -> None:
        source = "".join(self._cell["source"])
        if len(self.excerpt) < MAX_EXCERPT:
            self.excerpt += source[:MAX_EXCERPT] + "\n\n"
        self.counts["cells"] += 1
        if self._cell["type"] == "code":
            self.counts["code_cells"] += 1
            self.counts["executed_cells"] += self._cell["executed"]
            self.counts["outputs"] += self._cell["outputs"]
            self.lines += len(source.splitlines())
            self._code(source)
        elif self._cell["type"] == "markdown":
            self.counts["markdown_cells"] += 1
            for match in HEADING.finditer(code_python.cut_lines(source)):
                if len(self.headings) <= MAX_HEADINGS:
                    self.headings.append(code_python.clean(match[1])[: code_python.MAX_NAME])

    def _code(self, source: str) -> None:
        names = []
        for language, pattern in OTHER_LANGUAGES.items():
            names += [(language, name) for name in pattern.findall(source)[: code_python.MAX_NAMES]]
        if len(self._others) < code_python.MAX_NAMES:
            self._others += names
        if source.startswith("%%"):
            first, _, rest = source.partition("\n")
            source = rest if first.startswith(TRANSPARENT) else ""
        code_python.take(MAGIC.sub(r"\1pass", source), self.found)

    def left_out(self) -> Iterator[str]:
        """Yield what the document leaves out."""
        if self.cut:
            yield f"cells are cut at {MAX_STRING} characters"
        if len(self.headings) > MAX_HEADINGS:
            yield f"headings are the first {MAX_HEADINGS}"
        if len(self._others) >= code_python.MAX_NAMES:
            yield f"imports are of the first {code_python.MAX_NAMES}"

    def describe(self) -> dict[str, Any]:
        """Return the notebook as the document shows it."""
        language = self.facts.get("language", "python")
        shown = self.facts | {"format": "jupyter", "language": language} | self.counts | {"code_lines": self.lines}
        if language == "python":
            shown |= self.found.describe()
        else:
            shown["imports"] = sorted({name for told, name in self._others if told == language})
        if self.errors:
            shown["error_names"] = list(self.errors)
        if self.headings:
            shown = {"title": self.headings[0]} | shown | {"headings": self.headings[:MAX_HEADINGS]}
        return shown


def events(file: BinaryIO) -> Iterator[tuple[str, str, Any]]:
    """Yield (place, event, value) of the parser, for what is not deeper than MAX_DEPTH."""
    path: list[str] = []
    depth = 0
    for event, value in ijson.basic_parse(Shortened(file), use_float=True):
        if event == "map_key":
            if depth <= MAX_DEPTH:
                path[-1] = value.replace(".", "_")
            continue
        if event in ("end_map", "end_array"):
            depth -= 1
            del path[depth:]
        if depth <= MAX_DEPTH:
            yield ".".join(path), event, value
        if event in ("start_map", "start_array"):
            depth += 1
            path += ["item" if event == "start_array" else ""] * (depth <= MAX_DEPTH)


def read(file: BinaryIO, notebook: Notebook) -> None:
    """Fill `notebook`. Raise ValueError where the file is no notebook or is torn."""
    try:
        for place, event, value in events(file):
            notebook.event(place, event, value)
    except (ijson.JSONError, UnicodeDecodeError, OverflowError) as exc:
        raise ValueError(f"its JSON is damaged: {exc}".split("\n", 1)[0]) from exc
    if not notebook.counts["cells"] and "nbformat" not in notebook.facts:
        raise ValueError("it is JSON, but not a notebook")
