"""The index against the file system, by a walk of its own: names, facts, documents; and sums that must be equal."""

from __future__ import annotations

import csv
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import LustreEventsError
from lustre_events.index.backend import Backend, Entry, Reading, Row
from lustre_events.index.opening import open_backend
from lustre_events.sources.local_fid import fid_of_path
from tests.chaos.site import Site

FACTS = ("type", "size", "mtime_ns", "uid", "gid", "mode", "nlink")
_TYPES = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}
_MANY = 10_000


@dataclass
class Truth:
    """What is there: an object for each path, with its facts, and the documents that it must and may have."""

    objects: dict[bytes, FID] = field(default_factory=dict)
    facts: dict[FID, dict[str, object]] = field(default_factory=dict)
    rows: dict[FID, int] = field(default_factory=dict)
    tables: set[FID] = field(default_factory=set)


def look(site: Site) -> Truth:
    """Walk the tree."""
    found = Truth()
    top = site.files / "mnt" if site.lustre else site.files
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = Path(folder) / name
            fid = site.lustre.fid_of(path) if site.lustre else fid_of_path(os.fsencode(path))
            seen = path.lstat()
            found.objects[os.fsencode(path.relative_to(top))] = fid
            found.facts[fid] = {
                "type": _TYPES[stat.S_IFMT(seen.st_mode)], "size": seen.st_size, "mtime_ns": seen.st_mtime_ns,
                "uid": seen.st_uid, "gid": seen.st_gid, "mode": stat.S_IMODE(seen.st_mode), "nlink": seen.st_nlink,
            }  # fmt: skip
            if stat.S_ISREG(seen.st_mode):
                found.rows[fid] = rows_of(path)
                if path.suffix in {".csv", ".json"} and path.stem:
                    found.tables.add(fid)
    return found


def rows_of(path: Path) -> int:
    """Return how many rows a file has as a table, whatever its name says."""
    text = path.read_text()
    return len(json.loads(text)) if text.startswith("[") else len(list(csv.reader(text.splitlines()))) - 1


def differences(site: Site) -> list[str]:
    """Return in what the index differs from the files as they are now."""
    try:
        backend = open_backend(site.index)
    except LustreEventsError as exc:
        return [str(exc)]
    try:
        with backend.reading(None) as reading:
            return list(_compare(look(site), reading))
    except LustreEventsError as exc:
        return [str(exc)]
    finally:
        backend.close()


def _compare(truth: Truth, reading: Reading) -> Iterator[str]:
    counts = reading.counts()
    pending = reading.stats(counts).pending
    yield from (
        f"{name}: {table}" for name, table in (("pending", pending), ("failures", counts.failures)) if table
    )
    names = dict(_walk(reading, ROOT_FID, b""))
    for path in sorted(names.keys() - truth.objects.keys()):
        yield f"stale name: {path!r} is {names[path].fid}"
    for path in sorted(truth.objects.keys() - names.keys()):
        yield f"lost name: {path!r}, {truth.objects[path]}"
    for path in sorted(names.keys() & truth.objects.keys()):
        if names[path].fid != truth.objects[path]:
            yield f"another object: {path!r} is {truth.objects[path]}, in the index {names[path].fid}"
    if counts.links != len(truth.objects):
        yield f"{counts.links} names are stored, there are {len(truth.objects)}"
    rows = reading.objects(set(truth.facts))
    yield from _facts(truth, rows)
    yield from _documents(truth, rows, reading)
    if counts.objects not in {len(truth.facts), len(truth.facts) + 1}:  # the top may be one
        yield f"{counts.objects} objects are stored, there are {len(truth.facts)}"


def _walk(
    reading: Reading, parent: FID, above: bytes, over: frozenset[FID] = frozenset()
) -> Iterator[tuple[bytes, Entry]]:
    """Yield all names below a directory; one that is below itself for a moment is not entered again."""
    for entry in reading.entries(parent, b"", _MANY):
        path = above + b"/" + entry.name if above else entry.name
        yield path, entry
        if entry.type == "d" and entry.fid not in over:
            yield from _walk(reading, entry.fid, path, over | {entry.fid})


def _facts(truth: Truth, rows: Mapping[FID, Row]) -> Iterator[str]:
    for fid, facts in truth.facts.items():
        if fid not in rows:
            yield f"lost object: {fid}"
            continue
        known = {name: getattr(rows[fid], name) for name in FACTS}
        wrong = {name: (value, known[name]) for name, value in facts.items() if known[name] != value}
        if wrong:
            yield f"stale facts: {fid} {wrong}"


def _documents(truth: Truth, rows: Mapping[FID, Row], reading: Reading) -> Iterator[str]:
    fids = {row.id: fid for fid, row in rows.items()}
    stored = reading.documents(fids)
    for key, number in Counter((each.object, each.extractor) for each in stored).items():
        if number > 1:
            yield f"doubled document: {key}"
    bodies = {
        fids[each.object]: json.loads(each.body) for each in stored if each.body and each.extractor == "tabular"
    }
    yield from (f"lost document: {fid}" for fid in truth.tables - bodies.keys())
    for fid, body in bodies.items():
        if body.get("rows") != truth.rows.get(fid):
            yield f"stale document: {fid} has {truth.rows.get(fid)} rows, its document {body.get('rows')}"
    if sum(reading.counts().documents.values()) != len(stored):
        yield f"{reading.counts().documents} documents are stored, {len(stored)} of objects that are there"


def sums(site: Site) -> list[str]:
    """Return which counters do not add up."""
    backend: Backend = open_backend(site.index)
    try:
        with backend.reading(None) as reading:
            stats = reading.stats(reading.counts())
    finally:
        backend.close()
    counters = Counter(stats.counters)
    taken = sum(counters[name] for name in ("named", "changed", "ignored", "unknown", "damaged"))
    wrong = [] if taken == counters["records"] else [f"{counters['records']} records, {taken} accounted for"]
    if site.lustre is not None:
        logged = site.lustre.logged
    else:
        logged = max((position for _, _, position in stats.cursors), default=0)
    if counters["records"] != logged:
        wrong.append(f"{logged} records were written, {counters['records']} counted")
    if counters["damaged"] or counters["results_damaged"]:
        wrong.append("something stored was damaged")
    return wrong
