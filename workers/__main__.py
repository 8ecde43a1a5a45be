"""`python -m workers`: a worker, configured by the same file as the service, until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

from lustre_events import config, llapi, manifest
from lustre_events.config import Settings
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.fid import FID
from lustre_events.sources.local_fid import fid_of_fd
from lustre_events.streams.connection import connect
from lustre_events.streams.results import RedisResults
from workers.container import ContainerRuntime
from workers.context import WorkerContext
from workers.files import Files, fid_of_lustre_fd
from workers.privileges import account_for
from workers.process import ProcessRuntime
from workers.worker import Worker

log = logging.getLogger("workers")

SPARE_SECONDS = 15
"""What of a job's time is kept for opening files and storing results."""


def worker(settings: Settings) -> Worker:
    """Return the worker that `settings` describe, connected and ready to `work`.

    Raises:
        LustreEventsError: a setting is wrong, Redis does not answer, or the runtime is missing.
    """
    if not settings.redis.url:
        raise ConfigError("[redis] url is empty; a worker needs to know where Redis is")
    own = settings.worker
    manifests = manifest.load_all(manifest.folders(own.extractors))
    account = account_for(own.run_as)
    runtime: ContainerRuntime | ProcessRuntime
    if own.runtime == "apptainer":
        runtime = ContainerRuntime(Path(own.images), account)
        for sentence in runtime.prepare(manifests):
            log.warning("%s", sentence, extra={"action": "prepare"})
    else:
        runtime = ProcessRuntime(account)
    context = WorkerContext(
        manifests=manifests,
        runtime=runtime,
        files=_files(settings),
        results=RedisResults(connect(settings.redis.url, settings.redis.timeout_seconds)),
        host=socket.gethostname(),
        job_seconds=max(1, own.job_timeout_seconds - SPARE_SECONDS),
    )
    # RQ waits for a job nearly as long as the worker's time to live, within one command.
    client = connect(settings.redis.url, own.worker_ttl_seconds + settings.redis.timeout_seconds)
    return Worker(own.queue, context, client, own.worker_ttl_seconds)


def _files(settings: Settings) -> Files:
    mount = os.fsencode(settings.filesystem.mount)
    if settings.filesystem.source == "directory":
        return Files(mount, fid_of_fd)
    if os.geteuid() != 0:  # fid2path is root's, unless the client was mounted with user_fid2path
        return Files(mount, fid_of_lustre_fd)
    library = llapi.load(settings.filesystem.library)

    def path_of_fid(fid: FID) -> bytes | None:
        return next(iter(llapi.fid2path(library, mount, fid)), None)

    return Files(mount, fid_of_lustre_fd, path_of_fid)


def main() -> int:
    """Run one worker and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=main.__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("LUSTRE_EVENTS_CONFIG"),
        help="settings (TOML), else $LUSTRE_EVENTS_CONFIG; variables for single settings win over it",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s: %(message)s")
    try:
        worker(config.load(arguments.config)).work(logging_level="WARNING")
    except LustreEventsError as exc:
        log.error("%s", exc)  # noqa: TRY400 - an expected failure is one sentence
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
