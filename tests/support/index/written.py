"""Files whose documents are written by somebody, and what an index then has of them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lustre_events.index.values import TABLES
from lustre_events.jobs.messages import Job, Result
from tests.support.index.places import rows_of
from tests.support.model.dispatcher import Rig, answers
from tests.support.records import builders as b

DOCUMENTS: list[dict[str, Any]] = [
    {},
    {"rows": 3, "columns": ["T", "I"], "common": {"instrument": "ARPES", "temperature": 11.5}},
    {"title": "caf\u00e9 \x00 \ud800".encode("utf-8", "replace").decode(), "when": "2026-11-27T10:00:00Z"},
    {"deep": {"a": {"b": [1, "2", None, True, 2**70, -0.5]}}, "a.b": "x", "text": "12.5"},
    {"long": "word " * 40_000, "n": list(range(50))},
]
_JOB = re.compile(r'"job":"[0-9a-f]+"')


def jobs_for(rig: Rig, count: int = 1) -> list[Job]:
    """Return the jobs that extract some new or changed files, whose facts are known."""
    numbers = range(1, count + 1)
    new = [b.create(fid=number, name=b"%d.csv" % number) for number in numbers if not rig.paths(number)[0]]
    return extraction(rig, rig.play(*(new or [b.close(fid=number) for number in numbers])))


def extraction(rig: Rig, jobs: list[Job]) -> list[Job]:
    """Return the jobs that are for an extractor, of some and of those that follow; what is built in is answered."""
    found: list[Job] = []
    for _ in range(3):
        found += [job for job in jobs if job.extractor == "tabular"]
        rig.answer([job for job in jobs if job.extractor != "tabular"])
        rig.pass_seconds(10)
        jobs = rig.play()
    return found


def found(job: Job) -> list[Result]:
    """Return what a worker found in the files of a job, another document in each."""
    return [
        msgspec.structs.replace(
            each,
            document=DOCUMENTS[int(each.fid.oid) % len(DOCUMENTS)],
            provenance={"job": job.id, "host": "n1", "files": 2, "duration_ms": 30},
        )
        for each in answers(job)
    ]


def contents(rig: Rig) -> dict[str, Any]:
    """Return all of an index that documents may change, without ids of rows and jobs, and its counters."""
    tables = {
        table: "SELECT object.fid, key.extractor, key.owner, key.name, t.value"  # noqa: S608 - of our tables
        f" FROM {table} t JOIN key ON key.id = t.key JOIN object ON object.id = t.object"
        for table in TABLES
    }
    tables |= {
        "document": "SELECT object.fid, t.extractor, t.generation, t.serial, t.body, t.provenance, t.failure,"
        " t.failure_generation, t.failure_serial FROM document t JOIN object ON object.id = t.object",
        "fulltext": "SELECT object.fid, document.extractor, t.piece, t.body::text FROM fulltext t"
        " JOIN document ON document.id = t.document JOIN object ON object.id = t.object",
        "key": "SELECT extractor, owner, name FROM key",
        "pending": "SELECT fid, extractor, generation, attempts, reason, error FROM pending",
        "object": "SELECT fid, generation, content, type, uid FROM object",
        "outcome": "SELECT portion FROM outcome",
    }
    rows = {
        name: sorted(_JOB.sub("JOB", repr(row)) for row in rows_of(rig.writer, statement))
        for name, statement in tables.items()
    }
    # What a dispatcher counts of its own steps is not of documents.
    return {**rows, "counter": sorted(rig.writer.counters().items())}
