"""The manifest of an extractor: what it is, how it is run, and what it may use.

`extractors/<name>/manifest.toml`, one per extractor. Dispatcher and workers each read their own copy: from a
job a worker takes only the extractor's identity. extractors/README.md explains every key.

A site's extractor is known by its name (`hdf5`), a user's own one as `<user>/<name>` (`ada/spectra`): that is the
`identity`, which rules, jobs, the index and documents carry. A user's own lie in `[worker] user_extractors`, in
`<user>/<name>/`, count only where that user owns them, and run as that user only.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from lustre_events.catalog import shipped
from lustre_events.catalog.program_files import ProgramFile, Room, digest, read_file, read_program
from lustre_events.config.tables import Location, key, values
from lustre_events.config.toml_text import MOST_CHARACTERS, read_toml
from lustre_events.errors import ConfigError, ManifestError
from lustre_events.jobs.messages import BUILT_IN, TAGS

FILE_NAME = "manifest.toml"
ACTION = "action"
"""The contract of an action: input file, folder for outputs and settings as arguments; it prints nothing."""
CONTRACTS = ("batch", "single", ACTION)
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
MOST_MANIFEST_BYTES = 64 << 10
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_EXTENSION = re.compile(r"[a-z0-9]{1,16}(?:\.[a-z0-9]{1,16})?\Z")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. A run is a batch, or one file where the contract is `single`."""

    seconds: int = key(120, least=1)
    """Wall time of one run, until everything in it is killed."""
    cpu_seconds: int = key(120, least=1)
    """Processor time of each process of the run."""
    memory_bytes: int = key(2_000_000_000, least=1)
    """Address space of each process of the run; in a container also what all of them hold together."""
    processes: int = key(64, least=1)
    """Processes and threads of the run (in a container; not where it runs as a process)."""
    open_files: int = key(1024, least=1)
    """Descriptors that each process of the run may have open."""
    output_bytes: int = key(1 << 20, least=1)
    """Longest document of one file, as JSON."""
    jobs: int = key(0, least=0)
    """Most jobs at once, in the whole system, that read files for it; 0: as many as there are workers."""
    bytes_per_second: int = key(0, least=0)
    """What all jobs together may read, by the sizes of their files; 0: no bound. Without `jobs` that is one job."""


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """What one run of an action may put into the file system."""

    files: int = key(100, least=1, most=10_000)
    """Most files."""
    bytes: int = key(1 << 30, least=1)
    """Most bytes of all of them."""


OWN_MOST = Limits(
    seconds=3_600, cpu_seconds=3_600, memory_bytes=16_000_000_000, processes=256, open_files=4_096,
    output_bytes=4 << 20, jobs=10_000, bytes_per_second=1 << 40,
)  # fmt: skip
"""The most that a user's own extractor may ask for: its documents go through Redis and the dispatcher."""


def _is_inside(image: str) -> bool:
    return bool(image) and not image.startswith(("/", "-")) and ".." not in Path(image).parts


