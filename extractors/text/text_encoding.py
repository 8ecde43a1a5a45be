"""The encoding of a text: by its mark, UTF-8, as it is declared, UTF-16 without a mark, else the likeliest."""

from __future__ import annotations

import codecs
import re

SAMPLE = 1 << 15  # bytes by which an encoding is told that is not UTF-8
BOMS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
USUAL = ("cp1252", "latin_1", "cp1251", "koi8_r", "gb18030", "shift_jis", "euc_jp", "euc_kr", "big5")
CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\r\f\x1b")) + b"\x7f"
DECLARED = tuple(
    re.compile(pattern)
    for pattern in (
        rb"\A\s*<\?xml[^>]{0,200}\bencoding\s*=\s*[\"']([\w.:-]{2,40})",
        rb"(?i)<meta[^>]{0,200}\bcharset\s*=\s*[\"']?\s*([\w.:-]{2,40})",
        rb"(?i)\A(?:[^\n]*\n)?[^\n]*coding[:=][ \t]*([\w.-]{2,40})",  # Python, Emacs and Vim
        rb"\\usepackage\s*\[([\w-]{2,40})\]\s*\{inputenc\}",
    )
)
LATEX = {"utf8": "utf-8", "utf8x": "utf-8", "latin1": "latin-1", "latin9": "iso8859-15", "ansinew": "cp1252"}
WRONG = 0.02  # this share of the signs that are not ASCII may be wrong


def encoding_of(sample: bytes, *, whole: bool = True) -> str:
    """Return the encoding of a file's beginning, by Python's name. Raise ValueError for a binary file."""
    for bom, name in BOMS:
        if sample.startswith(bom):
            return name
    head = sample[:SAMPLE]
    if wide := wide_encoding(head):
        return wide
    if b"\0" in head or len(head.translate(None, CONTROLS)) < 0.9 * len(head):
        raise ValueError("it is a binary file, not a text")
    if sample.isascii():
        return "ascii"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=whole)
    except UnicodeDecodeError:
        return next((name for name in (declared(head), "utf-8") if name and fits(head, name)), "") or guessed(head)
    return "utf-8"


def wide_encoding(head: bytes) -> str:
    """Return UTF-16 without a byte order mark where most signs have one half of 0; else an empty text."""
    if len(head) < 4:
        return ""
    for name, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) < 0.7 * len(zeros) or others.count(0):
            continue
        text = head[: len(head) // 2 * 2].decode(name, "replace")
        if sum(map(str.isprintable, text)) + sum(map(text.count, "\t\r\n\f")) >= 0.98 * len(text):
            return name
    return ""


def declared(head: bytes) -> str:
    """Return the encoding that a text says it has, by Python's name; empty where it says none that is known."""
    for pattern in DECLARED:
        if match := pattern.search(head[:4096]):
            name = match[1].decode("ascii").lower()
            try:
                return codecs.lookup(LATEX.get(name, name)).name
            except LookupError:
                return ""
    return ""


def fits(head: bytes, name: str) -> bool:
    """Say whether an encoding reads a text with few wrong signs, or none in a short one."""
    try:
        text = head.decode(name, "replace")
    except (LookupError, ValueError):
        return False  # it is no codec of texts, as `hex`
    odd = sum(not sign.isascii() for sign in text)
    wrong = text.count("\ufffd") + sum("\x80" <= sign <= "\x9f" for sign in text)
    return odd > 0 and wrong <= WRONG * odd


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
