"""Types of texts by how they begin, and by the extension of their name where that leaves it open."""

from __future__ import annotations

import json
import re

JSON = "application/json"
PLAIN = "text/plain"
PYTHON = "text/x-python"
TEXTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mime)
    for pattern, mime in (
        (r"#![^\n]*\bpython", PYTHON),
        (r"#![^\n]*\bperl", "text/x-perl"),
        (r"#![^\n]*\bRscript", "text/x-r"),
        (r"#![^\n]*\bjulia", "text/x-julia"),
        (r"#![^\n]*\bruby", "text/x-ruby"),
        (r"#![^\n]*\b(node|nodejs)\b", "text/javascript"),
        (r"#![^\n]*\b(g|m|n)?awk\b", "text/x-awk"),
        (r"#![^\n]*\b(ba|da|k|z|c|tc)?sh\b", "text/x-shellscript"),
        (r"\s*\{\s*\"(cells|nbformat)", "application/x-ipynb+json"),
        (r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg\b", "image/svg+xml"),
        (r"\s*<\?xml\b", "application/xml"),
        (r"\s*(<!--.*?-->\s*)?(?i:<!DOCTYPE html|<html\b)", "text/html"),
        (r"\s*(?i:<\?php\b)", "text/x-php"),
        (r"-----BEGIN PGP PUBLIC KEY BLOCK-----", "application/pgp-keys"),
        (r"##fileformat=VCF", "text/x-vcf"),
        (r"##gff-version", "text/x-gff3"),
        (r"@(HD\tVN:|SQ\t[A-Z]{2}:|RG\tID:|PG\tID:)", "text/x-sam"),
        (r"@[^\n]*\n[A-Za-z.*-]+\r?\n\+[^\n]*\n", "text/x-fastq"),
        (r">[^\n]*\n[A-Za-z*-]{1,1000}\r?(\n|\Z)", "text/x-fasta"),
        (r"# vtk DataFile", "application/x-vtk"),
        (r"(#[^\n]*\n|\s)*@<TRIPOS>MOLECULE", "chemical/x-mol2"),
        (r"(HEADER|TITLE |COMPND|REMARK|CRYST1|MODEL |ATOM  |HETATM).*\n(.*\n)*?(ATOM  |HETATM|REMARK|CRYST1)",
         "chemical/x-pdb"),
        (r"(#[^\n]*\n|\s)*data_[^\n]*\n(.*\n)*?(_entry\.id|_atom_site\.)", "chemical/x-mmcif"),
        (r"(#[^\n]*\n|\s)*data_\S*[ \t]*\n\s*(#[^\n]*\n|\s)*(_|loop_)", "chemical/x-cif"),
        (r"[^\n]*\n[^\n]*\n[^\n]*\n[ \d]{3}[ \d]{3}[^\n]*V[23]000", "chemical/x-mdl-molfile"),
        (r"[ \t]*\d+[ \t]*\r?\n[^\n]*\n[ \t]*[A-Z][a-z]?\w*([ \t]+-?\d+\.\d*([eE][-+]?\d+)?){3}", "chemical/x-xyz"),
        (r'\s*\{(?:\s*\}|\s*"[^\n]*\})[ \t]*\r?\n\s*\{\s*["}]', "application/x-ndjson"),
        (r"\s*(\{\s*[\"}]|\[\s*([\[{\"\]]|-?\d[\d.eE+-]*\s*[,\]]|(true|false|null)\s*[,\]]))", JSON),
    )
)  # fmt: skip
IMPORT = re.compile(
    r"^(import [A-Za-z_][\w.]*( as \w+)?(, ?[\w.]+)*|from \.*[\w.]* import [\w(*][^;{}\"']*)[ \t]*(#.*)?\r?$",
    re.MULTILINE,
)
DEFINITION = re.compile(r"^[ \t]*(async )?(def \w+\(|class \w+(\([^)]*\))?:)|^if __name__ ==|^@\w", re.MULTILINE)
SEPARATED = ((",", "text/csv"), ("\t", "text/tab-separated-values"), (";", "text/csv"))
QUOTED = re.compile(r'"[^"]*"')
NAMED = {  # what a text without a type of its own is by its name
    "awk": "text/x-awk", "bib": "text/x-bibtex", "c": "text/x-c", "cc": "text/x-c++", "cfg": PLAIN,
    "cmake": "text/x-cmake", "conf": PLAIN, "cpp": "text/x-c++", "css": "text/css", "csv": "text/csv",
    "cu": "text/x-cuda", "cxx": "text/x-c++", "diff": "text/x-diff", "f": "text/x-fortran",
    "f77": "text/x-fortran", "f90": "text/x-fortran", "f95": "text/x-fortran", "go": "text/x-go",
    "h": "text/x-c", "hh": "text/x-c++", "hpp": "text/x-c++", "htm": "text/html", "html": "text/html",
    "java": "text/x-java", "jl": "text/x-julia", "js": "text/javascript", "json": JSON,
    "jsonl": "application/x-ndjson", "lua": "text/x-lua", "m": "text/x-matlab", "md": "text/markdown",
    "ndjson": "application/x-ndjson", "patch": "text/x-diff", "php": "text/x-php", "pl": "text/x-perl",
    "pm": "text/x-perl", "py": PYTHON, "pyi": PYTHON, "pyx": "text/x-cython", "r": "text/x-r",
    "rb": "text/x-ruby", "rs": "text/x-rust", "rst": "text/x-rst", "scala": "text/x-scala",
    "sh": "text/x-shellscript", "slurm": "text/x-shellscript", "sql": "application/sql", "tcl": "text/x-tcl",
    "tex": "text/x-tex", "toml": "application/toml", "ts": "text/x-typescript",
    "tsv": "text/tab-separated-values", "xml": "application/xml", "yaml": "application/yaml",
    "yml": "application/yaml",
}  # fmt: skip


def type_of(text: str, extension: str, *, whole: bool) -> str:
    """Return the type of what begins with `text`, which may be all of it."""
    for pattern, mime in TEXTS:
        if pattern.match(text) and not (mime == JSON and whole and not _is_json(text)):
            return mime
    if extension in NAMED:
        return NAMED[extension]
    if IMPORT.search(text) and DEFINITION.search(text):
        return PYTHON
    return _separated(text, whole=whole) or PLAIN


def _separated(text: str, *, whole: bool) -> str | None:
    """Return the type of a table: in each of several lines it has as many separators, and prose has not."""
    lines = [line for line in QUOTED.sub("", text).splitlines()[: None if whole else -1] if line][:40]
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    lines = lines[:20]
    for separator, mime in SEPARATED:
        counts = {line.count(separator) for line in lines}
        if len(counts) == 1 and (fields := counts.pop()) and len(lines) + fields > 3 and len(lines) > 1:
            return mime
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
