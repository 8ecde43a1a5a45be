"""What is below a directory, summed up by owner, kind, size, age and place. For `report`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from lustre_events.errors import ConfigError
from lustre_events.index.mount import Mount
from lustre_events.index.query.find_options import below
from lustre_events.index.query.parser import both
from lustre_events.index.remote.answers import FacetAnswer, ReportAnswer
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.search.asking import Asking, pages
from lustre_events.index.search.hits import Facet, Hit, from_root, hit_json, name_text, printable, time_text
from lustre_events.index.visibility import Viewer

FIELDS = ("owner", "group", "projid", "pool", "type", "ext")
MOST_DIRECTORIES = 200
"""Directories that are summed up one by one."""
BAR = 20
"""Characters of the longest bar."""

SIZES = (
    ("0", "size:0"), ("up to 4 KiB", "size:{0 TO 4k]"), ("up to 1 MiB", "size:{4k TO 1M]"),
    ("up to 64 MiB", "size:{1M TO 64M]"), ("up to 1 GiB", "size:{64M TO 1G]"), ("up to 64 GiB", "size:{1G TO 64G]"),
    ("up to 1 TiB", "size:{64G TO 1T]"), ("more", "size:>1T"),
)  # fmt: skip
AGES = (
    ("7 days", "mtime:>now-7d"), ("30 days", "mtime:{now-30d TO now-7d]"),
    ("90 days", "mtime:{now-90d TO now-30d]"), ("1 year", "mtime:{now-365d TO now-90d]"),
    ("3 years", "mtime:{now-1095d TO now-365d]"), ("longer", "mtime:<=now-1095d"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is below a directory, that one too.

    Args:
        total: files, directories and so on, and their bytes.
        sections: values of FIELDS, and `size` and `age` (since the content last changed) of files, in ranges.
        directories: those in it, with all that is below each; the largest first.
        whole: there are no more than MOST_DIRECTORIES of them; else only the first were summed up.
        largest: files.
    """

    total: Facet
    sections: dict[str, tuple[Facet, ...]]
    directories: tuple[Facet, ...]
    whole: bool
    largest: tuple[Hit, ...]


def take(index: Asking, path: bytes, query: str, most: int, viewer: Viewer | None) -> Inventory:
    """Return what is at a path of the index and below it, of what matches a query; `most` rows of each kind.

    Raises:
        ConfigError: there is no such path.
        QueryError: the query is wrong.
    """
    if isinstance(index, RemoteSearch):
        return _told(index.report(path, query, most, visible_to=viewer))
    if index.fid_of_path(path, visible_to=viewer) is None:
        raise ConfigError(f"{printable(b'/' + path.strip(b'/'))}: no such path in the index")
    within = _below(path, query)

    def counted(condition: str, label: str | None) -> Facet:
        found = index.facets(f"{within} AND {condition}", ("type",), visible_to=viewer)["type"]
        return Facet(label, sum(each.files for each in found), sum(each.bytes for each in found))

    fields = index.facets(within, FIELDS, limit=most, visible_to=viewer)
    # Where nothing has a value, e.g. a project outside of Lustre, there is nothing to say.
    fields = {name: values for name, values in fields.items() if any(each.value is not None for each in values)}
    ranges = {"size": SIZES, "age": AGES}
    sections = fields | {
        name: tuple(counted(f"type:f AND {condition}", label) for label, condition in each)
        for name, each in ranges.items()
    }
    directories, whole = _directories(index, path, query, viewer)
    largest = index.page(f"{within} AND type:f", limit=most, sort="-size", visible_to=viewer, excerpts=False).hits
    return Inventory(counted("*", None), sections, directories[:most], whole, largest)


def _below(path: bytes, query: str) -> str:
    """Return a query for what is below a path and matches another one. Raises QueryError."""
    place = below(path, ())
    return both(query, place or "*") if query else place or "*"


