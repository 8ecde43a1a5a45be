"""The programs of extractors, imported as they import each other, for tests of their functions."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.service.images import EXTRACTORS
from workers.contract import checked


def program(family: str, module: str = "") -> ModuleType:
    """Return a module of a family; the families' modules have names of their own."""
    for folder in (EXTRACTORS / "base", EXTRACTORS / family):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    return importlib.import_module(module or family)


def load(name: str) -> ModuleType:
    """Import an extractor's program as Python would in its run."""
    places = [str(EXTRACTORS / "base"), str(EXTRACTORS / name)]
    sys.path[:0] = places
    try:
        spec = importlib.util.spec_from_file_location(f"extractor_{name}", EXTRACTORS / name / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = [place for place in sys.path if place not in places]
    return module


TABULAR = load("tabular")


def written(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    """Return the document of a table with this content."""
    (folder / name).write_bytes(content)
    return checked(TABULAR.extract(str(folder / name)))


class Later:
    """A module that is imported when something of it is first asked for: most workers of a run never ask.

    `family`: that of an extractor whose module it is. A name that begins with an underscore imports nothing: pytest
    asks each object in a test's module for some.
    """

    def __init__(self, name: str, family: str = "") -> None:
        self._name = name
        self._family = family

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(
            program(self._family, self._name) if self._family else importlib.import_module(self._name), name
        )
