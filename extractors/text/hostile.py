"""Texts that nobody would write on purpose: without ends of lines, with a million words, of one character."""

from __future__ import annotations

from pathlib import Path

LARGE = 64 << 20


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, and a sparse one of 64 MB."""
    files = {
        "one-line.txt": b"word " * 1_000_000,
        "one-word.txt": b"a" * 3_000_000,
        "different-words.txt": "\n".join(f"w{chr(97 + n % 26)}{_letters(n)}" for n in range(250_000)).encode(),
        "newlines.txt": b"a" + b"\n" * 3_000_000,
        "returns.txt": b"a\r" * 1_000_000,
        "tags.html": b"<!doctype html>" + b"<h1 " * 500_000,
        "headings.md": b"# #" * 500_000 + b"\n" + b"# a\n" * 100_000,
        "links.md": b"[" * 200_000 + b"](" * 200_000,
        "braces.tex": b"\\documentclass" + b"\\section{" * 100_000,
        "entities.html": b"<html>" + b"&amp" * 500_000 + b"&#x110000;&#xd800;" * 1000,
        "underlines.rst": b".. note::\n" + b"a\n====\n" * 100_000 + b"=" * 1_000_000,
        "surrogates.txt": b"\xed\xa0\x80 abc " * 20_000,
        "not-characters.txt": "\ufffe\uffff\ufdd0\U0010ffff language of this text ".encode() * 5_000,
        "combining.txt": ("a" + "\u0301" * 1_000_000).encode(),
        "right-to-left.txt": ("\u202e\u05d0\u05d1 " * 100_000).encode(),
        "all-bytes.txt": bytes(range(32, 256)) * 5_000,
        "utf16-torn.txt": b"\xff\xfe" + b"a\x00" * 10_000 + b"\x00\xd8b",
        "utf32-wrong.txt": b"\xff\xfe\x00\x00" + b"\xff\xff\xff\x7f" * 10_000,
        "dois.txt": b"10.1234/" * 200_000,
        "hyphens.txt": b"a-" * 1_000_000,
        "quotes.txt": b"'" * 2_000_000,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.txt").open("wb") as file:
        file.write(b"The beginning of a text. " * 100)
        file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one text of about `size_bytes`."""
    path = folder / "large.txt"
    lines = b"The detector counts photons behind the monochromator, and each of them is stored.\n" * 10_000
    with path.open("wb") as file:
        for _ in range(size_bytes // len(lines)):
            file.write(lines)
    return path


def _letters(number: int) -> str:
    """Return a number in letters."""
    return "".join(chr(97 + int(digit)) for digit in str(number))
