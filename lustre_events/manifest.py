"""The manifest of an extractor: what it is, how it is run, and what it may use.

`extractors/<name>/manifest.toml`, one per extractor. Dispatcher and workers each read their own copy: from a
job a worker takes only the extractor's name. extractors/README.md explains every key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lustre_events.config import nearest
from lustre_events.errors import ManifestError

FILE_NAME = "manifest.toml"
CONTRACTS = ("batch", "single")
KEYS = ("name", "version", "image", "command", "contract", "accepts", "description", "trusted", "gpu", "limits")
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
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


@dataclass(frozen=True, slots=True)
class Manifest:
    """One extractor. `folder` holds its program and is what a run sees as /extractor, read-only."""

    name: str
    version: str
    image: str
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


def load(folder: Path) -> Manifest:
    """Return the manifest of one extractor's folder.

    Raises:
        ManifestError: it is missing or wrong; the message names file, key and the nearest valid key.
    """
    path = folder / FILE_NAME
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ManifestError(f"{path}: cannot be read ({exc.strerror}); extractors/README.md shows one") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ManifestError(f"{path}: not a TOML file: {exc}") from exc
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
        limits=_limits(path, table.get("limits", {})),
        folder=folder.absolute(),
        digest=folder_digest(folder),
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
    """Return the folders of `[worker] extractors`; where none is named, the one beside this program."""
    return tuple(map(Path, configured)) or (Path(__file__).resolve().parent.parent / "extractors",)


def program_files(folder: Path) -> list[Path]:
    """Return the files that make the extractor: not its samples, its README, or what Python caches."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix not in {".md", ".pyc", ".def"}
        and path.relative_to(folder).parts[0] not in {"samples", "__pycache__"}
    ]


def folder_digest(folder: Path) -> str:
    """Return SHA-256 over names and contents of the extractor's files."""
    digest = hashlib.sha256()
    for path in program_files(folder):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def to_json(manifest: Manifest) -> str:
    """Return a manifest as one line of JSON."""
    return json.dumps(dataclasses.asdict(manifest), default=str)


def _text(path: Path, table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        missing = "is missing" if key not in table else f"must be a string, not {value!r}"
        raise ManifestError(f"{path}: {key} {missing}; extractors/README.md shows a manifest")
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
    image = _text(path, table, "image")
    if image.startswith(("/", "-")) or ".." in Path(image).parts:
        raise ManifestError(f"{path}: image is {image!r}; it must be a name inside the images folder")
    return image


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


def _limits(path: Path, table: Any) -> Limits:
    names = tuple(spec.name for spec in dataclasses.fields(Limits))
    if not isinstance(table, dict):
        raise ManifestError(f"{path}: limits must be a section: write [limits]")
    for key, value in table.items():
        if key not in names:
            raise ManifestError(f"{path}: unknown key {key} in [limits]{nearest(key, names)}")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ManifestError(f"{path}: [limits] {key} must be a whole number above 0, not {value!r}")
    return Limits(**table)