def _directories(
    index: Asking, path: bytes, query: str, viewer: Viewer | None
) -> tuple[tuple[Facet, ...], bool]:  # fmt: skip
    inside = below(path, (1,))
    found: list[Facet] = []
    whole = True
    for page in pages(index, f"{inside} AND type:d", limit=MOST_DIRECTORIES + 2, visible_to=viewer, excerpts=False):
        for hit in page.hits:
            for place in (each.strip(b"/") for each in hit.paths):
                if place == path.strip(b"/") or place.rpartition(b"/")[0] != path.strip(b"/"):
                    continue
                whole = len(found) < MOST_DIRECTORIES
                if whole:
                    sums = index.facets(_below(place, query), ("type",), visible_to=viewer)["type"]
                    found.append(Facet(
                        "/" + name_text(place), sum(each.files for each in sums), sum(each.bytes for each in sums)
                    ))  # fmt: skip
    return tuple(sorted(found, key=lambda each: (-each.bytes, str(each.value)))), whole


def _told(answer: ReportAnswer) -> Inventory:
    """Return what a server answers, with paths as the index has them."""
    mount = Mount.at(answer.mount)
    directories = (replace(each, value=_inside(each.value, mount)) for each in _facets(answer.directories))
    return Inventory(
        Facet(None, answer.total.files, answer.total.bytes),
        {name: _facets(values) for name, values in answer.sections.items()},
        tuple(directories),
        answer.all_directories,
        tuple(each.value(mount) for each in answer.largest),
    )


def _facets(values: Iterable[FacetAnswer]) -> tuple[Facet, ...]:
    return tuple(each.file_facet() for each in values)


def _inside(value: object, mount: Mount) -> str:
    return "/" + name_text(mount.inside(os.fsencode(str(value))))


def placed(found: Inventory, mount: Mount) -> Inventory:
    """Return it with its paths as one opens them."""
    directories = (
        replace(each, value=name_text(mount.whole(os.fsencode(str(each.value))))) for each in found.directories
    )
    return replace(found, directories=tuple(directories), largest=tuple(map(mount.placed, found.largest)))


def answer_json(found: Inventory) -> dict[str, Any]:
    """Return it as `ReportAnswer` without the mount."""
    flat = as_json(found)
    return {
        "total": flat["total"],
        "sections": {name: flat[name] for name in found.sections},
        **{name: flat[name] for name in ("directories", "all_directories", "largest")},
    }


def as_json(found: Inventory) -> dict[str, Any]:
    """Return it as JSON types."""
    return {
        "total": {"files": found.total.files, "bytes": found.total.bytes},
        **{name: [asdict(each) for each in values] for name, values in found.sections.items()},
        "directories": [asdict(each) for each in found.directories],
        "all_directories": found.whole,
        "largest": [hit_json(each) for each in found.largest],
    }


def as_lines(found: Inventory, *, bars: bool) -> Iterator[str]:
    """Yield it as lines for a person, with bars of bytes for a terminal."""
    yield _line("total", Facet("", found.total.files, found.total.bytes), 0)
    for name, values in (*found.sections.items(), ("directory", found.directories)):
        longest = max((each.bytes for each in values), default=0) if bars else 0
        yield from (_line(name, each, longest) for each in values)
    if not found.whole:
        yield f"only the first {MOST_DIRECTORIES} directories were summed up; name one of them"
    for hit in found.largest:
        path = printable(from_root(hit.paths)[0].encode("utf-8", "surrogateescape")) if hit.paths else str(hit.fid)
        when = "" if hit.mtime_ns is None else time_text(hit.mtime_ns)[:10]
        yield f"{'largest':12} {hit.size or 0:20,} bytes  {when}  {path}"


def _line(name: str, each: Facet, longest: int) -> str:
    value = "-" if each.value is None else printable(str(each.value).encode("utf-8", "surrogateescape"))
    bar = "█" * max(1, round(BAR * each.bytes / longest)) if longest and each.bytes else ""
    return f"{name:12} {value:32} {each.files:12,} files {each.bytes:20,} bytes  {bar}".rstrip()
