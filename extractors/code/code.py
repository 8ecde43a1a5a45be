"""Code: what Jupyter notebooks, Python and shell scripts import, define, load and ask of Slurm. It runs nothing."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import Any

import code_notebook
import code_python
import code_shell
import extractor_batch
import extractor_facts as facts
from extractor_batch import OutOfTime, within
from extractor_facts import common, preview
from extractor_open import PIECE, Source

SECONDS = 20  # of one file; then its document is partial
MAX_SOURCE = 8 << 20  # bytes of a script that are read
HEAD = 1 << 16
PACKED = {".gz", ".bz2", ".xz", ".zst"}
PYTHON = {"py", "pyw", "pyi"}
SHELL = {"sh", "bash", "zsh", "ksh", "csh", "tcsh", "slurm", "sbatch", "job"}
INTERPRETER = re.compile(r"#![ \t]*(\S+)[ \t]*(?:-S[ \t]+)?(\S*)")
SHELLS = re.compile(r"(ba|z|k|c|tc|da)?sh$")
SHELL_LIKE = re.compile(
    r"^[ \t]*(module (load|add|purge)|srun |export \w+=|(if|while) \[|set -e|fi$|done$)", re.MULTILINE
)


def interpreter(source: str) -> str:
    """Return the name of the program that the first line asks for; empty where it asks for none."""
    match = INTERPRETER.match(source)
    if not match:
        return ""
    name = match[1].rsplit("/", 1)[-1]
    return match[2].rsplit("/", 1)[-1] if name == "env" else name


def language_of(source: str, extension: str) -> str:
    """Return `python` or `shell`: by the first line, else by what the source looks like, else by its name.

    Raises:
        ValueError: it looks like neither.
    """
    asked = interpreter(source)
    if asked.startswith(("python", "pypy", "ipython")):
        return "python"
    if SHELLS.match(asked):
        return "shell"
    found = code_python.Found()
    code_python.take(source[:HEAD], found)
    pythonic = bool(found.modules or found.functions or found.classes)
    shell = bool(code_shell.DIRECTIVE.search(source) or SHELL_LIKE.search(source))
    if pythonic and not (shell and found.problem) and (extension not in SHELL or not found.problem):
        return "python"
    if shell or extension in SHELL:
        return "shell"
    if extension in PYTHON and (not found.problem or asked):
        return "python"
    raise ValueError("it is not a notebook, and does not look like Python or a shell script")


def decoded(data: bytes) -> str:
    """Return source as text. Raise ValueError for a binary file."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:HEAD]:
        raise ValueError("it is a binary file, not source code")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def script(source: str, extension: str) -> dict[str, Any]:
    """Return the document of a Python or shell script."""
    lines = [line.strip() for line in source.splitlines()]
    language = language_of(source, extension)
    document: dict[str, Any] = {"format": language, "language": language}
    if asked := interpreter(source):
        document["interpreter"] = code_python.clean(asked)[: code_python.MAX_NAME]
    document["lines"] = len(lines)
    document["code_lines"] = sum(1 for line in lines if line and not line.startswith("#"))
    if language == "python":
        found = code_python.Found()
        code_python.take(source, found)
        document |= found.describe() | {"main": found.runs} | code_shell.slurm(source)
    else:
        document |= code_shell.describe(source)
    if "sbatch" in document:
        document["format"] = "slurm"
    return document


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    place = Path(path)
    with place.open("rb") as raw:
        source = Source(raw)
        file = io.BufferedReader(source, PIECE)
        head = source.sample[:HEAD]
        if not head.strip():
            raise ValueError("it is empty")
        reasons: list[str] = []
        if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{":
            file.read(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
            document = notebook(file, reasons)
        else:
            document = of_script(file, place, reasons)
    if source.damage:
        reasons.append(f"it is torn or damaged: {source.damage}"[: code_python.MAX_NAME])
    if source.compression:
        document["compression"] = source.compression
    document = code_python.bounded(document, reasons)
    return document | ({"partial": "; ".join(reasons)} if reasons else {})


def of_script(file: Any, place: Path, reasons: list[str]) -> dict[str, Any]:
    """Return the document of a script, as far as it is read."""
    data = file.read(MAX_SOURCE)
    if file.read(1):
        reasons.append(f"only its first {MAX_SOURCE} bytes were read")
    text = decoded(data)
    if len(text) > code_python.MAX_TREE:
        reasons.append(f"it is longer than {code_python.MAX_TREE} characters: names are told line by line")
    suffixes = [part[1:].lower() for part in place.suffixes[-2:] if part.lower() not in PACKED]
    try:
        with within(SECONDS):
            document = script(text, suffixes[-1] if suffixes else "")
    except OutOfTime:
        raise ValueError(f"reading it took longer than {SECONDS} s") from None
    return document | preview(excerpt=text)


def notebook(file: Any, reasons: list[str]) -> dict[str, Any]:
    """Return the document of a Jupyter notebook, as far as it can be read."""
    found = code_notebook.Notebook()
    try:
        with within(SECONDS):
            code_notebook.read(file, found)
    except OutOfTime:
        reasons.append(f"it was not read to its end in {SECONDS} seconds")
    except ValueError as exc:
        if not found.counts["cells"]:
            raise
        reasons.append(str(exc))
    reasons += found.left_out()
    document = found.describe()
    return document | common(title=document.get("title")) | preview(excerpt=found.excerpt)


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
