"""Prepare ecCodes in an image: a run then reads its first message in a fraction of the time.

ecCodes looks a parameter's name up in lists of thousands of entries, which each process parses anew. Here each list
is cut into 16 pieces by a number that all messages have: the parameter's category in edition 2, its table in
edition 1. ecCodes then parses only the piece that a message needs. Entries and their order stay, so names stay.
There are only 16, because ecCodes aborts a process that has opened 2,000 such files, counted for each centre.

ecCodes' Python package has cffi parse the declarations of the C library in each process. Here cffi does so once.

    prepare_eccodes.py            in an image: write the pieces, and the declarations as a Python module
    prepare_eccodes.py FOLDER     write the pieces into a folder
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = "/usr/local/share/eccodes-pieces"
LISTS = re.compile(
    rb"\0/MEMFS/definitions/(grib[12]/(?:localConcepts/\w+/)?(?:shortName|name|units)(?:\.\w+)?\.def)(?=\0)"
)
PIECES = 16
KEYS = {"grib1": "table2Version", "grib2": "parameterCategory"}
# What names the lists, as texts: the first line that does, and how many names there are
USERS = {"grib1/section.1.def": ("concept unitsECMF", 6), "grib2/parameters.def": ("meta paramIdFilename", 6)}
USE = re.compile(r'((?:g2_param_concept_filename\(|concept [\w.]+ ?\(\w+, ?)"(?:shortName|units|name))(?=[".])')
ENTRY = re.compile(r"""(?:'[^']*'|"[^"]*"|\w+)\s*=\s*\{([^{}]*)\}""")


def pieces(text: str, key: str) -> dict[int, str]:
    """Return a list's entries by the piece that they belong to; one that does not ask for `key` is in all.

    Raises:
        ValueError: it has something else than entries.
    """
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    if rest := ENTRY.sub("", text).strip():
        raise ValueError(f"it has more than entries: {rest[:100]!r}")
    found: dict[int, list[str]] = {}
    for entry in ENTRY.finditer(text):
        if asked := re.search(rf"\b{key}\s*=([^;]*);", entry[1]):
            found.setdefault(int(asked[1]) % PIECES, []).append(entry[0])
            continue
        for number in range(PIECES):
            found.setdefault(number, []).append(entry[0])
    return {number: "\n".join(entries) + "\n" for number, entries in found.items()}


def in_pieces(text: str, key: str, first: str, count: int) -> str:
    """Return a file that names the lists, with the names of their pieces.

    Raises:
        ValueError: it does not name as many as expected.
    """
    changed, found = USE.subn(r"\1.[listPiece:l]", text)
    if found != count or changed.count(first) != 1:
        raise ValueError(f"it names {found} lists of names and units, not {count}, or not where {first!r} is")
    return changed.replace(first, f"meta listPiece evaluate({key} % {PIECES}): hidden;\n{first}")


def lists(library: Path) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file that must be another one: the lists, and what names them."""
    inside = (library / "lib64" / "libeccodes_memfs.so").read_bytes()
    places = f"{library / 'lib64'}:{library.parent / 'eckitlib' / 'lib64'}"
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "exported")
        for path in [*sorted({one.decode() for one in LISTS.findall(inside)}), *USERS]:
            subprocess.run(
                [library / "bin" / "codes_export_resource", "-d", path, exported],
                env={"LD_LIBRARY_PATH": places}, check=True, stdout=subprocess.DEVNULL, timeout=60,
            )  # fmt: skip
            yield path, exported.read_text(encoding="utf-8")


def write_pieces(library: Path, folder: Path) -> None:
    """Write the lists of ecCodes' package in pieces.

    Raises:
        ValueError: they are not as expected.
    """
    for path, text in lists(library):
        key, place = KEYS[path[:5]], folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path in USERS:
            place.write_text(in_pieces(text, key, *USERS[path]), encoding="utf-8")
            continue
        name, end = place.name.split(".", 1)
        for number, piece in pieces(text, key).items():
            place.with_name(f"{name}.{number}.{end}").write_text(piece, encoding="utf-8")


def write_declarations(package: Path, place: Path) -> None:
    """Write a module with what ecCodes' Python package has cffi parse."""
    import cffi  # noqa: PLC0415 - not needed for the pieces

    ffi = cffi.FFI()
    ffi.set_source("eccodes_declarations", None)
    ffi.cdef("".join((package / name).read_text() for name in ("grib_api.h", "eccodes.h")))
    ffi.emit_python_code(os.fspath(place))
    py_compile.compile(os.fspath(place), doraise=True)


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"{name} is not installed")
    return Path(found.origin).parent


if __name__ == "__main__":
    if len(sys.argv) == 1:
        write_declarations(_package("gribapi"), _package("gribapi").parent / "eccodes_declarations.py")
    write_pieces(_package("eccodeslib"), Path(*sys.argv[1:] or [FOLDER]))
