"""An extractor run by hand, before any rule sends it files: `python -P -m workers try` and `validate`.

It goes the way of every job: the same opening of files, the same runtime with the same limits, the same check of
documents. Only the results are printed instead of stored.
"""

from __future__ import annotations

import contextvars
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lustre_events.catalog.manifest import ACTION, FILE_NAME, Manifest, load
from lustre_events.config.nearest import nearest
from lustre_events.errors import ConfigError, UnknownExtractor
from lustre_events.jobs.messages import Job, JobItem, Result, encode_job
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from lustre_events.streams.memory import MemoryResults, MemoryStore
from workers import jobs
from workers.container import ContainerRuntime
from workers.context import CURRENT, WorkerContext
from workers.contract import readable
from workers.files import Files
from workers.rights import Rights
from workers.runs import PROGRAM_PATH, Runtime

FAILED = 7
"""The exit code where a file has no document, as of an ExtractorError."""
SAMPLES = "samples"
BAD = "bad-"
"""A sample whose name begins with this must fail."""

Say = Callable[[str], None]


def find(target: str, installed: Callable[[], dict[str, Manifest]]) -> Manifest:
    """Return the extractor in the folder `target`, or the installed one of that name.

    Raises:
        UnknownExtractor: there is neither.
        ManifestError: its manifest is wrong.
    """
    folder = Path(target)
    if (folder / FILE_NAME).is_file() or "/" in target:
        return load(folder.absolute())
    found = installed()
    if target not in found:
        raise UnknownExtractor(
            f"{target}: no folder with an extractor, and none is installed{nearest(target, found)}"
        )
    return found[target]


def find_one(target: str, kinds: Mapping[str, Callable[[], dict[str, Manifest]]]) -> Manifest:
    """Return the program of one of some kinds; see `find`.

    Raises:
        ConfigError: several kinds have one of this name.
    """
    known = {kind: installed() for kind, installed in kinds.items()}
    having = [kind for kind, found in known.items() if target in found]
    if len(having) > 1:
        raise ConfigError(f"{target}: {' and '.join(having)} have this name; say which: --kind {having[-1]}")
    return find(target, lambda: {name: each for found in known.values() for name, each in found.items()})


def extract(
    manifest: Manifest, paths: Sequence[bytes], runtime: Runtime, seconds: float, rights: Rights | None = None
) -> list[Result]:
    """Return what `manifest` makes of the files at `paths`, in their order.

    Raises:
        ConfigError: a file is not there.
    """
    results = MemoryResults(MemoryStore())
    context = WorkerContext(
        manifests={manifest.identity: manifest},
        runtime=runtime,
        files=Files(b"/", fid_of_fd),
        results=results,
        host=socket.gethostname(),
        job_seconds=seconds,
        rights=rights,
    )
    payload = encode_job(Job("try", manifest.identity, 0, -1, tuple(map(_item, paths))))

    def job() -> None:
        CURRENT.set(context)
        jobs.run(payload)

    contextvars.copy_context().run(job)
    return [result for _, found in results.read(len(paths)) for result in found]


def attempt(
    manifest: Manifest,
    paths: Sequence[bytes],
    runtime: Runtime,
    seconds: float,
    say: Say,
    *,
    as_json: bool,
    rights: Rights | None = None,
) -> int:
    """Print what `manifest` makes of the files at `paths`, and return the exit code."""
    results = extract(manifest, paths, runtime, seconds, rights)
    for path, result in zip(paths, results, strict=True):
        say(_json(path, result) if as_json else _text(path, result))
    return 0 if all(result.status == "ok" for result in results) else FAILED


def validate(manifest: Manifest, runtime: Runtime, seconds: float, say: Say) -> int:
    """Print what is right and what is wrong with an extractor, and return the exit code."""
    findings = [("manifest", "", f"{manifest.name} {manifest.version}, contract {manifest.contract}")]
    findings.append(("program", _program(manifest), " ".join(manifest.command)))
    missing = runtime.prepare([manifest]) if isinstance(runtime, ContainerRuntime) else []
    findings.append(("image", " ".join(missing), manifest.image or "the default one"))
    if manifest.contract != ACTION and not any(wrong for _, wrong, _ in findings):
        findings += _samples(manifest, runtime, seconds)
    for what, wrong, right in findings:
        say(f"{what}: {f'WRONG: {wrong}' if wrong else f'ok, {right}'}")
    return FAILED if any(wrong for _, wrong, _ in findings) else 0


def _program(manifest: Manifest) -> str:
    for word in manifest.command:
        below = word.removeprefix(f"{PROGRAM_PATH}/")
        if below != word and not (manifest.folder / below).is_file():
            return f"the command names {word}, but {manifest.folder} has no {below}"
    return ""


def _samples(manifest: Manifest, runtime: Runtime, seconds: float) -> list[tuple[str, str, str]]:
    folder = manifest.folder / SAMPLES
    samples = sorted(path for path in folder.glob("*") if path.is_file())
    if not samples:
        return [(SAMPLES, f"none; put a small file that it must understand into {folder}", "")]
    results = extract(manifest, [os.fsencode(path) for path in samples], runtime, seconds)
    found = []
    for path, result in zip(samples, results, strict=True):
        wrong, right = "", f"a document with {', '.join(result.document)}"
        if path.name.startswith(BAD):
            wrong = "" if result.status == "failed" else "it has a document, but its name says that it must fail"
            right = f"fails as it must: {result.error}"
        elif result.status != "ok":
            wrong = "\n  ".join([result.error or result.status, *result.stderr.splitlines()])
        found.append((f"{SAMPLES}/{path.name}", wrong, right))
    return found


def _item(path: bytes) -> JobItem:
    real = os.path.realpath(path)
    try:
        return JobItem(fid_of_path(real), 0, real.lstrip(b"/"))
    except OSError as exc:
        raise ConfigError(f"{readable(os.fsdecode(path))}: {exc.strerror}") from exc


def _json(path: bytes, result: Result) -> str:
    name = path.decode(errors="backslashreplace")
    shown = {key: getattr(result, key) for key in ("status", "document", "provenance", "error", "stderr")}
    return json.dumps({"file": name} | shown)


def _text(path: bytes, result: Result) -> str:
    name = readable(path.decode(errors="backslashreplace"))
    if result.status == "ok":
        return f"{name}: {json.dumps(result.document, indent=2, ensure_ascii=False)}"
    lines = [f"{name}: {result.status}: {result.error}", *map(readable, result.stderr.splitlines())]
    return "\n  ".join(lines)


def say(text: str) -> None:
    """Print; what a terminal's encoding cannot show is shown escaped."""
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "backslashreplace") + b"\n")
    sys.stdout.flush()
