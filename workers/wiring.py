"""What the settings describe, put together: a worker, its extractors, its runtime and whose rights they get."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rq.defaults import RQ_KEY_PREFIX

from lustre_events import llapi
from lustre_events.actions.seal import WORKER, read_seal
from lustre_events.actions.sealed_jobs import PoolSeal
from lustre_events.actions.slurm_commands import SlurmCommands
from lustre_events.catalog import action_folders, manifest, own_extractors, signature
from lustre_events.catalog.catalog import read_endpoints
from lustre_events.catalog.manifest import Manifest
from lustre_events.changelog.fid import FID
from lustre_events.config.places import worker_key
from lustre_events.config.settings import Settings, WorkerSettings
from lustre_events.errors import ConfigError
from lustre_events.jobs import pools
from lustre_events.jobs.messages import ACTIONS_QUEUE, BUILTIN_QUEUE, TRANSFERS_QUEUE
from lustre_events.jobs.queues import RQ
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.connection import connect
from lustre_events.streams.deliveries import RunAnswers
from lustre_events.streams.documents import RoutedResults, documents_key, results_key
from lustre_events.streams.results import RedisResults
from workers import approvals
from workers.action_jobs import ActionExecutor
from workers.container import ContainerRuntime, find_program
from workers.context import WorkerContext
from workers.file_copies import Transfers
from workers.files import Files, fid_of_lustre_fd, released_lustre_fd
from workers.image_upkeep import ImageUpkeep
from workers.images import Images
from workers.leftovers import Leftovers
from workers.lustre_facts import lustre_facts_of_fd
from workers.privileges import Account, account_for
from workers.process_runtime import ProcessRuntime
from workers.redis_full import RoomRetry
from workers.rights import Rights
from workers.runs import ActionRuntime
from workers.slurm_jobs import SlurmJobs
from workers.unpacked import ImageCache
from workers.walltime import Walltime
from workers.worker import Worker

log = logging.getLogger("workers")

SPARE_SECONDS = 15
"""What of a job's time is kept for opening files and storing results."""


def job_seconds(own: WorkerSettings) -> float:
    """Return how long the extractors of one job may take together."""
    return max(1, own.job_timeout_seconds - SPARE_SECONDS)


def for_queue(settings: Settings, queue: str) -> Settings:
    """Return the settings of a worker that serves one of the queues which have workers of their own.

    `queue`: BUILTIN_QUEUE, ACTIONS_QUEUE or TRANSFERS_QUEUE; empty: they stay as they are. Raises ConfigError.
    """
    if queue == BUILTIN_QUEUE:
        return for_builtin(settings)
    return for_actions(settings, queue) if queue else settings


def for_builtin(settings: Settings) -> Settings:
    """Return the settings of a worker that serves only what is built in: it runs no extractor and no container.

    Raises ConfigError: it is a worker of a pool.
    """
    if settings.worker.pool:
        raise ConfigError(
            f"what is built in is for the site's workers, and this is a node of the pool {settings.worker.pool}; "
            "start no worker with --instance builtin here"
        )
    own = replace(settings.worker, queue=BUILTIN_QUEUE, runtime="process", user_extractors="", unpack_images=False)
    return replace(settings, worker=own)


def for_actions(settings: Settings, queue: str) -> Settings:
    """Return the settings of a worker that serves runs of actions alone; one for copies needs no container."""
    own = replace(settings.worker, queue=queue, user_extractors="", pool="")
    if queue == TRANSFERS_QUEUE:
        own = replace(own, runtime="process", unpack_images=False)
    return replace(settings, worker=own)


def actions_in(settings: Settings) -> dict[str, Manifest]:
    """Return the actions that are installed here, by name. Raises ManifestError."""
    found = action_folders.load_all(tuple(map(Path, settings.actions.folders)))
    return {name: each.manifest for name, each in found.items()}


def actions_of(settings: Settings, runtime: ActionRuntime, rights: Rights, answers: RunAnswers) -> ActionExecutor:
    """Return what runs actions here. Raises ConfigError: its key is not there, or no folder is named."""
    _check_actions(settings)
    own, files = settings.actions, files_of(settings)
    seal = read_seal(worker_key(settings), WORKER)
    folders = tuple(map(Path, own.folders))
    scripts = Path(own.slurm_scripts) if own.slurm_scripts else None
    jobs = scripts and SlurmJobs(scripts, files, rights, SlurmCommands(), own.slurm_poll_seconds)
    at = Path(own.endpoints) if own.endpoints else None
    copies = Transfers(partial(read_endpoints, at), files, rights) if own.transfers else None
    notes = Leftovers(notes_folder(settings, os.environ), files.mount, rights)
    users = Path(own.user_actions) if own.user_actions else None
    return ActionExecutor(
        seal,
        folders,
        files,
        runtime,
        rights,
        answers,
        notes,
        jobs=jobs or None,
        transfers=copies,
        user_actions=users,
        copies_only=settings.worker.queue == TRANSFERS_QUEUE,
    )


def _check_actions(settings: Settings) -> None:
    """Refuse a worker for actions that would have nothing to do. Raises ConfigError."""
    own = settings.actions
    if not own.folders and not own.user_actions and not own.slurm_scripts and not own.transfers:
        raise ConfigError(
            "[actions] folders, user_actions and slurm_scripts are empty, and transfers is false; name folders with"
            " actions or job scripts, or stop the worker for them"
        )
    if settings.worker.queue == TRANSFERS_QUEUE and not own.transfers:
        raise ConfigError("[actions] transfers is false, so nothing is copied here; set it, or stop this worker")


