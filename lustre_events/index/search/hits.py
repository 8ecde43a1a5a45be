r"""What a search gives: hits and views of one object, as values, as JSON and as text for a terminal.

Names are bytes in the values. In JSON they are text with surrogate escapes for bytes that are not UTF-8
(`json.dumps` writes these as \udcXX); on a terminal every character that could do harm is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import Maker
from lustre_events.domain.bounds import far_time, within
from lustre_events.domain.namespace import OrderKey


@dataclass(frozen=True, slots=True)
class Match:
    """Why an object was found: a value of a document, under its key, or a name (then without an extractor)."""

    extractor: str
    key: str
    text: str


class Hit(msgspec.Struct, frozen=True, gc=False):  # made by the million where all hits are written
    """One object that a search found. Facts are None while `stat` has not read them."""

    fid: FID
    paths: tuple[bytes, ...]
    type: str | None
    size: int | None
    mtime_ns: int | None
    uid: int | None
    gid: int | None
    mode: int | None
    mime: str | None
    documents: Mapping[str, dict[str, Any]]  # extractor -> document
    matched: tuple[Match, ...] = ()
    """What the query matched, as far as it asks for words, names or keys; a few, long ones as excerpts."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some hits, and the cursor that gives the next ones; None: there are no more."""

    hits: tuple[Hit, ...]
    cursor: str | None
    note: str | None = None
    """A remark on the page's order."""


@dataclass(frozen=True, slots=True)
class Facet:
    """How many objects have a value, and the sum of their sizes in bytes. None: not known, or none."""

    value: str | int | float | None
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary of the objects that match; not `whole`: only the first `files` of them were looked at.

    `sizes` (bytes) and `times` (of the last change of content, in ns) are those of each that are known.
    """

    files: int
    whole: bool
    facets: dict[str, tuple[Facet, ...]]
    sizes: tuple[int, ...] = ()
    times: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What the index knows of an object besides its names; None: not known yet.

    `generation` counts its changes, `content` is the generation of the last change of content, and
    `facts_generation` the one that `stat` saw last.
    """

    type: str | None
    size: int | None
    mtime_ns: int | None
    ctime_ns: int | None
    atime_ns: int | None
    uid: int | None
    gid: int | None
    mode: int | None
    nlink: int | None
    jobid: bytes | None
    mime: str | None
    released: int | None
    acl: bytes | None
    mdt: int | None
    stripe_count: int | None
    stripe_size: int | None
    mirror_count: int | None
    projid: int | None
    pool: str | None
    layout: str | None
    hsm: str | None
    generation: int
    content: int
    facts_generation: int
    cause: bytes
    """The packed order key (namespace.OrderKey) of the last record about it; empty: there was none."""
    rights: int = 0
    """The generation of the last change that may have taken rights away; older facts show it to root only."""


@dataclass(frozen=True, slots=True)
class Document:
    """The last good document of one extractor."""

    extractor: str
    generation: int
    serial: int
    body: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """The last attempt of one extractor, which failed. `failure` holds what was told, and the provenance."""

    extractor: str
    generation: int
    serial: int
    failure: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PendingWork:
    """Work that is wanted for the object and not done yet."""

    extractor: str
    generation: int
    due_ns: int
    attempts: int
    reason: str
    rule: str
    queue: str
    job: str | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class ObjectView:
    """All that the index knows of one object; no paths and no facts if it is gone or unknown."""

    fid: FID
    paths: tuple[bytes, ...]
    facts: ObjectFacts | None
    documents: tuple[Document, ...]
    failures: tuple[Failure, ...]
    pending: tuple[PendingWork, ...]
    left_out: tuple[str, ...] = ()
    """The globs of what is left out (left_out.py) that match one of its paths: no search finds it."""
    made_by: Maker | None = None
    """The run of an action that has made it, as far as it was a container's; also where the ledger forgot it."""


def hit_json(hit: Hit) -> dict[str, Any]:
    """Return a hit as JSON types."""
    return {
        "fid": str(hit.fid),
        "paths": from_root(hit.paths),
        "type": hit.type,
        "size": hit.size,
        "mtime_ns": hit.mtime_ns,
        "uid": hit.uid,
        "gid": hit.gid,
        "mode": octal(hit.mode),
        "mime": hit.mime,
        "documents": dict(hit.documents),
        "matched": [{"extractor": each.extractor, "key": each.key, "text": each.text} for each in hit.matched],
    }


def match_line(match: Match) -> str:
    """Return what matched on one line for a person."""
    key = f"{match.extractor}.{match.key}" if match.extractor else match.key
    return f"{key}: {match.text}"


