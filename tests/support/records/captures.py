"""The recorded changelogs of a real Lustre in tests/data/captures."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
FOLDERS = sorted(path.name for path in CAPTURES.iterdir() if path.is_dir())
FEW = ("02-deeprename-allmask", "03-names-defmask", "06-hsm-allmask", "14-striped-defmask")
"""Those that `make quick` looks at where a test looks at each; the others make it `long`."""


def each(names: Iterable[str] = FOLDERS) -> list[Any]:
    """Return folders, or names of files in them, as parameters of a test."""
    return [pytest.param(name, marks=() if name.startswith(FEW) else pytest.mark.long) for name in names]


@dataclass(frozen=True, slots=True)
class Truth:
    """What fid2path said of one FID afterwards: its return code and all paths (text with surrogate escapes).

    It ends the path of a directory whose migration stopped half-way with a slash, which is not part of the name.
    """

    fid: str
    code: int
    paths: tuple[str, ...]


def read(folder: str, name: str) -> bytes:
    """Return the content of one file of a capture, e.g. `lustre-MDT0000.raw`."""
    return gzip.decompress((CAPTURES / folder / f"{name}.gz").read_bytes())


def mdts(folder: str) -> list[str]:
    """Return the MDTs of a capture."""
    return sorted(path.name.split(".")[0] for path in (CAPTURES / folder).glob("*.nidbe.raw.gz"))


def truths(folder: str) -> list[Truth]:
    """Return what fid2path said after the workload, for every FID that occurs in its records."""
    rows = [json.loads(line) for line in read(folder, "fidpath.jsonl").splitlines()]
    return [Truth(row["fid"], row["rc"], tuple(_path(path) for path in row["paths"])) for row in rows]


def _path(said: str) -> str:
    return said if said == "/" else said.removesuffix("/")
