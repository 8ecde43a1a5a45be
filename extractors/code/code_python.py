"""What Python source says: imports, functions and classes, by its syntax tree; line by line where it has none."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

MAX_TREE = 1 << 18  # characters of source that are parsed; a tree takes up to 500 times as much memory
MAX_NAMES = 1000
MAX_NAME = 200
MAX_TEXT = 4000
MAX_LINE = 2000  # characters of a line that patterns see: some take a time that grows with its square
IMPORT = re.compile(r"^[ \t]*import[ \t]+([\w., \t]+)", re.MULTILINE)
FROM = re.compile(r"^[ \t]*from[ \t]+([.\w]+)[ \t]+import\b", re.MULTILINE)
FUNCTION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
CLASS = re.compile(r"^[ \t]*class[ \t]+(\w+)", re.MULTILINE)
MAIN = re.compile(r"^if[ \t(]+__name__[ \t]*==", re.MULTILINE)
UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass
class Found:
    """What was found, in the order of its first appearance."""

    modules: dict[str, None] = field(default_factory=dict)
    functions: dict[str, None] = field(default_factory=dict)
    classes: dict[str, None] = field(default_factory=dict)
    docstring: str = ""
    runs: bool = False
    problem: str = ""
    long: bool = False  # more source than is parsed at once

    def describe(self) -> dict[str, Any]:
        """Return it as a document shows it."""
        packages = {name.partition(".")[0] for name in self.modules if not name.startswith(".")}
        shown: dict[str, Any] = {
            "imports": sorted(packages),
            "imported_modules": sorted(self.modules),
            "functions": list(self.functions),
            "classes": list(self.classes),
        }
        if self.docstring:
            shown["docstring"] = self.docstring
        if self.problem:
            shown["syntax_error"] = self.problem
        return shown


def take(source: str, found: Found) -> None:
    """Add what `source` has to `found`."""
    if len(source) > MAX_TREE:
        found.long = True
        by_line(source, found)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except UNPARSED as exc:
        where = f"line {exc.lineno}: {exc.msg}" if isinstance(exc, SyntaxError) else f"{exc}"
        found.problem = found.problem or clean(where)[:MAX_NAME] or type(exc).__name__
        by_line(source, found)
        return
    found.docstring = found.docstring or clean(ast.get_docstring(tree) or "")[:MAX_TEXT]
    found.runs = found.runs or MAIN.search(source) is not None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                keep(found.modules, alias.name)
        elif isinstance(node, ast.ImportFrom):
            keep(found.modules, "." * node.level + (node.module or ""))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            keep(found.functions, node.name)
        elif isinstance(node, ast.ClassDef):
            keep(found.classes, node.name)


def by_line(source: str, found: Found) -> None:
    """Add what lines of `source` look like imports and definitions."""
    source = cut_lines(source)
    for match in IMPORT.finditer(source):
        for part in match[1].split(","):
            if words := part.split():
                keep(found.modules, words[0])
    for pattern, kept in ((FROM, found.modules), (FUNCTION, found.functions), (CLASS, found.classes)):
        for match in pattern.finditer(source):
            keep(kept, match[1])
    found.runs = found.runs or MAIN.search(source) is not None


def keep(kept: dict[str, None], name: str) -> None:
    """Keep a name, if there is room."""
    if name and len(kept) <= MAX_NAMES:  # one more tells that there are more
        kept[clean(name)[:MAX_NAME]] = None


def bounded(document: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
    """Return a document whose lists are cut, and add what they leave out to `reasons`."""
    for key, value in document.items():
        if isinstance(value, list) and len(value) > MAX_NAMES:
            reasons.append(f"{key} are the first {MAX_NAMES}")
            document[key] = value[:MAX_NAMES]
    return document


def clean(text: str) -> str:
    """Return text that JSON and a database can hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def cut_lines(source: str) -> str:
    """Return `source` with its long lines cut."""
    if len(source) <= MAX_LINE:
        return source
    return "\n".join(line[:MAX_LINE] for line in source.split("\n"))
