"""What a worker does beside its jobs: look for changed images, have those that it uses unpacked, compile programs.

Unpacking takes seconds, so a process of its own does it, with what processor time others leave; jobs start from the
SIF until it is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lustre_events import subprocesses
from lustre_events.catalog.manifest import Manifest
from workers.container import ContainerRuntime
from workers.runs import Runtime

END_SECONDS = 5.0


class ImageUpkeep:
    """Looks after the images of a worker.

    Args:
        runtime: the worker's.
        manifests: its extractors, by identity.
        unpack: the command that unpacks the images of the extractors named behind it, and ends.
    """

    def __init__(self, runtime: Runtime, manifests: Mapping[str, Manifest], unpack: Sequence[str]) -> None:
        self._runtime = runtime
        self._manifests = manifests
        self._command = list(unpack)
        self._used: dict[str, Manifest] = {}
        self._tried: set[str] = set()
        self._process: subprocesses.Child | None = None

    def use(self, extractor: str) -> None:
        """Say that there is a job for an extractor."""
        if extractor in self._manifests and extractor not in self._used:
            self._used[extractor] = self._manifests[extractor]
            if isinstance(self._runtime, ContainerRuntime):
                self._runtime.compile(self._manifests[extractor])
            self.look()

    def look(self) -> None:
        """Learn of images that have changed, and begin to unpack those that are in use and are not, each once."""
        self._runtime.prepare(list(self._manifests.values()))
        if self._process is not None and self._process.poll() is None:
            return
        used = list(self._used.values())
        packed = self._runtime.packed(used) if isinstance(self._runtime, ContainerRuntime) else set()
        if packed - self._tried:
            self._tried |= packed
            self._process = subprocesses.start([*self._command, *self._used])

    def end(self) -> None:
        """End what is still at work; the next worker begins it again."""
        if self._process is not None and self._process.poll() is None:
            subprocesses.end(self._process, END_SECONDS)
