"""Records of a real Lustre through the dispatcher: the index knows what fid2path said on the live system."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lustre_events.changelog.fid import FID, ROOT_FID
from tests.support.model.dispatcher import Rig, append, cut
from tests.support.records import captures
from tests.support.records.answers import answerable, named_by


@pytest.mark.parametrize("order", ["by name", "backwards", "interleaved"])
@pytest.mark.parametrize("folder", captures.FOLDERS)
def test_the_index_agrees_with_fid2path(folder: str, order: str, tmp_path: Path) -> None:
    """In any order of the MDTs' blocks, objects whose parents are named have their true paths, others none.

    The old FID of a directory that was split has the directory's paths.
    """
    rig = Rig(tmp_path / "index.db")
    names = captures.mdts(folder)
    if order == "backwards":
        names.reverse()
    turns = {name: cut(captures.read(folder, f"{name}.raw"), [1, 7, 200]) for name in names}
    chance = random.Random(folder)
    records = 0
    while any(turns.values()):
        waiting = [name for name in names if turns[name]]
        name = chance.choice(waiting) if order == "interleaved" else waiting[0]
        block = turns[name].pop(0)
        append(rig.store, name, *block)
        records += block[3]
        if chance.random() < 0.3:
            rig.dispatcher.step()
    rig.settle()
    truths = captures.truths(folder)
    moved = rig.moved()
    stripes = {FID.parse(truth.fid) for truth in truths if truth.code == 0} & moved.keys()
    asked = [FID.parse(truth.fid) for truth in truths]
    found = rig.paths(*(moved[fid] if fid in stripes else fid for fid in asked))

    parents = named_by(folder)
    compared = 0
    for truth, paths in zip(truths, found, strict=True):
        fid = FID.parse(truth.fid)
        known = answerable(fid, parents)
        expected = [os.fsencode(path) for path in truth.paths] if known else []
        assert sorted(paths) == sorted([b"/"] if fid == ROOT_FID else expected), (truth, paths)
        compared += known
    counters = rig.writer.counters()
    kinds = ("named", "changed", "ignored", "unknown", "damaged")
    assert counters["records"] == records == sum(counters.get(kind, 0) for kind in kinds)
    assert compared > 0
    assert bool(stripes) == (folder == "14-striped-defmask")
    rig.close()
