"""The doctor's round: which checks a role needs, and what to say where one cannot even begin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from lustre_events.catalog import manifest, signature
from lustre_events.changelog import users
from lustre_events.changelog.lctl import Lctl
from lustre_events.config.settings import Settings
from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import ChangelogUserUnknown, LustreEventsError, StreamDamaged, StreamForbidden
from lustre_events.index.opening import search_lag
from lustre_events.index.urls import is_postgresql, shown, sqlite_path
from lustre_events.jobs.messages import BUILTIN_QUEUE
from lustre_events.node import status_report, wiring
from lustre_events.node.doctor import (
    changelog,
    extractor_images,
    node,
    redis,
    service,
    slurm_client,
    space,
    transfer_programs,
    units,
)
from lustre_events.node.doctor.findings import Finding, info, ok, refused
from lustre_events.node.roles import EXAMINED, ROLES

Check = Callable[[Settings, str], Iterator[Finding]]


def examine(settings: Settings, index_url: str, roles: Collection[str] = EXAMINED) -> Iterator[Finding]:
    """Yield what there is to say about this node in its roles; nothing is changed, nothing is waited for long."""
    needed = {name for role in roles for name in ROLES[role].checks}
    for name, (subject, check) in CHECKS.items():
        if name not in needed:
            continue
        try:
            yield from check(settings, index_url)
        except StreamForbidden:
            yield info(subject, "not checked: this login may not, and its role does not need it")
        except LustreEventsError as exc:
            yield refused(subject, exc)


def _filesystem(settings: Settings, _url: str) -> Iterator[Finding]:
    own = settings.filesystem
    yield from changelog.mount(own.mount, own.source, changelog.MOUNTS.read_text(encoding="utf-8"))


def _changelog(settings: Settings, _url: str) -> Iterator[Finding]:
    own = settings.filesystem
    if own.source != "lustre":
        return
    yield from changelog.library(own.library)
    found = wiring.discovered(settings)
    yield from changelog.devices(Path(own.devices), found)
    lctl = Lctl(own.lctl)
    kinds = _kinds(wiring.load_rules(settings))
    for mdt in found:
        listed = lctl.users(mdt)
        try:
            kept = users.recall(Path(own.state), mdt)
            user = users.own_id(settings.reader, listed, found, kept)
        except ChangelogUserUnknown as exc:
            if not kept and not _has_read(settings, mdt):
                yield info(f"changelog {mdt}", "no changelog user of ours is registered yet",
                           f"lustre-events changelog register --mdt {mdt}")  # fmt: skip
            else:
                yield refused(f"changelog {mdt}", exc)
            continue
        except LustreEventsError as exc:
            yield refused(f"changelog {mdt}", exc)
            continue
        yield from changelog.user(listed, user, lctl.mask(mdt), kinds)


def _has_read(settings: Settings, mdt: str) -> bool:
    """Return whether a reader of an MDT has ever said anything; where Redis is away that is not known, so no."""
    try:
        return bool(wiring.streams(settings).reader_state(mdt))
    except LustreEventsError:
        return False


def _kinds(rules: Rules) -> set[Kind]:
    """Return what rules want to hear of; the built-in `stat` wants to hear of content and attributes."""
    asked = [each for rule in rules.all() for each in rule.conditions if each.key == "events"]
    return {Kind.CONTENT, Kind.ATTRIBUTES, *(kind for each in asked for kind in each.value)}


def _redis(settings: Settings, _url: str) -> Iterator[Finding]:
    with wiring.redis_client(settings) as client:
        yield from redis.login(client)
        yield from redis.safety(client)


def _transactions(settings: Settings, _url: str) -> Iterator[Finding]:
    with wiring.redis_client(settings) as client:
        yield from redis.transactions(client)


def _clocks(settings: Settings, _url: str) -> Iterator[Finding]:
    streams = wiring.streams(settings)
    readers: dict[str, dict[str, str]] = {}
    for mdt in streams.mdts():
        try:
            readers[mdt] = streams.reader_state(mdt)
        except StreamDamaged as exc:  # of this MDT only
            yield refused(f"clocks {mdt}", exc)
    with wiring.redis_client(settings) as client:
        yield from redis.clocks(client, readers)


def _rules(settings: Settings, _url: str) -> Iterator[Finding]:
    found = wiring.load_rules(settings)
    named = f"{len(found.rules)} rules of {settings.dispatcher.rules}" if found.rules else "no rules: only `stat`"
    yield ok("rules", named)


def _service(settings: Settings, url: str) -> Iterator[Finding]:
    status = status_report.status(settings, url, index_may_be_away=True)
    yield from service.index(status, shown(url))
    yield from service.standby(settings.index.search_url, settings.index.search_lag_seconds, search_lag)
    if not service.begun(status) and status.rq is not None:
        yield info(
            "service", "no dispatcher has ever run with this Redis", "systemctl start lustre-events-dispatcher"
        )
        return
    yield from service.problems(status)
    yield from service.readers(status, settings.filesystem.mdts)
    yield from service.dispatcher(status)
    yield from service.indexers(status, settings.index.indexers)
    named = {*wiring.load_rules(settings).queues, *wiring.queues_of_actions(settings), settings.worker.queue}
    yield from service.queues(status, {*named, BUILTIN_QUEUE})
    yield from service.groups(status)
    yield from service.history(status)
    yield from service.extractors(status)
    yield from service.actions(status)
    yield from service.trouble(status)
    yield from service.keys(status)
    yield from service.rules(status)


def _named(settings: Settings) -> set[str] | None:
    """Return the extractors that rules name; None: this node has no rules of its own to look at."""
    path = settings.dispatcher.rules
    if path and not Path(path).exists():
        return None
    return set(wiring.load_rules(settings).extractors)


def _space(settings: Settings, url: str) -> Iterator[Finding]:
    if not is_postgresql(url):
        yield from space.index(sqlite_path(url))
    with wiring.redis_client(settings) as client:
        yield from space.redis(redis.folder(client))


def _history(settings: Settings, _url: str) -> Iterator[Finding]:
    own = settings.history
    if own.days:
        yield from space.history(Path(own.folder), own.max_bytes)
    else:
        yield info("history", "none is kept ([history] days is 0)", "to keep one: set days in [history]")


def _units(_settings: Settings, _url: str) -> Iterator[Finding]:
    yield from units.look()


def _worker(settings: Settings, _url: str) -> Iterator[Finding]:
    own = settings.worker
    if settings.actions.slurm_scripts:
        yield from slurm_client.look(Path(settings.actions.slurm_scripts))
    if settings.actions.transfers:
        yield from transfer_programs.look(wiring.endpoints(settings), Path(own.approved))
    yield from node.runtime(own.runtime)
    if own.runtime != "apptainer":
        return
    yield from node.kernel()
    yield from node.cgroups()
    known = manifest.load_all(manifest.folders(own.extractors))
    program = shutil.which("apptainer") or shutil.which("singularity") or "apptainer"
    verify = partial(signature.refusal, program) if own.require_signed else None
    yield from extractor_images.images(known, Path(own.images), own.default_image, verify, _named(settings))
    if os.geteuid() != 0:
        return
    if own.run_as_owner:
        yield from extractor_images.open_to_all(Path(own.images))
    else:
        yield from extractor_images.open_to(own.run_as, Path(own.images))


def _endpoints(settings: Settings, _url: str) -> Iterator[Finding]:
    found = wiring.endpoints(settings)
    if found:
        yield from node.libraries(found)


CHECKS: dict[str, tuple[str, Check]] = {
    "mount": ("mount", _filesystem),
    "changelog": ("changelog", _changelog),
    "redis": ("Redis", _redis),
    "transactions": ("Redis transactions", _transactions),
    "clocks": ("clocks", _clocks),
    "rules": ("rules", _rules),
    "service": ("index", _service),
    "worker": ("worker", _worker),
    "space": ("disk", _space),
    "history": ("history", _history),
    "endpoints": ("endpoints", _endpoints),
    "units": ("units", _units),
}
"""By the names that node/roles.py has, in this order: what it is about, and what looks at it."""
