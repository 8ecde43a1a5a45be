"""Structured texts: YAML, TOML and XML, their values by dotted keys, and what well-known shapes are about.

Told apart by content. YAML and XML are read piece by piece and in bounded memory; nothing is constructed from a
tag, no entity and no other file is brought in. JSON is read by the family `tabular`.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import extractor_batch
import extractor_facts as facts
import structured_records
import structured_xml
import structured_yaml
from extractor_batch import OutOfTime, within
from extractor_facts import preview
from extractor_open import Source
from structured_values import Values, clean

SECONDS = 20  # of one file; then its document is partial
MAX_TOML = 4 << 20  # bytes: it can only be read as a whole
MAX_YAML = 16 << 20  # bytes that are read
MAX_KEYS = 1000
MAX_WORDS = 500  # characters of a reason
COMMENTS = r"(?m)\A\ufeff?(?:\s|#[^\n]*(?:\n|\Z))*"
HEADER = r"\[\[?[ \t]*[\w\"'][\w.\"' -]*\]\]?[ \t]*(?:#[^\n]*)?\r?$"
TOML = re.compile(rf"{COMMENTS}(?:{HEADER}|[\w\"'][\w.\"' -]*=)")
BLOCKS = re.compile(rb"\n\.\.\.\r?\n")  # ASDF: what follows are blocks of bytes
MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


class Limited:
    """A stream of which a number of bytes is read."""

    def __init__(self, stream: Any, size: int) -> None:
        self._stream, self._left = stream, size
        self.full = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        data: bytes = self._stream.read(min(size, self._left))
        self._left -= len(data)
        self.full = not self._left
        return data


def text_of(sample: bytes) -> str:
    """Return the beginning as text."""
    encoding = next((name for mark, name in MARKS if sample.startswith(mark)), "utf-8")
    return sample.decode(encoding, "replace")


def refuse_json(source: Source, start: str) -> None:
    """Raise ValueError for what is JSON."""
    if source.whole and start.lstrip()[:1] in ("{", "["):
        try:
            json.loads(start, parse_int=str)  # a number may have more digits than Python reads
        except (ValueError, RecursionError):
            return
        raise ValueError("it is JSON, which the extractor tabular reads")


def toml(source: Source) -> dict[str, Any]:
    """Return what a TOML file holds. Raise ValueError where it is none."""
    data = b"".join(iter(lambda: source.read(1 << 20) if len(source.sample) <= MAX_TOML else b"", b""))
    if len(data) > MAX_TOML:
        raise ValueError(f"it is TOML of more than {MAX_TOML >> 20} MiB, which can only be read as a whole")
    try:
        with within(SECONDS):
            return tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except OutOfTime:
        raise ValueError(f"it is TOML, and reading it took longer than {SECONDS} s") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8, which TOML requires") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # of int: what else is wrong is a TOMLDecodeError
        raise ValueError("it has a number of thousands of digits, and TOML ends at 64 bits") from None


def described(form: str, documents: list[Any], reasons: list[str]) -> dict[str, Any]:
    """Return the document of YAML or TOML."""
    found: dict[str, Any] = {"format": form}
    first = documents[0] if documents else None
    if len(documents) > 1:
        found["documents"] = len(documents)
    found["top"] = "object" if isinstance(first, dict) else "list" if isinstance(first, list) else "value"
    if isinstance(first, dict):
        keys = [clean(str(key)[:200]) for key in first]
        found["keys"] = facts.first(keys, MAX_KEYS, "keys")
    elif isinstance(first, list):
        found["items"] = len(first)
    values = Values()
    for one in documents:
        values.add(one, "", listed=len(documents) > 1, many=len(documents) > 1)
    return found | values.describe(reasons) | structured_records.facts(form, documents)


def plain(source: Source, start: str, reasons: list[str]) -> dict[str, Any]:
    """Return the document of TOML or YAML."""
    if TOML.match(start):
        try:
            return described("toml", [toml(source)], reasons)
        except tomllib.TOMLDecodeError as exc:
            words = f"it is broken TOML: {exc}"
        raise ValueError(words)
    refuse_json(source, start)
    stream: Any = source
    if start.startswith("#ASDF"):
        stream = structured_yaml.Held(BLOCKS.split(source.sample, maxsplit=1)[0] + b"\n")
    limited = Limited(stream, MAX_YAML)
    documents, why = structured_yaml.read(limited)
    if limited.full:
        why = f"its first {MAX_YAML >> 20} MiB are read"
    if not documents or all(not isinstance(one, (dict, list)) for one in documents):
        raise ValueError(f"it is not YAML: {why}" if why else "it has no keys or lists, so it is a plain text")
    if why:
        reasons.append(why)
    return described("yaml", documents, reasons)


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    reasons: list[str] = []
    with Path(path).open("rb") as file:
        source = Source(file)
        if not source.sample.strip():
            raise ValueError("it is empty")
        start = text_of(source.sample)
        is_xml = start.lstrip("\ufeff \t\r\n").startswith("<")
        if b"\0" in source.sample and not (
            start.startswith("#ASDF") or source.sample[:2] in (b"\xff\xfe", b"\xfe\xff")
        ):
            raise ValueError("it is not text")
        try:
            with within(SECONDS):
                document = structured_xml.document(source, reasons) if is_xml else plain(source, start, reasons)
        except OutOfTime:
            raise ValueError(f"reading it took longer than {SECONDS} s") from None
        if source.damage:
            reasons.append(f"it is torn or damaged: {source.damage}")
    if source.compression:
        document["compression"] = source.compression
    document |= preview(excerpt=start.lstrip("\ufeff"))
    if reasons:
        document["partial"] = clean("; ".join(reasons))[: 4 * MAX_WORDS]
    return document


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True, seconds_per_file=2 * SECONDS)
