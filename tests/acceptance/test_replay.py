"""`lustre-events replay` takes a recorded changelog through reader, stream, dispatcher and index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID
from lustre_events.changelog.record import RecordType, iter_records
from tests.acceptance.command import lustre_events
from tests.support.need import need
from tests.support.records import captures

NAMING = {
    RecordType.CREAT, RecordType.MKDIR, RecordType.HLINK, RecordType.SLINK, RecordType.MKNOD, RecordType.RENME,
    RecordType.MIGRT,
}  # fmt: skip


def named_by(folder: str) -> dict[FID, set[FID]]:
    """Return, for every FID that records of the folder place in the namespace, the parents it ever had."""
    parents: dict[FID, set[FID]] = {}
    for mdt in captures.mdts(folder):
        for record in iter_records(captures.read(folder, f"{mdt}.raw")):
            if record.type not in NAMING:
                continue
            moved = record.source if record.type == RecordType.RENME else record.target
            parent = record.source_parent if record.type == RecordType.MIGRT else record.parent
            if parent != NO_FID:
                parents.setdefault(moved, set()).add(parent)
    return parents


def answerable(fid: FID, parents: dict[FID, set[FID]]) -> bool:
    """Whether every possible chain of parents of `fid` is named by records, up to the root."""
    seen: set[FID] = set()
    waiting = [fid]
    while waiting:
        current = waiting.pop()
        if current == ROOT_FID or current in seen:
            continue
        seen.add(current)
        if current not in parents:
            return False
        waiting += parents[current]
    return True


def orders(folder: str) -> list[list[str]]:
    """Return the ways to replay a folder: interleaved, and one MDT after the other in both orders."""
    path = captures.CAPTURES / folder
    one_by_one = [f"--mdt={mdt}={path / f'{mdt}.raw.gz'}" for mdt in captures.mdts(folder)]
    return [[str(path)], ["--sequential", *one_by_one], ["--sequential", *reversed(one_by_one)]]


@pytest.mark.parametrize("folder", captures.FOLDERS)
def test_the_index_agrees_with_fid2path(folder: str, tmp_path: Path) -> None:
    """For every capture and every order of the MDTs, `show` answers what fid2path said on the live system."""
    need("redis-server")
    parents = named_by(folder)
    truths = captures.truths(folder)
    asked = "".join(f"{truth.fid}\n" for truth in truths).encode()
    compared = 0
    for number, order in enumerate(orders(folder)):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        replayed = lustre_events("replay", *order, "--index", url)
        assert replayed.returncode == 0, replayed.stderr.decode()

        shown = lustre_events("show", "-", "--json", "--index", url, stdin=asked)

        rows = [json.loads(line) for line in shown.stdout.splitlines()]
        assert [row["fid"] for row in rows] == [truth.fid for truth in truths]
        for row, truth in zip(rows, truths, strict=True):
            known = answerable(FID.parse(truth.fid), parents)
            expected = sorted(truth.paths) if known and truth.code == 0 else []
            if truth.fid == str(ROOT_FID):
                expected = ["/"]
            assert sorted(row["paths"]) == expected, (order, truth)
            compared += known
    assert compared > 0
