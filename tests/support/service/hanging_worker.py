"""A worker whose jobs never end, as a process.

python -m tests.support.service.hanging_worker REDIS_URL SECONDS JOB_SECONDS

It has SECONDS from when it begins to work, and writes the end of them (in seconds since the epoch) first.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, cast

from lustre_events.jobs.messages import JobItem
from lustre_events.streams.connection import connect
from lustre_events.streams.results import RedisResults
from workers.context import WorkerContext
from workers.files import Files
from workers.image_upkeep import ImageUpkeep
from workers.process_runtime import ProcessRuntime
from workers.walltime import Walltime
from workers.worker import Worker


class Hanging:
    """Files on a file system that does not answer."""

    def open(self, item: JobItem) -> None:
        """Wait."""
        os.write(2, b"opening %a\n" % str(item.fid))
        time.sleep(600)


def main() -> int:
    """Work until the time is up."""
    url, seconds, job_seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    runtime = ProcessRuntime(None)
    files = cast("Files", Hanging())
    context = WorkerContext({}, runtime, files, RedisResults(connect(url, 5)), "here", 600)
    upkeep: Any = ImageUpkeep(runtime, {}, ["false"])
    until = time.time() + seconds
    os.write(2, b"until %a\n" % until)
    Worker("default", context, connect(url, 20), 20, upkeep, Walltime(until, job_seconds)).work()
    return 0


if __name__ == "__main__":
    sys.exit(main())
