"""How values look on a page. Jinja escapes markup; what could mislead a reader's eyes is escaped here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lustre_events.domain.bounds import far_time, within
from lustre_events.index.search.hints.hint import counted
from lustre_events.index.search.hits import printable
from lustre_events.index.values import searched
from lustre_events.index.visibility import group_name, user_name
from lustre_events.inspect.status.text import span_text
from lustre_events.web import thumbnails
from lustre_events.web.highlight import marked

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
MAX_TEXT = 2_000
MAX_ROWS = 500


def path_text(path: bytes) -> str:
    """Return a path from the mount point on, with invisible characters and broken UTF-8 escaped."""
    return "/" + printable(path.strip(b"/"))


def size_text(size: int | None) -> str:
    """Return a size in bytes with its unit."""
    if size is None:
        return "?"
    value, unit = float(size), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def time_text(time_ns: int | str | None) -> str:
    """Return a time in ns since the epoch as UTC, to the second; 0 stands for a time that is not known."""
    if not time_ns:
        return "?"
    try:
        number = int(time_ns)
    except (OverflowError, ValueError):
        return "?"
    seconds = timedelta(seconds=within(number) // 1_000_000_000)
    return far_time(number) or (_EPOCH + seconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def value_text(value: object) -> str:
    """Return one value of a document, cut where it is very long."""
    text = printable(str(value).encode("utf-8", "surrogateescape")) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … ({len(text)} characters)"


def rows_of(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a document as rows (dotted key, values), as one searches for them: without its preview."""
    found: dict[str, list[str]] = {}
    for key, value in _flat("", searched(body)):
        if key in found or len(found) < MAX_ROWS:
            found.setdefault(key, []).append(value_text(value))
    return [(value_text(key), ", ".join(values)) for key, values in found.items()]


def _flat(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), item)
    elif isinstance(value, list):
        for item in value:
            yield from _flat(prefix, item)
    else:
        yield prefix, value


def drawn_by(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the first extractor whose document has a picture that may be shown, or nothing."""
    return next((name for name, body in documents.items() if thumbnails.of(body) is not None), "")


def mode_text(mode: int | None) -> str:
    """Return permissions as octal digits."""
    return "?" if mode is None else f"{mode:04o}"


FILTERS: dict[str, Callable[..., Any]] = {
    "path": path_text,
    "size": size_text,
    "time": time_text,
    "span": span_text,
    "value": value_text,
    "stored": printable,
    "rows": rows_of,
    "files": counted,
    "marked": marked,
    "drawn": drawn_by,
    "mode": mode_text,
    "user": lambda uid: "?" if uid is None else user_name(uid),
    "group": lambda gid: "?" if gid is None else group_name(gid),
}
