"""Hits as columns, for who writes all of them: no object for each hit, whose making would cost more than the rest.

They are the same hits as those of pages (views.hits_of), and a test holds that. What repeats is decided once in a
portion: the paths of a directory, and whether its names are seen.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.index.backend import FoundObject, Reading, Row
from lustre_events.index.paths import paths_of, ways_to
from lustre_events.index.search.hits import Hit
from lustre_events.index.search.stored_documents import texts_of
from lustre_events.index.search.views import is_readable
from lustre_events.index.visibility import DirectoryAccess, Viewer

PORTION = 1_000
"""How many hits are looked up together."""
ENOUGH_BYTES = 4 << 20
"""Bytes of documents that end a portion early: they may be large."""
DOCUMENTS_OF = 500
"""Hits whose documents are read together."""


class HitColumns(NamedTuple):
    """What is known of some hits, with a value for each in each column, as in `hits.Hit`; FIDs are packed."""

    fids: Sequence[bytes]
    paths: Sequence[Sequence[bytes]]
    types: Sequence[str | None]
    sizes: Sequence[int | None]
    mtimes_ns: Sequence[int | None]
    uids: Sequence[int | None]
    gids: Sequence[int | None]
    modes: Sequence[int | None]
    mimes: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class HitPortion:
    """Some hits as columns. `documents` has for each extractor the JSON text of each hit's document, or None."""

    facts: HitColumns
    documents: Mapping[str, Sequence[str | None]]

    @classmethod
    def of(cls, hits: Iterable[Hit]) -> Self:
        """Return hits that somebody has made one by one."""
        some = [*hits]
        columns = (
            [getattr(hit, name) for hit in some]
            for name in ("paths", "type", "size", "mtime_ns", "uid", "gid", "mode", "mime")
        )
        texts = [texts_of(hit.documents) for hit in some]
        extractors = sorted({extractor for each in texts for extractor in each})
        return cls(
            HitColumns._make([[hit.fid.pack() for hit in some], *columns]),
            {extractor: [each.get(extractor) for each in texts] for extractor in extractors},
        )

    @property
    def hits(self) -> int:
        """How many hits these are."""
        return len(self.facts.fids)

    def chosen(self, places: Sequence[int]) -> Self:
        """Return the hits at some places."""
        return type(self)(
            HitColumns._make([column[place] for place in places] for column in self.facts),
            {name: [column[place] for place in places] for name, column in self.documents.items()},
        )

    def with_paths(self) -> Self:
        """Return the hits that have a path."""
        if all(self.facts.paths):
            return self
        return self.chosen([place for place, each in enumerate(self.facts.paths) if each])

    def whole_documents(self) -> list[str]:
        """Return the documents of each hit as one JSON object in ASCII, without spaces; nothing is parsed."""
        columns = [
            [None if text is None else f"{quoted}:{text}" for text in texts]
            for quoted, texts in ((json.dumps(name), texts) for name, texts in self.documents.items())
        ]
        if not columns:
            return ["{}"] * self.hits
        if len(columns) == 1:
            return ["{}" if each is None else f"{{{each}}}" for each in columns[0]]
        return ["{" + ",".join(filter(None, each)) + "}" for each in zip(*columns, strict=True)]


def found_of(row: Row, viewer: Viewer | None) -> FoundObject:
    """Return as much of an object as is written."""
    facts = (getattr(row, name) for name in FoundObject._fields[2:-3])
    return FoundObject._make((row.id, row.fid.pack(), *facts, is_readable(row, viewer), None, None))


def portion_of(
    reading: Reading, rows: Sequence[FoundObject], access: DirectoryAccess | None
) -> tuple[HitPortion, int]:
    """Return hits for the first of some rows, until documents have ENOUGH_BYTES, and how many rows that are.

    With `access` (not everything is seen), hits of which no name is seen have no paths.
    """
    taken, documents = _documents_of(reading, rows)
    if not taken:
        return HitPortion.of(()), 0
    columns = zip(*rows[:taken], strict=True)
    _, fids, types, sizes, mtimes_ns, _, _, uids, gids, modes, mimes, readable, parents, names = columns
    if access is not None:
        mimes = tuple(mime if may else None for mime, may in zip(mimes, readable, strict=True))
    paths = _paths_of(reading, fids, parents, names, access)
    facts = HitColumns(fids, paths, types, sizes, mtimes_ns, uids, gids, modes, mimes)
    found = HitPortion(facts, documents)
    return found if access is None else found.with_paths(), taken


