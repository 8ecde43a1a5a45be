"""What tests of the house find in each source file, kept by its content: an unchanged file is not parsed anew."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.support.service.command import REPOSITORY

FOLDER = REPOSITORY / ".cache" / "tests"
T = TypeVar("T")


def by_file(
    look: Callable[[str], T], type_: type[T], paths: Iterable[Path], folder: Path = FOLDER
) -> dict[Path, T]:
    """Return what `look` finds in the text of each file.

    It must depend on nothing but the text and the module that it is in: only when one of them changes is it called
    again. What it returns must be JSON, of the type `type_`.
    """
    place = folder / f"{look.__module__}.{look.__qualname__}.json"
    own = hashlib.sha256(Path(look.__code__.co_filename).read_bytes()).digest()
    known = _read(place, type_)
    found: dict[Path, T] = {}
    kept: dict[str, T] = {}
    for path in paths:
        text = path.read_bytes()
        digest = hashlib.sha256(own + text).hexdigest()
        kept[digest] = found[path] = known[digest] if digest in known else look(text.decode(errors="replace"))
    if kept.keys() != known.keys():
        _write(place, kept)
    return found


def _read(place: Path, type_: type[T]) -> dict[str, T]:
    try:
        return msgspec.json.decode(place.read_bytes(), type=dict[str, type_])  # type: ignore[valid-type]
    except (OSError, msgspec.MsgspecError):
        return {}


def _write(place: Path, kept: dict[str, T]) -> None:
    """Replace all that is kept at once: another worker may do so, too. A read-only checkout keeps nothing."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(kept))
        Path(name).replace(place)