_SHOWN = "extractors/README.md shows a manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a manifest says, key by key."""

    name: str = key(
        needed=_SHOWN, fits=NAME.match, expected="it must be lower-case letters, digits and _, at most 32"
    )
    version: str = key(needed=_SHOWN, longest=MOST_CHARACTERS)
    image: str = key(
        "", longest=MOST_CHARACTERS, fits=_is_inside, expected="it must be a name inside the images folder"
    )
    """Below the worker's images; empty: the worker's `default_image`."""
    image_digest: str = key("", fits=_DIGEST.match, expected="it must be the 64 hex digits of sha256sum IMAGE")
    """SHA-256 that the image must have; empty: any."""
    command: tuple[str, ...] = key(needed='write it as ["python3", "/extractor/program.py"]')
    contract: str = key(needed=_SHOWN, choices=CONTRACTS)
    accepts: tuple[str, ...] = key(
        (), fits=_EXTENSION.match, expected='write extensions like "csv" or "csv.gz", without the dot in front'
    )
    description: str = key(needed=_SHOWN, longest=MOST_CHARACTERS)
    trusted: bool = key(default=False)
    gpu: bool = key(default=False)
    """Whether its containers see the node's NVIDIA GPUs."""
    limits: Limits = Limits()
    outputs: OutputLimits = OutputLimits()
    """For an action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Written):
    """One extractor. `folder` holds its program and is what a run sees as /extractor, read-only."""

    folder: Path
    digest: str
    """SHA-256 over the manifest and the files of the folder: a new one gives the extractor a new serial."""
    owner: str = ""
    """The user whose own extractor this is; empty: the site's."""
    uid: int | None = None
    """The owner's."""

    @property
    def identity(self) -> str:
        """What it is known by outside of its folder: `name`, or `owner/name`."""
        return f"{self.owner}/{self.name}" if self.owner else self.name

    def program(self) -> list[ProgramFile]:
        """Return its files as they are now.

        Raises:
            ManifestError: they cannot be read, or are others than those of `digest`.
        """
        files = read_program(self.folder, self.uid)
        if digest(files) != self.digest:
            raise ManifestError(f"{self.folder}: changed while it was read; it is read again with the next job")
        return files


def load(folder: Path, owner: str = "", uid: int | None = None, room: Room | None = None) -> Manifest:
    """Return the manifest of one extractor's folder; `owner` and `uid` are those of the user whose own it is.

    `room`: what its files may have, which shrinks by them.

    Raises:
        ManifestError: it is missing or wrong; the message names file, key and the nearest valid key.
    """
    path = folder / FILE_NAME
    try:
        table = read_toml(read_file(path, uid, MOST_MANIFEST_BYTES)[0], str(path))
    except ConfigError as exc:
        raise ManifestError(str(exc)) from exc
    location = Location(str(path), error=ManifestError)
    found = values(Written, table, location)
    if found["name"] != folder.name:
        raise location.at("name").refusal(
            f"is {found['name']!r} but the folder is {folder.name}; rename one of them"
        )
    if not owner and found["name"] in BUILT_IN | {TAGS}:
        raise location.at("name").refusal(f"is {found['name']!r}, which is built in; choose another name")
    found["limits"] = _limits(found.get("limits", Limits()), location.inside("[limits]"), own=bool(owner))
    program = digest(read_program(folder, uid, room))
    return Manifest(**found, folder=folder.absolute(), digest=program, owner=owner, uid=uid)


def _limits(limits: Limits, location: Location, *, own: bool) -> Limits:
    for spec in dataclasses.fields(Limits) if own else ():
        most = getattr(OWN_MOST, spec.name)
        if getattr(limits, spec.name) > most:
            raise location.at(spec.name).refusal(f"of a user's own is {most} at most")
    return dataclasses.replace(limits, jobs=limits.jobs or int(limits.bytes_per_second > 0))


def load_all(folders: tuple[Path, ...]) -> dict[str, Manifest]:
    """Return the extractors of `folders` by name: each sub-folder with a manifest is one.

    Raises:
        ManifestError: a folder is missing, a manifest is wrong, or two extractors have the same name.
    """
    found: dict[str, Manifest] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ManifestError(
                f"{folder}: no such folder; name the folders with extractors in [worker] extractors"
            )
        for path in sorted(folder.glob(f"*/{FILE_NAME}")):
            manifest = load(path.parent)
            if manifest.contract == ACTION:
                raise ManifestError(f"{path}: is an action; put its folder into one of [actions] folders")
            if manifest.name in found:
                other = found[manifest.name].folder
                raise ManifestError(f"{path}: {other} has an extractor of the same name; rename one of them")
            found[manifest.name] = manifest
    return found


def folders(configured: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the folders of `[worker] extractors`; where none is named, that of the shipped ones."""
    return tuple(map(Path, configured)) or (shipped.extractors(),)


def to_json(manifest: Manifest) -> str:
    """Return a manifest as one line of JSON."""
    return json.dumps(dataclasses.asdict(manifest), default=str)
