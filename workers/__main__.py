"""`python -P -m workers`: a worker, set up by the service's file, until SIGTERM; or a trial by hand."""

from __future__ import annotations

import sys

# Without -P, `-m` puts the current directory first: a file rq.py in it would run in place of the module.
if not sys.flags.safe_path and not (__file__ or "").startswith(sys.path[0] + "/"):
    del sys.path[0]

import argparse
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lustre_events import llapi
from lustre_events.catalog import manifest, own_extractors, signature
from lustre_events.catalog.manifest import Manifest
from lustre_events.changelog.fid import FID
from lustre_events.config import settings as config
from lustre_events.config.settings import Settings, WorkerSettings
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.node import logs, process_metrics
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.connection import connect
from lustre_events.streams.results import RedisResults
from workers import approvals, listing, trial
from workers.container import ContainerRuntime, find_program
from workers.context import WorkerContext
from workers.files import Files, fid_of_lustre_fd, released_lustre_fd
from workers.image_upkeep import Upkeep
from workers.images import Images
from workers.privileges import Account, account_for
from workers.process import ProcessRuntime
from workers.quiet import quietly
from workers.rights import Rights
from workers.unpacked import ImageCache
from workers.walltime import Walltime
from workers.worker import Worker

log = logging.getLogger("workers")

SPARE_SECONDS = 15
"""What of a job's time is kept for opening files and storing results."""


def worker(settings: Settings, until: float | None = None) -> Worker:
    """Return the worker that `settings` describe, connected and ready to `work`; it leaves before `until`.

    Raises:
        LustreEventsError: a setting is wrong, Redis does not answer, or the runtime is missing.
    """
    if not settings.redis.url:
        raise ConfigError("[redis] url is empty; a worker needs to know where Redis is")
    own = settings.worker
    manifests, wrong = _installed(own)
    runtime, rights = _runtime(own), _rights(own)
    for sentence in [*wrong, *rights.said_at_start(manifests.values()), *runtime.prepare(list(manifests.values()))]:
        log.warning("%s", sentence, extra={"action": "prepare"})
    context = WorkerContext(
        manifests=manifests,
        runtime=runtime,
        files=_files(settings),
        results=RedisResults(connect(settings.redis.url, settings.redis.timeout_seconds)),
        host=socket.gethostname(),
        job_seconds=max(1, own.job_timeout_seconds - SPARE_SECONDS),
        rights=rights,
        extractors=manifest.folders(own.extractors),
        user_extractors=_users(own),
        mime=own.mime,
    )
    # RQ waits for a job nearly as long as the worker's time to live, within one command.
    client = connect(settings.redis.url, own.worker_ttl_seconds + settings.redis.timeout_seconds)
    upkeep = Upkeep(runtime, manifests, [sys.executable, "-P", "-m", "workers", *sys.argv[1:], "unpack"])
    walltime = None if until is None else Walltime(until, own.job_timeout_seconds)
    return Worker(own.queue, context, client, own.worker_ttl_seconds, upkeep, walltime)


def _installed(own: WorkerSettings) -> tuple[dict[str, Manifest], list[str]]:
    """Return the site's and the users' extractors, and what is wrong with users' ones."""
    folder = _users(own)
    users, wrong = own_extractors.load_users(folder) if folder else ({}, [])
    return manifest.load_all(manifest.folders(own.extractors)) | users, wrong


def _users(own: WorkerSettings) -> Path | None:
    return Path(own.user_extractors) if own.user_extractors else None


def _rights(own: WorkerSettings) -> Rights:
    account = None if own.run_as_owner else account_for(own.run_as)
    return Rights(account, own.run_as_owner, own.min_uid, lambda: approvals.read(Path(own.approved)))


def _runtime(own: WorkerSettings) -> ContainerRuntime | ProcessRuntime:
    account = _rights(own).account
    if own.runtime == "process":
        return ProcessRuntime(account)
    program = find_program()
    verify = partial(signature.refusal, program) if own.require_signed else None
    cache = _cache(own, program, account)
    images = Images(Path(own.images), own.default_image, cache, verify, _cached(own) / "signed")
    return ContainerRuntime(images, account, program)


def _cache(own: WorkerSettings, program: str, account: Account | None) -> ImageCache | None:
    if not own.unpack_images:
        return None
    return ImageCache(_cached(own), program, account or account_for(own.run_as))


def _cached(own: WorkerSettings) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    usual = (Path("/var/cache") if os.geteuid() == 0 else home) / "lustre-events" / "unpacked"
    return Path(own.image_cache) if own.image_cache else usual


