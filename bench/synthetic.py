"""A synthetic index: directories of 100 files as an instrument would leave them, with facts and documents.

Written by the same statements as the dispatcher's, in the order in which files would come, so that pages are
filled as in real life; only faster, in large transactions.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.domain.namespace import Link, OrderKey
from lustre_events.index.interface import Facts, IndexWriter, ObjectRow
from lustre_events.jobs.messages import Result

FILES_PER_DIRECTORY = 100
DIRECTORIES_PER_RUN = 100
FILES_OF_JOB = 64
EXTRACTOR = "hdf5"
NOW_NS = 1_790_000_000_000_000_000
_PORTION = 5_000
_DAY_NS = 86_400 * 1_000_000_000

_INSTRUMENTS = ("ARPES", "SAXS", "XRD", "TEM", "STM", "Raman", "NMR", "XPS", "AFM", "LEED")
_WORDS = (
    "cleaved", "surface", "map", "overview", "focus", "detail", "alignment", "sweep", "reference",
    "background", "calibration", "annealed", "doped", "pristine", "oxidised", "strained", "bulk", "film",
    "flake", "wafer", "powder", "crystal", "mounted", "cooled", "heated", "pumped",
)  # fmt: skip

_RARE = {7: ("Müller", "Søren"), 8: ("超伝導の測定", "測定")}
"""Words in a title of some files: with accents, and without spaces."""


def fill(writer: IndexWriter, files: int) -> None:
    """Write `files` files into an empty index: /proj/runN/scanM/frame_NNNNNNNN.h5, all for everybody to read."""
    writer.take_over()
    with writer.transaction() as transaction:
        transaction.put_objects([ObjectRow(fid=ROOT_FID, generation=1, content=1, type="d")])
        transaction.put_facts([(transaction.objects([ROOT_FID])[ROOT_FID], 1, facts(-1))])
    for start in range(0, files, _PORTION):
        numbers = range(start, min(start + _PORTION, files))
        with writer.transaction() as transaction:
            links = [link for number in numbers for link in _links(number)]
            rows = [ObjectRow(fid=link.fid, generation=1, content=1, type=_type(link), jobid=b"cp.1000",
                              cause=link.stamp)
                    for link in links if link.fid is not None]  # fmt: skip
            transaction.set_links(links)
            transaction.put_objects(rows)
            stored = transaction.objects([row.fid for row in rows])
            told = [row for row in stored.values() if row.fid.seq == _FILES]
            transaction.put_facts(
                (row, 1, facts(row.fid.oid if row.fid.seq == _FILES else -1)) for row in stored.values()
            )
            transaction.put_documents((row, _result(row.fid, row.fid.oid)) for row in told)


def fill_names(writer: IndexWriter, files: int) -> None:
    """Write only names and objects of these files."""
    writer.take_over()
    for start in range(0, files, _PORTION):
        links = [link for number in range(start, min(start + _PORTION, files)) for link in _links(number)]
        with writer.transaction() as transaction:
            transaction.set_links(links)
            transaction.put_objects(
                ObjectRow(
                    fid=link.fid, generation=1, content=1, type=_type(link), jobid=b"cp.1000", cause=link.stamp
                )
                for link in links
                if link.fid is not None
            )


_FILES, _SCANS, _RUNS = 0x200000402, 0x200000403, 0x200000404
PROJ = FID(0x200000405, 1)


def run_of(number: int) -> FID:
    """Return the directory of a run, which has FILES_PER_DIRECTORY * DIRECTORIES_PER_RUN files."""
    return FID(_RUNS, number + 1)


def _type(link: Link) -> str:
    return "f" if link.fid is not None and link.fid.seq == _FILES else "d"


def _links(number: int) -> Iterator[Link]:
    """Yield the links of a file, and before the first one of a directory those that lead to it."""
    stamp = OrderKey(NOW_NS + number, 0, 1, number + 1).pack()
    scan, place = divmod(number, FILES_PER_DIRECTORY)
    run, scan_place = divmod(scan, DIRECTORIES_PER_RUN)
    if number == 0:
        yield Link(ROOT_FID, b"proj", PROJ, stamp)
    if place == scan_place == 0:
        yield Link(PROJ, b"run%d" % run, run_of(run), stamp)
    if place == 0:
        yield Link(run_of(run), b"scan%04d" % scan_place, FID(_SCANS, scan + 1), stamp)
    yield Link(FID(_SCANS, scan + 1), b"frame_%08d.h5" % number, FID(_FILES, number), stamp)


def facts(number: int) -> Facts:
    """Return the facts of a file; of a directory for -1."""
    chance = random.Random(number)  # noqa: S311 - made-up data
    directory = number < 0
    time_ns = NOW_NS - 1000 * _DAY_NS + chance.randrange(1000 * _DAY_NS)
    owner = 1000 + _owner(number)
    return Facts(
        type="d" if directory else "f", size=4096 if directory else int(chance.paretovariate(0.5) * 10_000),
        mtime_ns=time_ns, ctime_ns=time_ns, atime_ns=time_ns, uid=owner, gid=owner % 13,
        mode=0o755 if directory else 0o644, nlink=1, mime=None if directory else "application/x-hdf5",
    )  # fmt: skip


def document(number: int) -> dict[str, Any]:
    """Return the ten keys of a file."""
    chance = random.Random(~number)  # noqa: S311 - as above
    return {
        "instrument": _INSTRUMENTS[chance.randrange(10)],
        "sample": f"S{chance.randrange(20_000):05d}",
        "operator": f"user{chance.randrange(97)}",
        "temperature": round(chance.uniform(0, 300), 2),
        "pressure": round(chance.uniform(0, 1), 4),
        "energy": round(chance.gauss(100, 30), 1),
        "exposure": chance.randrange(1, 1000),
        "taken": _day(chance.randrange(1000)),
        "valid": chance.random() < 0.97,
        "title": f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} {chance.choice(_RARE.get(number % 50, _WORDS))}",
    }


def _day(before: int) -> str:
    """Return the date of a number of days before NOW_NS."""
    return datetime.fromtimestamp((NOW_NS - before * _DAY_NS) // 10**9, UTC).date().isoformat()


def _owner(number: int) -> int:
    """Return who owns a file: somebody else after each 100 jobs."""
    return number // (FILES_OF_JOB * 100) % 97


def _result(fid: FID, number: int) -> Result:
    job = number // FILES_OF_JOB
    return Result(
        fid=fid, generation=1, extractor=EXTRACTOR, serial=1, status="ok", document=document(number),
        provenance={
            "extractor": EXTRACTOR, "job": hashlib.md5(b"%d" % job, usedforsecurity=False).hexdigest(),
            "host": f"n{job % 400:03d}", "time_ns": NOW_NS + job * 7_654_321, "version": "1.0",
            "runtime": "apptainer 1.4.5", "image": "science.sif",
            "image_digest": hashlib.sha256(b"image").hexdigest(), "run_as": f"user{_owner(number)}",
            "duration_ms": 400 + job % 300, "files": FILES_OF_JOB, "mdt": "MDT0000", "epoch": NOW_NS,
            "record": number + 1,
        },
    )  # fmt: skip
