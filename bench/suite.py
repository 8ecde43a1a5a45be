"""The extractors of this repository: files a second in batches of small samples, and memory on a file of 2 GB.

Images are unpacked and programs compiled before anything is measured, as a worker has them after its first minute.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from bench.options import Figures, Options
from lustre_events.catalog import manifest, shipped
from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.jobs.messages import Result
from lustre_events.node.sandbox import BUILD_SECONDS
from workers.container import ContainerRuntime, find_program
from workers.images import Images
from workers.privileges import account_for
from workers.trial import extract
from workers.unpacked import ImageCache

BATCH = 64
BATCHES = 5
LARGE_BYTES = 2_000_000_000
LOOK_SECONDS = 0.02
ACCOUNT = "nobody"


def extractors(options: Options) -> Figures:
    """Return files/s of every family, starts included, one batch after the other; and the greatest memory of any.

    Raises:
        ConfigError: the images cannot be built, or containers cannot run here.
        LustreEventsError: a sample has no document.
    """
    families = [one for one in manifest.load_all(manifest.folders(())).values() if (one.folder / "golden").is_dir()]
    _build(options.images, sorted({one.image for one in families}))
    figures: Figures = {}
    peaks = []
    with _open_folder() as cache:
        runtime = _runtime(options.images, cache, families)
        for one in families:
            with _open_folder() as folder:
                figures[f"suite.{one.name}_files_per_s"] = _files_per_second(one, runtime, folder)
                peak = _peak_mb(one, runtime, folder)
            if peak is not None:
                figures[f"suite.{one.name}_peak_mb"] = peak
                peaks.append(peak)
    return figures | ({"suite.peak_mb": max(peaks)} if peaks else {})


def _build(images: Path, names: Sequence[str]) -> None:
    done = subprocess.run(
        ["bash", shipped.build_script(), images, *names], check=False, stdout=sys.stderr, timeout=BUILD_SECONDS,
        env=os.environ | {"VENV": sys.prefix},
    )  # fmt: skip
    if done.returncode:
        raise ConfigError(f"the images {', '.join(names)} could not be built (see above); run: make images")


@contextlib.contextmanager
def _open_folder() -> Iterator[Path]:
    """Give a folder that the account that runs containers may look into."""
    place = Path(tempfile.mkdtemp(prefix="lustre-events-suite-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _runtime(images: Path, cache: Path, families: Sequence[Manifest]) -> ContainerRuntime:
    """Return what runs containers from images that are unpacked below `cache`."""
    found = Images(images, cache=ImageCache(cache, find_program(), account_for(ACCOUNT)))
    for one in families:
        if reason := found.unpack(one):
            raise ConfigError(reason)
    runtime = ContainerRuntime(found, account_for(ACCOUNT))
    for one in families:
        runtime.compile(one)
    return runtime


def _files_per_second(one: Manifest, runtime: ContainerRuntime, folder: Path) -> float:
    samples = [path for path in sorted((one.folder / "samples").iterdir()) if not path.name.startswith("bad-")]
    paths = []
    for number, sample in zip(range(BATCH), itertools.cycle(samples), strict=False):
        path = folder / f"{number}{sample.suffix}"
        shutil.copyfile(sample, path)
        path.chmod(0o644)
        paths.append(path)
    _extract(one, runtime, paths[:1])  # the image is in the page cache, as where work goes on
    began = time.perf_counter()
    for _ in range(BATCHES):
        for path, result in zip(paths, _extract(one, runtime, paths), strict=True):
            if result.status != "ok":
                raise LustreEventsError(f"{one.name}: {path.name}: {result.error}")
    return BATCH * BATCHES / (time.perf_counter() - began)


def _peak_mb(one: Manifest, runtime: ContainerRuntime, folder: Path) -> float | None:
    """Return the memory (MB) of a run over a file of 2 GB; None where the family makes none."""
    large = getattr(_hostile(one), "large", None)
    path = large(folder, LARGE_BYTES) if large else None
    if path is None:
        return None
    path.chmod(0o644)
    ended = threading.Event()
    held = [0]

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            held[0] = max(held[0], _descendants_bytes(os.getpid()))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        (result,) = _extract(one, runtime, [path])
    finally:
        ended.set()
        looker.join()
        path.unlink()
    if result.status != "ok":
        raise LustreEventsError(f"{one.name}: a file of {LARGE_BYTES} bytes failed: {result.error}")
    return held[0] / 1e6


def _hostile(one: Manifest) -> ModuleType | None:
    path = one.folder / "hostile.py"
    spec = importlib.util.spec_from_file_location(f"hostile_{one.name}", path) if path.exists() else None
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _extract(one: Manifest, runtime: ContainerRuntime, paths: Sequence[Path]) -> list[Result]:
    """Return the results of one container over `paths`."""
    return extract(one, [os.fsencode(path) for path in paths], runtime, one.limits.seconds)


def _descendants_bytes(pid: int) -> int:
    """Return the memory that the descendants of a process hold, without file pages (proc(5): RssAnon, RssShmem)."""
    parents: dict[int, list[int]] = {}
    held: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError, ValueError):
            lines = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
            parents.setdefault(int(lines["PPid"]), []).append(int(entry.name))
            held[int(entry.name)] = sum(
                int(lines.get(key, "0").split()[0]) << 10 for key in ("RssAnon", "RssShmem")
            )
    total, todo = 0, list(parents.get(pid, []))
    while todo:
        child = todo.pop()
        total += held.get(child, 0)
        todo += parents.get(child, [])
    return total