def _by_hand(settings: Settings, arguments: argparse.Namespace) -> int:
    own = settings.worker
    if arguments.action == "look":
        return listing.serve(sys.stdin, lambda line: print(line, flush=True), _files(settings))  # noqa: T201
    if arguments.action == "unpack":
        return _unpack(own, arguments.names)
    manifest_ = trial.find(arguments.target, lambda: _installed(own)[0])
    runtime, rights = _runtime(own), _rights(own)
    seconds = max(1, own.job_timeout_seconds - SPARE_SECONDS)
    if arguments.action == "approve":
        approvals.write(Path(own.approved), manifest_, runtime.provenance(manifest_)["image_digest"])
        trial.say(f"{own.approved}: {manifest_.identity} {manifest_.version} may run as the owner of each file")
        return 0
    if arguments.action == "validate":
        return trial.validate(manifest_, runtime, seconds, trial.say)
    paths = [os.fsencode(path) for path in arguments.files]
    return trial.attempt(manifest_, paths, runtime, seconds, trial.say, as_json=arguments.json, rights=rights)


def _unpack(own: WorkerSettings, names: Sequence[str]) -> int:
    os.nice(19)
    runtime, installed = _runtime(own), _installed(own)[0]
    chosen = [installed[name] for name in names if name in installed]
    for sentence in runtime.unpack(chosen) if isinstance(runtime, ContainerRuntime) else ():
        log.warning("%s", sentence, extra={"action": "unpack"})
    return 0


def _files(settings: Settings) -> Files:
    mount = os.fsencode(settings.filesystem.mount)
    if settings.filesystem.source == "directory":
        with contextlib.suppress(OSError):  # the state of the source, where it lies in the tree
            own = fid_of_path(os.fsencode(Path(settings.filesystem.state) / "directory"))
            return Files(mount, fid_of_fd, hidden=own)
        return Files(mount, fid_of_fd)
    if os.geteuid() != 0:  # fid2path is root's, unless the client was mounted with user_fid2path
        return Files(mount, fid_of_lustre_fd, released=released_lustre_fd)
    library = llapi.load(settings.filesystem.library)

    def paths_of_fid(fid: FID) -> list[bytes]:
        return llapi.fid2path(library, mount, fid)

    return Files(mount, fid_of_lustre_fd, paths_of_fid, released_lustre_fd)


def _moment(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < _YEAR_3000:
        raise ValueError(text)
    return seconds


_YEAR_3000 = 32_503_680_000.0


def main() -> int:
    """Run one worker, or try one extractor, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -P -m workers", description=main.__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("LUSTRE_EVENTS_CONFIG"),
        help="settings (TOML), else $LUSTRE_EVENTS_CONFIG; variables for single settings win over it",
    )
    parser.add_argument(
        "--until",
        type=_moment,
        metavar="EPOCH_SECONDS",
        help="leave in good time before this moment (the end of a Slurm job): take no job for which it is too late",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", help="none: work")
    trying = actions.add_parser("try", help="run an extractor on files and print what it finds")
    trying.add_argument("--json", action="store_true", help="one JSON object per file")
    trying.add_argument("target", metavar="FOLDER|NAME")
    trying.add_argument("files", metavar="FILE", nargs="+")
    validating = actions.add_parser("validate", help="check an extractor's folder")
    validating.add_argument("target", metavar="FOLDER|NAME")
    approving = actions.add_parser("approve", help="let an extractor run as the owner of each file")
    approving.add_argument("target", metavar="NAME")
    actions.add_parser("look", help="answer questions about directories, as lines of JSON")
    unpacking = actions.add_parser("unpack", help="unpack images; a worker does that by itself")
    unpacking.add_argument("names", metavar="NAME", nargs="+")
    parser.add_argument("--as-mounted", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    level = logging.INFO if arguments.action in {None, "unpack"} else logging.ERROR
    logging.basicConfig(level=level, handlers=[logs.handler()])
    try:
        settings = config.load(arguments.config)
        if arguments.action:
            return _by_hand(settings, arguments)
        again = [sys.executable, "-P", "-m", "workers", *sys.argv[1:], "--as-mounted"]
        if not arguments.as_mounted and (command := quietly(settings.filesystem.mount, again)):
            os.execvp(command[0], command)  # noqa: S606 - this process itself, in a namespace of its own
        for number in (signal.SIGTERM, signal.SIGINT):  # until RQ's own handlers are there
            signal.signal(number, lambda *_: sys.exit(0))
        own = worker(settings, arguments.until)
        process_metrics.serve(settings.metrics.listen, "worker", settings.worker.queue)
        own.work(logging_level="WARNING")
    except LustreEventsError as exc:
        if arguments.action:
            sys.stderr.write(f"lustre-events: {exc}\n")
        else:
            log.error("%s", exc)  # noqa: TRY400 - an expected failure is one sentence
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
