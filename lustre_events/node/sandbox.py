"""The whole service on a temporary directory, for demo and benchmarks: real parts, ended and removed after."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lustre_events import subprocesses
from lustre_events.catalog import shipped
from lustre_events.config.settings import WorkerSettings
from lustre_events.errors import LustreEventsError

BUILD_SECONDS = 1800
IMAGE = "base"
"""The image of the extractors that demo and benchmarks of the service use."""
STOP_SECONDS = 15

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where things lie: `files` is watched."""

    folder: Path

    @property
    def files(self) -> Path:
        """The watched directory."""
        return self.folder / "files"

    @property
    def settings(self) -> Path:
        """The settings file of the service."""
        return self.folder / "lustre-events.toml"

    @property
    def log(self) -> Path:
        """What the service says."""
        return self.folder / "service.log"

    @property
    def index(self) -> str:
        """The URL of the index."""
        return f"sqlite:///{self.folder / 'index.db'}"

    def wait(
        self, condition: Callable[[], bool], what: str, seconds: float, *, every: float = 0.1,
        terminal: TextIO | None = None, far: Callable[[], str] = str,
    ) -> None:  # fmt: skip
        """Wait until `condition` holds; our errors in it count as no (the index may not be there yet).

        A terminal (stderr) shows for how long, and what `far` says of how far it is, on a line that is gone in the
        end.

        Raises:
            LustreEventsError: it did not come true in time; the end of the log went to stderr.
        """
        began = time.monotonic()
        with _line(terminal or sys.stderr) as show:
            while (waited := time.monotonic() - began) < seconds:
                with contextlib.suppress(LustreEventsError):
                    if condition():
                        return
                show(f"waiting until {what}: {waited:.0f} s{far()}")
                time.sleep(every)
        sys.stderr.write(self.log.read_text(errors="replace")[-4000:])
        raise LustreEventsError(f"gave up after {seconds:.0f} s of waiting until {what}; the log above says why")


@contextlib.contextmanager
def _line(terminal: TextIO) -> Iterator[Callable[[str], None]]:
    """Give what writes a line over the one before on a terminal, and nothing elsewhere; clear it in the end."""
    shown = terminal.isatty()

    def show(text: str) -> None:
        if shown:
            terminal.write(f"\r{text}\x1b[K")
            terminal.flush()

    try:
        yield show
    finally:
        show("")


def default_images() -> Path:
    """Return the folder for built images: root's must be readable by the account that runs its containers."""
    shared = Path(WorkerSettings().images)
    return shared if os.geteuid() == 0 or (shared / "base.sif").exists() else shipped.own_images()


def choose_runtime(images: Path, say: Say) -> str:
    """Build the image if it is not up to date; return how extractors can run here: `apptainer` or `process`."""
    if not (shutil.which("apptainer") or shutil.which("singularity")):
        say("No Apptainer here: the extractors run as plain processes\n(every document says runtime: process).")
        return "process"
    if not is_built(images, IMAGE):
        say("The image could not be built (see above): extractors run as plain processes.")
        return "process"
    say("Extractors run in Apptainer containers (runtime: apptainer).")
    return "apptainer"


def is_built(images: Path, name: str) -> bool:
    """Build an image if it is not up to date; return whether it is there now."""
    done = subprocesses.run(
        ["bash", shipped.build_script(), images, name],
        BUILD_SECONDS,
        stdout=sys.stderr,
        stderr=None,
        environment=os.environ | {"VENV": sys.prefix},
    )
    return done.returncode == 0


@contextlib.contextmanager
def sandbox(
    name: str, rules: str, images: Path, runtime: str, *, endpoints: str = "", **more: str
) -> Iterator[Sandbox]:
    """Run the service in a new folder; end it and remove the folder afterwards.

    `endpoints` is a file of those, for rules of actions; `more` are lines by section.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"lustre-events-{name}-"))
    folder.chmod(0o755)  # containers run as an ordinary user, who must reach the files
    box = Sandbox(folder)
    try:
        box.files.mkdir()
        (folder / "rules.toml").write_text(rules)
        if endpoints:
            (folder / "endpoints.toml").write_text(endpoints)
            named = f'endpoints = "{folder}/endpoints.toml"\n'
            more["actions"] = f"[actions]\n{named}{more.get('actions', '')}"
        box.settings.write_text(_settings(folder, images.resolve(), runtime, more))
        with _running(box):
            yield box
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(folder: Path, images: Path, runtime: str, more: Mapping[str, str]) -> str:
    return f"""\
[filesystem]
source = "directory"
mount = "{folder}/files"
state = "{folder}/state"

[index]
url = "sqlite:///{folder}/index.db"

[dispatcher]
rules = "{folder}/rules.toml"
settle_seconds = 0.5
retry_seconds = 0.5
attempts = 2
job_lease_seconds = 10
{more.get("dispatcher", "")}
[worker]
runtime = "{runtime}"
images = "{images}"
worker_ttl_seconds = 10
approved = "{folder}/approved"
{more.get("worker", "")}
{more.get("actions", "")}
"""


@contextlib.contextmanager
def _running(box: Sandbox) -> Iterator[None]:
    argv = [sys.executable, "-P", "-m", "lustre_events", "run", "--config", str(box.settings)]
    with box.log.open("wb") as output:
        process = subprocesses.start(argv, own_session=False, stdout=output, stderr=output)
    try:
        yield
    finally:
        subprocesses.end(process, STOP_SECONDS)
