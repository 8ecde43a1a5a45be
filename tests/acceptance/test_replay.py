"""`lustre-events replay` takes a recorded changelog through reader, stream, dispatcher and index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lustre_events.changelog.fid import FID, ROOT_FID
from tests.support.need import need
from tests.support.records import captures
from tests.support.records.answers import answerable, named_by, present_of
from tests.support.service.command import lustre_events


def order_of(folder: str) -> list[str]:
    """Return how to replay a folder: interleaved, or one MDT after the other, in one of both orders; by turns."""
    path = captures.CAPTURES / folder
    one_by_one = [f"--mdt={mdt}={path / f'{mdt}.raw.gz'}" for mdt in captures.mdts(folder)]
    ways = [[str(path)], ["--sequential", *one_by_one], ["--sequential", *reversed(one_by_one)]]
    return ways[captures.FOLDERS.index(folder) % len(ways)]


@pytest.mark.parametrize("folder", captures.FOLDERS)
def test_the_index_agrees_with_fid2path(folder: str, tmp_path: Path) -> None:
    """For every capture `show` answers what fid2path said on the live system, in some order of the MDTs.

    tests/integration/test_dispatcher_captures.py has every order of each. A FID from before a migration shows the
    object under its present one.
    """
    need("redis-server")
    parents, present = named_by(folder), present_of(folder)
    truths = captures.truths(folder)
    now = {truth.fid: truth for truth in truths}
    asked = "".join(f"{truth.fid}\n" for truth in truths).encode()
    old = {str(fid): str(last) for fid, last in present.items()}
    order, url = order_of(folder), f"sqlite:///{tmp_path}/index.db"
    replayed = lustre_events("replay", *order, "--index", url)
    assert replayed.returncode == 0, replayed.stderr.decode()

    shown = lustre_events("show", "-", "--json", "--index", url, stdin=asked)

    compared = 0
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [row["fid"] for row in rows] == [old.get(truth.fid, truth.fid) for truth in truths]
    for row, said in zip(rows, truths, strict=True):
        truth = now[row["fid"]]
        assert said.code or said.paths == truth.paths
        known = answerable(FID.parse(truth.fid), parents)
        expected = sorted(f"/mnt/lustre/{path}" for path in truth.paths) if known and truth.code == 0 else []
        if truth.fid == str(ROOT_FID):
            expected = ["/mnt/lustre"]
        assert sorted(row["paths"]) == expected, (order, truth)
        compared += known
    assert compared > 0
