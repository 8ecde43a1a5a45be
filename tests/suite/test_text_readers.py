"""The golden documents of texts, code and logs are what other programs say of the samples.

Words and lines are those of wc, headings those of Python-Markdown and lxml, imports and functions those of Python's
compiler, notebooks those of plain JSON, and counts of logs those of grep with words that a person would look for.
"""

from __future__ import annotations

import dis
import gzip
import json
import re
import subprocess
import symtable
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import markdown
import pytest
import zstandard
from lxml import etree, html

from tests.suite.families import Family, families
from tests.support.programs import program

FAMILIES = families()
TEXT, CODE, LOG = (FAMILIES[name] for name in ("text", "code", "log"))
ENCODINGS = {
    "french-utf16.txt": "UTF-16", "german-latin1.txt": "LATIN1", "german-utf16-no-mark.txt": "UTF-16LE",
    "korean.xml": "EUC-KR", "russian-cp1251.txt": "CP1251",
}  # fmt: skip
PROBLEMS = {  # of each log: what a person counts as errors and as warnings
    "chemistry.out": (r"$.", r"$."), "server.log": ("FATAL", "WARN"), "server.log.gz": ("FATAL", "WARN"),
    "server.log.zst": ("FATAL", "WARN"),
    "slurm-12.err": ("Error:|error:", r"$."), "slurm-4711.out": ("slurmstepd: error", "WARNING"),
    "slurm-815.out": ("error:", r"$."), "slurm-9000_7.out": (r"$.", r"$."),
}  # fmt: skip


def content(path: Path) -> bytes:
    """Return a sample, expanded."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompress(data)
    return gzip.decompress(data) if path.suffix == ".gz" else data


def said(argv: list[str], data: bytes) -> str:
    """Return what a program says of data."""
    done = subprocess.run(argv, input=data, capture_output=True, check=True, timeout=30, env={"LC_ALL": "C.UTF-8"})
    return done.stdout.decode()


@pytest.mark.parametrize("path", TEXT.good, ids=lambda path: path.name)
def test_lines_words_and_characters_are_those_of_wc(path: Path) -> None:
    """Texts in any encoding have the counts of the same text in UTF-8; a last line without an end is one."""
    golden = TEXT.expected(path)
    read = said(["iconv", "-c", "-f", ENCODINGS.get(path.name, "UTF-8"), "-t", "UTF-8"], content(path))
    text = read.removeprefix("\ufeff").encode()
    lines, words, characters = map(int, said(["wc", "-l", "-w", "-m"], text).split())
    assert golden["lines"] == lines + (not text.endswith(b"\n"))
    assert golden["words"] == words
    odd = "\ufffd" in golden["excerpt"]  # iconv leaves out what is damaged, and what marks the order of bytes
    assert 0 <= golden["characters"] - characters <= 1 + odd


def test_headings_are_those_of_other_readers() -> None:
    """Markdown and HTML have the headings and titles that Python-Markdown and lxml find."""
    made = etree.fromstring(f"<x>{markdown.markdown((TEXT.manifest.folder / 'samples/report.md').read_text())}</x>")
    heads = ["".join(one.itertext()) for one in made.iter() if re.fullmatch("h[1-6]", str(one.tag))]
    golden = TEXT.expected(TEXT.manifest.folder / "samples/report.md")
    assert golden["headings"] == heads
    assert golden["title"] == heads[0]
    page = html.fromstring((TEXT.manifest.folder / "samples/notes.html").read_text())
    golden = TEXT.expected(TEXT.manifest.folder / "samples/notes.html")
    assert golden["title"] == page.findtext(".//title")
    assert golden["headings"] == [one.text_content() for one in page.iter("h1", "h2", "h3")]
    plain = TEXT.manifest.folder / "samples/release.txt"
    made = html.fromstring(markdown.markdown(plain.read_text().partition("The table")[0]))
    golden = TEXT.expected(plain)
    assert golden["headings"] == [one.text_content() for one in made.iter("h1", "h2")]
    assert golden["title"] == golden["headings"][0]


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def imported(source: str) -> set[str]:
    """Return the modules that compiled code imports; relative ones begin with their dots."""
    found = set()
    for code in codes(compile(source, "x", "exec")):
        before: list[Any] = []
        for one in dis.get_instructions(code):
            if one.opname == "IMPORT_NAME":
                found.add("." * before[-2] + one.argval)
            before.append(one.argval)
    return found


def defined(source: str) -> dict[str, set[str]]:
    """Return the names of classes, and of functions that are in no other function or class."""
    children = symtable.symtable(source, "x", "exec").get_children()
    return {
        kind: {one.get_name() for one in children if str(one.get_type()) == kind} for kind in ("class", "function")
    }


@pytest.mark.parametrize("name", ["fit.py", "fit.py.gz"])
def test_python_has_what_its_compiler_finds(name: str) -> None:
    """Imports, classes and functions of a program are those of its bytecode and its table of symbols."""
    path = CODE.manifest.folder / "samples" / name
    golden, source = CODE.expected(path), content(path).decode()
    assert set(golden["imported_modules"]) == imported(source)
    assert set(golden["classes"]) == defined(source)["class"]
    assert set(golden["functions"]) >= defined(source)["function"]
    assert golden["lines"] == len(source.splitlines())


@pytest.mark.parametrize("name", ["bands.ipynb", "plot.ipynb"])
def test_a_notebook_has_the_cells_of_its_json(name: str) -> None:
    """Cells, outputs and errors are those that plain JSON has; imports those of the compiled cells."""
    path = CODE.manifest.folder / "samples" / name
    golden, book = CODE.expected(path), json.loads(path.read_text())
    cells = book["cells"]
    kinds = Counter(one["cell_type"] for one in cells)
    outputs = [output for one in cells for output in one.get("outputs", [])]
    assert golden["cells"] == len(cells)
    assert (golden["code_cells"], golden["markdown_cells"]) == (kinds["code"], kinds["markdown"])
    assert golden["executed_cells"] == sum(one.get("execution_count") is not None for one in cells)
    assert golden["outputs"] == len(outputs)
    assert golden["errors"] == sum(one["output_type"] == "error" for one in outputs)
    if golden["language"] == "python":
        code = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
        own = [one.splitlines() for one in code if not one.startswith("%%")]  # others are of another language
        plain = "\n".join(line for lines in own for line in lines if line[:1] not in "%!")
        assert set(golden["imported_modules"]) == imported(plain)


def test_what_a_job_asks_for_is_what_grep_finds() -> None:
    """The options of a job's script are its #SBATCH lines, and the modules those that it loads."""
    path = CODE.manifest.folder / "samples/md.slurm"
    golden, text = CODE.expected(path), path.read_text()
    options = re.findall(r"(?m)^#SBATCH\s+--([\w-]+)(?:[= ](?:\"([^\"]*)\"|(\S+)))?", text)
    for name, quoted, word in options:
        value = golden["sbatch"][name.replace("-", "_")]
        assert f"{value}" == (quoted or word or "True"), name
    loaded = said(["grep", "-E", r"^(module load|ml) "], text.encode())
    assert set(golden["modules"]) == set(re.findall(r"[\w.]+/[\w.]+", loaded))


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_log_has_the_errors_that_a_person_counts(name: str) -> None:
    """Lines, errors and warnings are as many as grep counts with the words of that log."""
    path = LOG.manifest.folder / "samples" / name
    golden, text = LOG.expected(path), content(path).decode().removesuffix("\n").split("\n")
    errors, warnings = PROBLEMS[name]
    assert golden["lines"] == len(text)
    assert golden["errors"] == sum(bool(re.search(errors, line)) for line in text)
    assert golden["warnings"] == sum(bool(re.search(warnings, line)) for line in text)


