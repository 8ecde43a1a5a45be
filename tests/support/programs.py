"""The programs of extractors, imported as they import each other, for tests of their functions."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from tests.support.service.images import EXTRACTORS


def program(family: str, module: str = "") -> ModuleType:
    """Return a module of a family; the families' modules have names of their own."""
    for folder in (EXTRACTORS / "base", EXTRACTORS / family):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    return importlib.import_module(module or family)
