"""Workers on a real directory, in this process: they take a Rig's jobs and answer them as workers do."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import cast

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.jobs.messages import BUILT_IN, encode_job
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from tests.support.model.dispatcher import Rig
from workers import jobs
from workers.context import CURRENT, WorkerContext
from workers.files import Files
from workers.runs import Runtime


class TreeWorkers:
    """Answers the built-in extractors' jobs; the other jobs stay in the queue. `tells`: there is a fid2path.

    For the FIDs in `stripes` it gives another object's path.
    """

    def __init__(self, rig: Rig, top: Path, *, tells: bool = False) -> None:
        self.rig = rig
        self.top = top
        self.stripes: dict[FID, bytes] = {}
        self.context = WorkerContext(
            manifests={}, runtime=cast("Runtime", None), host="here", job_seconds=60, results=rig.results,
            files=Files(os.fsencode(top), fid_of_fd, self._paths if tells else None),
        )  # fmt: skip

    def work(self, extractors: Collection[str] = BUILT_IN, most: int = 1_000_000) -> int:
        """Run the jobs that wait, at most `most`; return how many."""
        done = 0
        token = CURRENT.set(self.context)
        try:
            for name in sorted(extractors):
                for job in self.rig.queue.take(extractor=name):
                    if done < most:
                        jobs.run(encode_job(job))
                        done += 1
        finally:
            CURRENT.reset(token)
        return done

    def settle(self, extractors: Collection[str] = BUILT_IN) -> None:
        """Step and work until nothing is due."""
        busy = True
        while busy:
            self.rig.settle()
            self.rig.pass_seconds(1)  # where jobs wait, fuller ones are waited for
            self.rig.settle()
            busy = self.work(extractors) > 0

    def scan(self) -> int:
        """Ask for a scan of the whole tree and return its id."""
        return int(self.rig.ask("scan", path=[])["scan"])

    def fid(self, path: str) -> FID:
        """Return the FID at a path below the top."""
        return fid_of_path(os.fsencode(self.top / path)) if path else ROOT_FID

    def _paths(self, fid: FID) -> list[bytes]:
        if fid in self.stripes:
            return [self.stripes[fid]]
        return [b""] if fid == ROOT_FID else [path for path, each in self.truth().items() if each == fid]

    def names(self) -> dict[bytes, FID]:
        """Return all paths of the index below the top, with their FIDs."""
        links = self.rig.select("SELECT fid FROM link WHERE fid IS NOT NULL")
        fids = {FID.unpack(bytes(fid)) for fid in links}
        with self.rig.writer.transaction() as transaction:
            return {path: fid for fid, paths in transaction.paths(fids).items() for path in paths}

    def truth(self) -> dict[bytes, FID]:
        """Return the same by the file system."""
        found = {}
        for folder, directories, files in os.walk(os.fsencode(self.top)):
            for name in [*directories, *files]:
                path = os.path.join(folder, name)  # noqa: PTH118 - bytes
                found[os.path.relpath(path, os.fsencode(self.top))] = fid_of_path(path)
        return found
