"""Finds failed files in the index and selects from them: `lustre-events failed`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError
from lustre_events.index.search.asking import Asking
from lustre_events.index.search.hits import Failure, ObjectView, from_root, printable, printable_line

PAGE = 500
"""How many files are looked at together."""
_AGE = re.compile(r"(\d{1,9})([smhdw])\Z")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_OPERATORS = ("AND", "OR", "NOT", "TO")
_PLAIN = re.compile(r"[^\w*?/.-]")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which failures: all that fit everything that is given. `since_ns` is a time; `error` a part of the text."""

    extractor: str = "*"
    path: str = ""
    error: str = ""
    owner: str = ""
    since_ns: int = 0

    def query(self) -> str:
        """Return what of this the index can be asked."""
        parts = [f"failed:{_literal(self.extractor)}"]
        if self.path:
            parts.append(f"path:{_literal(self.path)}")
        if self.owner:
            parts.append(f"owner:{_literal(self.owner)}")
        return " AND ".join(parts)

    def fits(self, failure: Failure) -> bool:
        """Whether one failure of an object that the query found is meant."""
        return (
            fnmatchcase(failure.extractor, self.extractor)
            and self.error.casefold() in str(failure.failure.get("error", "")).casefold()
            and time_ns(failure) >= self.since_ns
        )


@dataclass(frozen=True, slots=True)
class FailedFile:
    """One failure, and the object that it is about."""

    view: ObjectView
    failure: Failure

    @property
    def fid(self) -> FID:
        """The object."""
        return self.view.fid

    def json(self) -> dict[str, Any]:
        """Return it for scripts."""
        told = {key: self.failure.failure.get(key) for key in ("error", "stderr", "attempts", "provenance")}
        return {
            "fid": str(self.fid),
            "paths": from_root(self.view.paths),
            "extractor": self.failure.extractor,
        } | told

    def line(self) -> str:
        """Return it on one line for a person."""
        path = "/" + printable(self.view.paths[0].lstrip(b"/")) if self.view.paths else str(self.fid)
        return f"{path}: {self.failure.extractor}: {printable_line(str(self.failure.failure.get('error', '')))}"


def find(search: Asking, choice: Choice) -> Iterator[FailedFile]:
    """Yield the failures that are meant. Raises QueryError, IndexUnavailable."""
    cursor = None
    while True:
        page = search.page(choice.query(), limit=PAGE, cursor=cursor)
        for view in search.show_many([hit.fid for hit in page.hits]):
            for failure in view.failures:
                if choice.fits(failure):
                    yield FailedFile(view, failure)
        cursor = page.cursor
        if cursor is None:
            return


def time_ns(failure: Failure) -> int:
    """Return when it failed, as far as the worker has told; 0: it was lost."""
    provenance = failure.failure.get("provenance") or {}
    found = provenance.get("time_ns", 0)
    return found if isinstance(found, int) else 0


def age_seconds(text: str) -> int:
    """Return the seconds of `90s`, `30m`, `12h`, `7d` or `2w`. Raises ConfigError."""
    match = _AGE.match(text)
    if match is None:
        raise ConfigError(f"{text!r} is not a span of time; write it like 90s, 30m, 12h, 7d or 2w")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def _literal(glob: str) -> str:
    if glob in _OPERATORS:
        return f"\\{glob}"
    return _PLAIN.sub(lambda match: "\\" + match[0], glob)