def notes_folder(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Return where attempts are noted: in the state of the worker's unit, which is root's; else in the node's."""
    return Path(environ.get("STATE_DIRECTORY") or settings.filesystem.state) / "attempts"


def worker(settings: Settings, until: float | None = None, beat: Callable[[], None] = lambda: None) -> Worker:
    """Return the worker that `settings` describe, connected and ready to `work`; it leaves before `until`.

    `beat` is called whenever it gives a sign of life, also while a job runs.

    Raises:
        LustreEventsError: a setting is wrong, Redis does not answer, or the runtime is missing.
    """
    if not settings.redis.url:
        raise ConfigError("[redis] url is empty; a worker needs to know where Redis is")
    own, seal = settings.worker, seal_of(settings.worker)
    pool = "" if seal is None else own.pool
    acting = own.queue in {ACTIONS_QUEUE, TRANSFERS_QUEUE} and seal is None
    manifests, wrong = ({}, []) if own.queue == BUILTIN_QUEUE or acting else installed(own)
    runtime, rights = runtime_of(own), rights_of(own)
    answers = connect(settings.redis.url, settings.redis.timeout_seconds)
    results = RedisResults(answers, results_key(pool))
    for sentence in [*wrong, *rights.said_at_start(manifests.values()), *runtime.prepare(list(manifests.values()))]:
        log.warning("%s", sentence, extra={"action": "prepare"})
    context = WorkerContext(
        manifests=manifests,
        runtime=runtime,
        files=files_of(settings),
        results=results,
        documents=RoutedResults(RedisResults(answers, documents_key(pool)), results),
        host=socket.gethostname(),
        job_seconds=job_seconds(own),
        rights=rights,
        extractors=manifest.folders(own.extractors),
        user_extractors=_users(own),
        mime=own.mime,
        seal=seal,
        xattrs=own.xattrs,
        actions=actions_of(settings, runtime, rights, RunAnswers(answers)) if acting else None,
    )
    # RQ waits for a job nearly as long as the worker's time to live, within one command; and gives up at once.
    room = RoomRetry()
    client = connect(settings.redis.url, own.worker_ttl_seconds + settings.redis.timeout_seconds, room)
    upkeep = ImageUpkeep(runtime, manifests, [sys.executable, "-P", "-m", "workers", *sys.argv[1:], "unpack"])
    walltime = None if until is None else Walltime(until, own.job_timeout_seconds)
    queue = own.queue if seal is None else pools.queue_of(own.pool)
    made = Worker(queue, context, client, own.worker_ttl_seconds, upkeep, walltime, beat)
    room.goes_on = partial(made.waits_for_room, answers)
    return made


def rq_prefix(own: WorkerSettings) -> str:
    """Return what RQ's keys begin with for this worker. Raises ConfigError: its pool can have no such name."""
    if own.pool and not pools.is_name(own.pool):
        raise ConfigError(f"[worker] pool = {own.pool!r} is not a name of a pool; write it as `pool list` does")
    return pools.rq_prefix(own.pool) if own.pool else RQ


def seal_of(own: WorkerSettings) -> PoolSeal | None:
    """Return what opens the jobs of this worker's pool; None: it has none. Raises ConfigError."""
    if not own.pool:
        return None
    prefix = rq_prefix(own)
    if not own.pool_key:
        raise ConfigError(f"the pool {own.pool} needs its key: set [worker] pool_key to the file by `pool add`")
    if prefix != RQ_KEY_PREFIX:
        raise ConfigError(f"a worker of the pool {own.pool} needs RQ_KEY_PREFIX={prefix}; start it by "
                          "`lustre-events worker`, which sets it")  # fmt: skip
    return PoolSeal(own.pool, read_seal(Path(own.pool_key)))


def installed(own: WorkerSettings) -> tuple[dict[str, Manifest], list[str]]:
    """Return the site's and the users' extractors, and what is wrong with users' ones."""
    folder = _users(own)
    users, wrong = own_extractors.together(*own_extractors.load_users(folder)) if folder else ({}, [])
    return manifest.load_all(manifest.folders(own.extractors)) | users, wrong


def _users(own: WorkerSettings) -> Path | None:
    return Path(own.user_extractors) if own.user_extractors else None


def rights_of(own: WorkerSettings) -> Rights:
    """Return whose rights extractors get here. Raises ConfigError: `run_as` is no account for them."""
    account = None if own.run_as_owner else account_for(own.run_as)
    return Rights(account, own.run_as_owner, own.min_uid, lambda: approvals.read(Path(own.approved)))


def runtime_of(own: WorkerSettings) -> ContainerRuntime | ProcessRuntime:
    """Return how extractors run here. Raises LustreEventsError: the runtime is missing, or a setting is wrong."""
    account = rights_of(own).account
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


def files_of(settings: Settings) -> Files:
    """Return how files are opened by their FIDs."""
    mount = os.fsencode(settings.filesystem.mount)
    if settings.filesystem.source == "directory":
        with contextlib.suppress(OSError):  # the state of the source, where it lies in the tree
            own = fid_of_path(os.fsencode(Path(settings.filesystem.state) / "directory"))
            return Files(mount, fid_of_fd, hidden=own)
        return Files(mount, fid_of_fd)
    if os.geteuid() != 0:  # fid2path is root's, unless the client was mounted with user_fid2path
        return Files(mount, fid_of_lustre_fd, released=released_lustre_fd, lustre_facts=lustre_facts_of_fd)
    library = llapi.load(settings.filesystem.library)

    def paths_of_fid(fid: FID) -> list[bytes]:
        return llapi.fid2path(library, mount, fid)

    return Files(mount, fid_of_lustre_fd, paths_of_fid, released_lustre_fd, lustre_facts=lustre_facts_of_fd)