def _documents_of(reading: Reading, rows: Sequence[FoundObject]) -> tuple[int, Mapping[str, Sequence[str | None]]]:
    """Return how many rows have enough bytes of documents, and these."""
    found: dict[str, list[str | None]] = {}
    taken = size = 0
    while taken < len(rows) and size < ENOUGH_BYTES:
        some = rows[taken : taken + DOCUMENTS_OF]
        ids = [row.id if row.readable else 0 for row in some]
        ids_read, extractors, texts = tuple(zip(*reading.bodies({*ids} - {0}), strict=True)) or ((), (), ())
        size += sum(map(len, texts))
        for extractor in {*extractors} - found.keys():
            found[extractor] = [None] * len(rows)
        if [*ids_read] == ids and len({*extractors}) == 1:  # as mostly: one of each
            found[extractors[0]][taken : taken + len(some)] = texts
        else:
            places = {id_: place for place, id_ in enumerate(ids, taken)}
            for id_, extractor, text in zip(ids_read, extractors, texts, strict=True):
                found[extractor][places[id_]] = text
        taken += len(some)
    return taken, {extractor: found[extractor][:taken] for extractor in sorted(found)}


def _paths_of(
    reading: Reading,
    fids: Sequence[bytes],
    parents: Sequence[bytes | None],
    names: Sequence[bytes | None],
    access: DirectoryAccess | None,
) -> Sequence[Sequence[bytes]]:
    """Return all paths that are seen of each object, sorted; as paths.paths_of, but a directory's are made once."""
    several = [fid for fid, parent in zip(fids, parents, strict=True) if parent is None]
    links = reading.packed_links(several)
    ways, above = _ways_of(reading, {*filter(None, parents), *(parent for _, parent, _ in links)}, access)
    others = _by_object(several, links, ways) | _above_others(reading, above.intersection(fids), access)
    found = [
        [way + (name or b"") for way in ways[parent or b""]] for parent, name in zip(parents, names, strict=True)
    ]
    if not others and max(map(len, ways.values()), default=1) <= 1:  # as mostly, one each
        return found
    return [sorted(others.get(fid, paths)) for fid, paths in zip(fids, found, strict=True)]


def _above_others(
    reading: Reading, fids: Collection[bytes], access: DirectoryAccess | None
) -> dict[bytes, list[bytes]]:
    """Return the paths of what is on the way to others: where links are out of order it may be above itself."""
    packed = {FID.unpack(fid): fid for fid in fids}
    return {packed[fid]: paths for fid, paths in paths_of(reading.links, packed, access).items()}


def _by_object(
    fids: Sequence[bytes], links: Sequence[tuple[bytes, bytes, bytes]], ways: Mapping[bytes, Sequence[bytes]]
) -> dict[bytes, list[bytes]]:
    """Return the paths of each object, of its links and of the ways to directories."""
    found: dict[bytes, list[bytes]] = {fid: [] for fid in fids}
    for fid, parent, name in links:
        found[fid] += [way + name for way in ways[parent]]
    return found


def _ways_of(
    reading: Reading, directories: Collection[bytes], access: DirectoryAccess | None
) -> tuple[dict[bytes, list[bytes]], set[bytes]]:
    """Return what stands before the names in each directory, on all ways there; and all directories on these."""
    unpacked = {FID.unpack(packed): packed for packed in directories}
    listed = [fid for fid in unpacked if access is None or access.listed(fid)]
    found, above = ways_to(reading.links, listed, access)
    ways: dict[bytes, list[bytes]] = defaultdict(list)
    for fid, paths in found.items():
        ways[unpacked[fid]] = [path + b"/" if path else b"" for path in paths]
    return ways, {ROOT_FID.pack(), *directories, *(fid.pack() for fid in above)}
