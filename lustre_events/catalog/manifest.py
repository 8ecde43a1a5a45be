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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lustre_events.catalog.program_files import ProgramFile, Room, digest, read_file, read_program
from lustre_events.config.settings import nearest
from lustre_events.config.toml_text import MOST_CHARACTERS, read_toml
from lustre_events.errors import ConfigError, ManifestError

FILE_NAME = "manifest.toml"
CONTRACTS = ("batch", "single")
KEYS = (
    "name", "version", "image", "image_digest", "command", "contract", "accepts", "description", "trusted", "gpu",
    "limits",
)  # fmt: skip
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
MOST_MANIFEST_BYTES = 64 << 10
_UNBOUNDED = ("jobs", "bytes_per_second")
"""Limits that may be 0."""
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_EXTENSION = re.compile(r"[a-z0-9]{1,16}\Z")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. A run is a batch, or one file where the contract is `single`."""

    seconds: int = 120
    """Wall time of one run, until everything in it is killed."""
    cpu_seconds: int = 120
    """Processor time of each process of the run."""
    memory_bytes: int = 2_000_000_000
    """Address space of each process of the run; in a container also what all of them hold together."""
    processes: int = 64
    """Processes and threads of the run (in a container; not where it runs as a process)."""
    open_files: int = 1024
    """Descriptors that each process of the run may have open."""
    output_bytes: int = 1 << 20
    """Longest document of one file, as JSON."""
    jobs: int = 0
    """Most jobs at a time, in the whole system, that read files for it; 0: as many as there are workers."""
    bytes_per_second: int = 0
    """What all jobs together may read, by the sizes of their files; 0: no bound. Without `jobs` that is one job."""


OWN_MOST = Limits(
    seconds=3_600, cpu_seconds=3_600, memory_bytes=16_000_000_000, processes=256, open_files=4_096,
    output_bytes=4 << 20, jobs=10_000, bytes_per_second=1 << 40,
)  # fmt: skip
"""The most that a user's own extractor may ask for: its documents go through Redis and the dispatcher."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One extractor. `folder` holds its program and is what a run sees as /extractor, read-only."""

    name: str
    version: str
    image: str
    """Below the worker's images; empty: the worker's `default_image`."""
    command: tuple[str, ...]
    contract: str
    accepts: tuple[str, ...]
    description: str
    trusted: bool
    gpu: bool
    """Whether its containers see the node's NVIDIA GPUs."""
    limits: Limits
    folder: Path
    digest: str
    """SHA-256 over the manifest and the files of the folder: a new one gives the extractor a new serial."""
    image_digest: str = ""
    """SHA-256 that the image must have; empty: any."""
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
    for key in table:
        if key not in KEYS:
            raise ManifestError(f"{path}: unknown key {key}{nearest(key, KEYS)}")
    return Manifest(
        name=_name(path, table),
        version=_text(path, table, "version"),
        image=_image(path, table),
        command=_command(path, table),
        contract=_contract(path, table),
        accepts=_accepts(path, table),
        description=_text(path, table, "description"),
        trusted=_flag(path, table, "trusted"),
        gpu=_flag(path, table, "gpu"),
        limits=_limits(path, table.get("limits", {}), own=bool(owner)),
        folder=folder.absolute(),
        digest=digest(read_program(folder, uid, room)),
        image_digest=_image_digest(path, table),
        owner=owner,
        uid=uid,
    )


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
            if manifest.name in found:
                other = found[manifest.name].folder
                raise ManifestError(f"{path}: {other} has an extractor of the same name; rename one of them")
            found[manifest.name] = manifest
    return found


def folders(configured: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the folders of `[worker] extractors`; where none is named, the usual one."""
    usual = (Path(__file__).resolve().parents[2] / "extractors", Path("/usr/share/lustre-events/extractors"))
    return tuple(map(Path, configured)) or (next(filter(Path.is_dir, usual), usual[0]),)


def to_json(manifest: Manifest) -> str:
    """Return a manifest as one line of JSON."""
    return json.dumps(dataclasses.asdict(manifest), default=str)


def _text(path: Path, table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        missing = "is missing" if key not in table else f"must be a string, not {value!r}"
        raise ManifestError(f"{path}: {key} {missing}; extractors/README.md shows a manifest")
    if len(value) > MOST_CHARACTERS:
        raise ManifestError(f"{path}: {key} has more than {MOST_CHARACTERS} characters; make it shorter")
    return value


def _texts(path: Path, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ManifestError(f'{path}: {key} must be a list of strings, e.g. ["a", "b"]')
    return tuple(value)


def _name(path: Path, table: Mapping[str, Any]) -> str:
    name = _text(path, table, "name")
    if not NAME.match(name):
        raise ManifestError(f"{path}: name is {name!r}; it must be lower-case letters, digits and _, at most 32")
    if name != path.parent.name:
        raise ManifestError(f"{path}: name is {name!r} but the folder is {path.parent.name}; rename one of them")
    return name


def _image(path: Path, table: Mapping[str, Any]) -> str:
    image = _text(path, table, "image") if "image" in table else ""
    if image.startswith(("/", "-")) or ".." in Path(image).parts:
        raise ManifestError(f"{path}: image is {image!r}; it must be a name inside the images folder")
    return image


def _image_digest(path: Path, table: Mapping[str, Any]) -> str:
    found = _text(path, table, "image_digest") if "image_digest" in table else ""
    if found and not _DIGEST.match(found):
        raise ManifestError(f"{path}: image_digest is {found!r}; it must be the 64 hex digits of sha256sum IMAGE")
    return found


def _command(path: Path, table: Mapping[str, Any]) -> tuple[str, ...]:
    command = _texts(path, table, "command")
    if not command:
        raise ManifestError(f'{path}: command is empty; write it as ["python3", "/extractor/program.py"]')
    return command


def _contract(path: Path, table: Mapping[str, Any]) -> str:
    contract = _text(path, table, "contract")
    if contract not in CONTRACTS:
        raise ManifestError(f"{path}: contract is {contract!r}; it must be one of: {', '.join(CONTRACTS)}")
    return contract


def _accepts(path: Path, table: Mapping[str, Any]) -> tuple[str, ...]:
    accepts = _texts(path, table, "accepts")
    for extension in accepts:
        if not _EXTENSION.match(extension):
            raise ManifestError(f'{path}: accepts has {extension!r}; write extensions like "csv", without the dot')
    return accepts


def _flag(path: Path, table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ManifestError(f"{path}: {key} must be true or false, not {value!r}")
    return value


def _limits(path: Path, table: Any, *, own: bool) -> Limits:
    names = tuple(spec.name for spec in dataclasses.fields(Limits))
    if not isinstance(table, dict):
        raise ManifestError(f"{path}: limits must be a section: write [limits]")
    for key, value in table.items():
        if key not in names:
            raise ManifestError(f"{path}: unknown key {key} in [limits]{nearest(key, names)}")
        least = 0 if key in _UNBOUNDED else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ManifestError(f"{path}: [limits] {key} must be a whole number above {least - 1}, not {value!r}")
        if own and value > getattr(OWN_MOST, key):
            raise ManifestError(f"{path}: [limits] {key} of a user's own is {getattr(OWN_MOST, key)} at most")
    limits = Limits(**table)
    return dataclasses.replace(limits, jobs=limits.jobs or int(limits.bytes_per_second > 0))
