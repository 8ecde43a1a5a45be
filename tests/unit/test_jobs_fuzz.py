"""Jobs of any content, as somebody with a worker's login may write them: each of their files has its answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.jobs.messages import HEAL, SCAN, STAT, Job, JobItem, encode_job
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.memory import MemoryResults, MemoryStore
from tests.support.profiles import examples
from tests.support.records.strategies import fids
from workers import jobs
from workers.context import CURRENT, WorkerContext
from workers.files import Files
from workers.runs import Runtime

pytestmark = pytest.mark.hypothesis  # the function that is drawn for is within the test

NAMES = (
    b"plain", b"folder", b"pipe", b"link", b"folder/inner", b"", b"/", b"..", b"../..", b"plain/x", b"/etc/passwd",
    b"\0", b"a\0b", b"\xff" * 300, b"x/" * 5_000, b"folder/../plain", b"link/passwd", b".",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    """What a worker of a folder stores."""
    (tmp_path / "plain").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("y")
    (tmp_path / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    made = MemoryStore()
    files = Files(os.fsencode(tmp_path), fid_of_fd)
    token = CURRENT.set(WorkerContext({}, cast("Runtime", None), files, MemoryResults(made), "here", 60))
    yield made
    CURRENT.reset(token)


def test_every_file_of_a_job_has_its_answer(store: MemoryStore, tmp_path: Path) -> None:
    """Whatever hints, FIDs and places to go on from a job names, no file of it leaves another without an answer."""
    known = [fid_of_path(os.fsencode(tmp_path / name)) for name in ("plain", "folder", "pipe", "folder/inner")]
    items = st.builds(
        JobItem, st.sampled_from(known) | fids, st.integers(0, 1 << 62),
        st.sampled_from(NAMES) | st.binary(max_size=9),
        after=st.sampled_from((b"", b"\0", b"a/b", b"\xff" * 300)) | st.binary(max_size=5),
    )  # fmt: skip
    results = MemoryResults(store)

    @examples(120, HealthCheck.function_scoped_fixture)
    @example(STAT, [JobItem(FID(1, 2, 0), 1, b"a\0b"), JobItem(known[0], 1, b"plain")])
    @given(
        st.sampled_from((STAT, HEAL, SCAN, "no-such", "../../x", "a/b/c", "\0", "")), st.lists(items, max_size=4)
    )
    def fuzz(extractor: str, asked: list[JobItem]) -> None:
        jobs.run(encode_job(Job("j", extractor, 1, -1, tuple(asked))))
        entries = results.read(100)
        assert {found.fid for _, each in entries for found in each} == {item.fid for item in asked}
        results.acknowledge([entry_id for entry_id, _ in entries])

    fuzz()