def view_json(view: ObjectView) -> dict[str, Any]:
    """Return an object as JSON types: `fid` and `paths` first."""
    return {
        "fid": str(view.fid),
        "paths": from_root(view.paths),
        "facts": None if view.facts is None else _facts_json(view.facts),
        "documents": {document.extractor: _without_extractor(document) for document in view.documents},
        "failures": {failure.extractor: _without_extractor(failure) for failure in view.failures},
        "pending": {row.extractor: _without_extractor(row) for row in view.pending},
        "left_out": list(view.left_out),
        "made_by": None if view.made_by is None else msgspec.to_builtins(view.made_by),
    }


def from_root(paths: Iterable[bytes]) -> list[str]:
    """Return paths as everything prints them: from the root of the file system on."""
    return ["/" + name_text(path.lstrip(b"/")) for path in paths]


def octal(mode: int | None) -> str | None:
    """Return a mode as chmod takes it, in JSON and in CSV alike."""
    return None if mode is None else f"{mode:04o}"


def view_text(view: ObjectView) -> str:
    """Return an object as lines for a person."""
    paths = [b"/" + path.lstrip(b"/") for path in view.paths]
    lines = [str(view.fid), *(f"  {printable(path)}" for path in paths or [b"(no path)"])]
    if view.facts is not None:
        lines += [f"  {name:18}{value}" for name, value in _facts_lines(view.facts)]
    if view.made_by is not None:
        lines.append(f"  {'made by':18}rule {view.made_by.rule!r}, run {view.made_by.key}")
    for document in view.documents:
        version = f"serial {document.serial}, generation {document.generation}"
        by = document.provenance.get("runtime", "?")
        lines += [f"  {document.extractor} ({version}, by {by})", *_indented(document.body)]
    for failure in view.failures:
        version = f"serial {failure.serial}, generation {failure.generation}"
        lines += [f"  {failure.extractor} failed ({version})", *_indented(failure.failure)]
    for row in view.pending:
        state = f"in job {row.job}" if row.job else f"due {time_text(row.due_ns)}"
        lines.append(f"  {row.extractor} pending ({row.reason}, attempt {row.attempts + 1}, {state})")
    return "\n".join(lines)


def _indented(found: Mapping[str, Any]) -> Iterator[str]:
    return (f"    {line}" for line in json.dumps(found, indent=2).splitlines())


def name_text(name: bytes) -> str:
    """Return a name as text in which bytes that are not UTF-8 are surrogate escapes."""
    return name.decode("utf-8", "surrogateescape")


def printable(name: bytes) -> str:
    r"""Return a name as text that is safe on a terminal and names it exactly.

    Control and invisible characters, bytes that are not UTF-8 (`\xff`) and backslashes are escaped.
    """
    return "".join(map(_printable_character, name_text(name)))


def printable_line(text: str) -> str:
    """Return text that a service wrote, where bytes are escaped already, as a line that is safe on a terminal."""
    return "".join(char if char == "\\" else _printable_character(char) for char in text)


def _printable_character(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    if char != "\\" and char.isprintable():
        return char
    return {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char) or _escaped(ord(char))


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _without_extractor(value: Document | Failure | PendingWork) -> dict[str, Any]:
    members = asdict(value)
    del members["extractor"]
    return members


def _facts_json(facts: ObjectFacts) -> dict[str, Any]:
    return {
        **asdict(facts),
        "mode": octal(facts.mode),
        "jobid": None if facts.jobid is None else name_text(facts.jobid),
        "acl": None if facts.acl is None else facts.acl.hex(),
        "cause": _cause_json(facts.cause),
    }


def _cause_json(cause: bytes) -> dict[str, Any] | None:
    if not cause:
        return None
    key = OrderKey.unpack(cause)
    return {"mdt": f"MDT{key.mdt_number:04x}", "epoch": key.epoch, "record": key.index, "time_ns": key.eff_time}


def _facts_lines(facts: ObjectFacts) -> list[tuple[str, str]]:
    lines = []
    for name, value in asdict(facts).items():
        if value is None:
            continue
        if name.endswith("_ns"):
            lines.append((name.removesuffix("_ns"), time_text(value)))
        elif name == "acl":
            lines.append((name, value.hex() or "not readable"))
        elif name == "cause":
            told = _cause_json(value)
            lines += [(name, f"record {told['record']} of {told['mdt']}, epoch {told['epoch']}")] if told else []
        elif isinstance(value, bytes):
            lines.append((name, printable(value)))
        else:
            lines.append((name, f"{value:o}" if name == "mode" else str(value)))
    return lines


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_text(time_ns: int) -> str:
    """Return a time in ns since the epoch as UTC, for a terminal."""
    moment = _EPOCH + timedelta(microseconds=within(time_ns) // 1000)
    return far_time(time_ns) or moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