@pytest.mark.parametrize("family", [TEXT, LOG], ids=lambda family: family.manifest.name)
def test_every_sample_is_compared(family: Family) -> None:
    """No golden document of a text or a log is only what the extractor said."""
    assert family is TEXT or {path.name for path in family.good} == {*PROBLEMS}
    assert family.good


MARKDOWN = """---
title: not a heading
---

Tide gauges
===========

Read `this`:

```sh
# install
make
```

Results
-------

## In *March*

- no heading
"""


def test_headings_of_markdown_are_those_of_python_markdown() -> None:
    """Signs before a heading and lines below it count; code, lists and front matter do not."""
    reader = program("text", "text_markdown")
    made = markdown.markdown(MARKDOWN, extensions=["fenced_code", "meta"])
    heads = [one.text_content() for one in html.fromstring(f"<div>{made}</div>").iter("h1", "h2")]
    assert reader.is_markdown(MARKDOWN)
    assert [words.replace("*", "") for _, words in reader.marked(MARKDOWN)] == heads


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# This file is part of a service.\n#\n# It says what is removed.\nd /tmp 1777\n", False),
        ("# RUN: true\n", False),
        ("# debug output\nlevel = 3\n# where it goes\npath = /var/log\n", False),
        ("##\n## Settings\n##\n\nkey = value\n", False),
        ("#!/bin/sh\n# runs it\nrun\n", False),
        ("# Tides\n\nHow they were measured.\n", True),
        ("# Tides\nHow they were measured.\n## Where\nAt sea.\n", True),
        ("See [the page](https://example.org).\n", True),
    ],
)
def test_comments_are_no_headings(text: str, expected: bool) -> None:
    """Lines that begin with # are headings where they stand as such, and else comments of a program's file."""
    assert program("text", "text_markdown").is_markdown(text) is expected
