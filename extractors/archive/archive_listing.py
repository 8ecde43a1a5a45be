"""What is kept of an archive's members: counts, sums, and a bounded number of names."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from extractor_facts import MAX_BRANCHES, preview

MAX_NAMES = 2000
MAX_NAME = 1000  # characters
MAX_CHARACTERS = 300_000  # of all names
MAX_TOP = 200
MAX_BYTES = (1 << 63) - 1  # the largest number of a document
MAX_EXTENSIONS = 5000  # counted; the most frequent are told
TOLD_EXTENSIONS = 100
BOMB_BYTES = 256 << 20  # what expands to more than this ...
BOMB_RATIO = 200  # ... and by more than this factor
NESTED = re.compile(r"\.(zip|jar|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar)$", re.IGNORECASE)
EXTENSION = re.compile(r"[^./\\]\.([A-Za-z0-9]{1,10})$")
UNSAFE = re.compile(r"^([/\\]|[A-Za-z]:)|(^|[/\\])\.\.([/\\]|$)")  # unpacked, it would land elsewhere
KINDS = {  # members that tell what an archive is
    "word/document.xml": "docx", "xl/workbook.xml": "xlsx", "ppt/presentation.xml": "pptx",
    "META-INF/container.xml": "epub", "META-INF/manifest.xml": "opendocument", "META-INF/MANIFEST.MF": "jar",
    "ro-crate-metadata.json": "ro-crate", "bagit.txt": "bagit", ".zgroup": "zarr", ".zattrs": "zarr",
    ".zarray": "zarr", "zarr.json": "zarr",
}  # fmt: skip


class Listing:
    """The members seen so far. Memory does not grow with their number."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.methods: set[str] = set()
        self.suspicious: list[str] = []
        self.bytes = 0
        self._names: list[str] = []
        self._room = MAX_CHARACTERS
        self._tree: list[dict[str, str]] = []
        self._top: dict[str, None] = {}
        self._extensions: collections.Counter[str] = collections.Counter()
        self._kind = ""
        self._largest = ("", -1)
        self._times = ("", "")

    def add(self, name: str, size: int, what: str, time: str) -> None:
        """Take one member: `size` in bytes, `what` it is as the document counts it, `time` in ISO 8601 or empty."""
        self.counts["members"] += 1
        self.counts[what] += 1
        self.counts["unsafe_names"] += UNSAFE.search(name) is not None
        self.bytes = min(self.bytes + size, MAX_BYTES)
        shown = clean(name)
        if len(self._tree) < MAX_BRANCHES:
            about = (
                f"{size} bytes" if what == "files" else what.rstrip("s") if what != "directories" else "directory"
            )
            self._tree.append({"path": shown or ".", "about": about})
        if len(self._names) < MAX_NAMES and len(shown) <= self._room:
            self._names.append(shown)
            self._room -= len(shown)
        first = re.sub(r"^(?:\.{0,2}/)+", "", shown).split("/")[0]
        if first and len(self._top) <= MAX_TOP:
            self._top[first] = None
        if time:
            self._times = (min(self._times[0] or time, time), max(self._times[1], time))
        if what == "files":
            self._file(name, shown, size)

    def _file(self, name: str, shown: str, size: int) -> None:
        self.counts["nested_archives"] += NESTED.search(name[-10:]) is not None
        found = EXTENSION.search(name[-20:])
        if found and (len(self._extensions) < MAX_EXTENSIONS or found[1].lower() in self._extensions):
            self._extensions[found[1].lower()] += 1
        if size > self._largest[1]:
            self._largest = (shown, min(size, MAX_BYTES))
        if not self._kind and len(name) < MAX_NAME:
            self._kind = KINDS.get(name, "") or KINDS.get(name.partition("/")[2], "")

    def _left_out(self) -> Iterator[str]:
        """Yield what the lists leave out."""
        if self.counts["members"] > len(self._names):
            yield f"names are {len(self._names)} of {self.counts['members']}"
        if len(self._top) > MAX_TOP:
            yield f"top_level has the first {MAX_TOP}"
        if len(self._extensions) > TOLD_EXTENSIONS:
            yield f"extensions are the {TOLD_EXTENSIONS} most frequent"

    def describe(self, packed: int, reasons: list[str]) -> dict[str, Any]:
        """Return the listing as the document shows it. `packed` bytes hold what the members hold expanded."""
        reasons += self._left_out()
        found: dict[str, Any] = {key: self.counts[key] for key in ("members", "files", "directories", "links")}
        for key in ("specials", "encrypted_members", "nested_archives", "unsafe_names"):
            if self.counts[key]:
                found[key] = self.counts[key]
        found |= {"content_bytes": self.bytes, "ratio": ratio(self.bytes, packed)}
        found |= {"names": self._names, "top_level": list(self._top)[:MAX_TOP]}
        found["extensions"] = [name for name, _ in self._extensions.most_common(TOLD_EXTENSIONS)]
        if self.methods:
            found["methods"] = sorted(self.methods)
        if self._kind:
            found["kind"] = self._kind
        if self._largest[1] >= 0:
            found |= {"largest_name": self._largest[0], "largest_bytes": self._largest[1]}
        if self._times[0]:
            found |= {"oldest": self._times[0], "newest": self._times[1]}
        if is_bomb(self.bytes, packed):
            self.suspicious.append(f"its members claim {ratio(self.bytes, packed)} times its size")
        if self.suspicious:
            found["suspicious"] = self.suspicious
        return found | preview(tree=self._tree)


def clean(text: str, limit: int = MAX_NAME) -> str:
    """Return text that JSON and a database can hold, cut at `limit` characters."""
    return text[:limit].encode("utf-8", "replace").decode().replace("\0", " ")


def ratio(expanded: int, packed: int) -> float:
    """Return how many times larger the content is."""
    return round(expanded / packed, 2) if packed else 0.0


def is_bomb(expanded: int, packed: int) -> bool:
    """Say whether so much out of so little was hardly made for use."""
    return expanded > BOMB_BYTES and expanded > BOMB_RATIO * max(packed, 1)


def iso(seconds: float) -> str:
    """Return a time in UTC as ISO 8601; empty for one that no calendar has."""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return dt.datetime.fromtimestamp(int(seconds), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ""
