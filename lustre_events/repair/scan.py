"""Scan, verify and reconcile as commands do them: questions to the file system, requests to the dispatcher."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.config.settings import Settings
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.opening import open_backend
from lustre_events.repair.listing import Looker, steps
from lustre_events.repair.verify import FACTS, MISSING, OTHER, STALE, Difference, Outcome, verify
from lustre_events.streams.interface import RecordStreams, Requests

POLL_SECONDS = 0.5
PORTION = 1_000
REPAIR = "repair"


class ScanProgress(msgspec.Struct, frozen=True):
    """How far a scan is; `unreadable` are paths and reasons."""

    directories: int
    files: int
    left: int
    unreadable: list[tuple[bytes, str]]


def begin(requests: Requests, settings: Settings, config_path: str | None, path: str) -> int:
    """Begin a scan below `path` and return its id. Raises ConfigError, StreamUnavailable."""
    with Looker(config_path) as looker:
        way = steps(settings, looker, path)
    return int(_scan(requests, way)["scan"])


def progress(requests: Requests, scan: int, poll_seconds: float = POLL_SECONDS) -> Iterator[ScanProgress]:
    """Yield how far a scan is until nothing is left. Raises ConfigError, StreamUnavailable."""
    while True:
        said = requests.ask("scan-progress", {"scan": scan})
        unreadable = [(unquote_to_bytes(path), error) for path, error in said["unreadable"]]
        at = ScanProgress(said["directories"], said["files"], said["left"], unreadable)
        yield at
        if not at.left:
            return
        time.sleep(poll_seconds)


def compare(  # noqa: PLR0917 - what the command was given
    settings: Settings, config_path: str | None, index_url: str, path: str, share: float,
    say: Callable[[Outcome], None], chance: random.Random,
) -> Outcome:  # fmt: skip
    """Compare index and file system below `path`. Raises ConfigError, IndexUnavailable."""
    backend = open_backend(index_url)
    try:
        with Looker(config_path) as looker:
            way = steps(settings, looker, path)
            top = (b"/".join(name for name, _ in way), way[-1][1] if way else ROOT_FID)
            return verify(looker, backend, top, share, say, chance)
    finally:
        backend.close()


def repair(requests: Requests, config_path: str | None, differences: Sequence[Difference]) -> None:
    """Have differences repaired: directories are listed, missing trees scanned, objects looked at."""
    with Looker(config_path) as looker:
        for tree in _missing_trees(differences):
            names = tree.path.split(b"/")
            _scan(requests, [(name, looker.fid(b"/".join(names[: at + 1]))) for at, name in enumerate(names)])
    by_key: dict[str, set[FID]] = {"directories": set(), "objects": set(), "stale": set()}
    for each in differences:
        key = {FACTS: "objects", STALE: "stale"}.get(each.kind, "directories")
        by_key[key].add(each.parent if key == "directories" else each.fid)
    for key, fids in by_key.items():
        ordered = sorted(fids)
        for start in range(0, len(ordered), PORTION):
            requests.ask(REPAIR, {key: [str(fid) for fid in ordered[start : start + PORTION]]})


def _missing_trees(differences: Sequence[Difference]) -> list[Difference]:
    """Return the directories that the index does not have, without those below another one."""
    trees = [each for each in differences if each.directory and each.kind in {MISSING, OTHER}]
    return [each for each in trees if not any(each.path.startswith(other.path + b"/") for other in trees)]


def last_losses(streams: RecordStreams, mdts: Sequence[str]) -> dict[str, int]:
    """Return for each MDT with losses that nobody accepted the time of the last of them, in ns."""
    found = {mdt: [loss.time_ns for loss in streams.continuity(mdt) if not loss.accepted] for mdt in mdts}
    return {mdt: max(times) for mdt, times in found.items() if times}


def wait_for_dispatcher(requests: Requests) -> None:
    """Return when a dispatcher has compared the index with all streams. Raises StreamUnavailable: there is none.

    It does so before it answers anybody, so whatever an older index misses is marked then.
    """
    requests.ask(REPAIR, {})


def wait_for_clocks(settings: Settings, losses: Mapping[str, int]) -> None:
    """Wait until a scan that begins now overrules everything from before the losses, whatever the clocks say."""
    wait_ns = max(losses.values()) + int(2 * settings.dispatcher.skew_seconds * SECOND_NS) - time.time_ns()
    time.sleep(max(0.0, min(wait_ns / SECOND_NS, 2 * settings.dispatcher.skew_seconds)))


def _scan(requests: Requests, way: Sequence[tuple[bytes, FID]]) -> dict[str, Any]:
    return requests.ask("scan", {"path": [[quote_from_bytes(name), str(fid)] for name, fid in way]})
