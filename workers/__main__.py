"""`python -m workers`: a worker, configured by the same file as the service, until SIGTERM; or a trial by hand."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from lustre_events import config, llapi, manifest
from lustre_events.config import Settings, WorkerSettings
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.fid import FID
from lustre_events.sources.local_fid import fid_of_fd
from lustre_events.streams.connection import connect
from lustre_events.streams.results import RedisResults
from workers import trial
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
    runtime = _runtime(own)
    if isinstance(runtime, ContainerRuntime):
        for sentence in runtime.prepare(manifests):
            log.warning("%s", sentence, extra={"action": "prepare"})
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


def _runtime(own: WorkerSettings) -> ContainerRuntime | ProcessRuntime:
    account = account_for(own.run_as)
    return ContainerRuntime(Path(own.images), account) if own.runtime == "apptainer" else ProcessRuntime(account)


def _try(settings: Settings, arguments: argparse.Namespace) -> int:
    own = settings.worker
    manifest_ = trial.find(arguments.target, lambda: manifest.load_all(manifest.folders(own.extractors)))
    seconds = max(1, own.job_timeout_seconds - SPARE_SECONDS)
    if arguments.action == "validate":
        return trial.validate(manifest_, _runtime(own), seconds, trial.say)
    paths = [os.fsencode(path) for path in arguments.files]
    return trial.attempt(manifest_, paths, _runtime(own), seconds, trial.say, as_json=arguments.json)


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
    """Run one worker, or try one extractor, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=main.__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("LUSTRE_EVENTS_CONFIG"),
        help="settings (TOML), else $LUSTRE_EVENTS_CONFIG; variables for single settings win over it",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", help="none: work")
    trying = actions.add_parser("try", help="run an extractor on files and print what it finds")
    trying.add_argument("--json", action="store_true", help="one JSON object per file")
    trying.add_argument("target", metavar="FOLDER|NAME")
    trying.add_argument("files", metavar="FILE", nargs="+")
    validating = actions.add_parser("validate", help="check an extractor's folder")
    validating.add_argument("target", metavar="FOLDER|NAME")
    arguments = parser.parse_args()
    level = logging.ERROR if arguments.action else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(name)s %(levelname)s: %(message)s")
    try:
        settings = config.load(arguments.config)
        if arguments.action:
            return _try(settings, arguments)
        for number in (signal.SIGTERM, signal.SIGINT):  # until RQ's own handlers are there
            signal.signal(number, lambda *_: sys.exit(0))
        worker(settings).work(logging_level="WARNING")
    except LustreEventsError as exc:
        if arguments.action:
            sys.stderr.write(f"lustre-events: {exc}\n")
        else:
            log.error("%s", exc)  # noqa: TRY400 - an expected failure is one sentence
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
