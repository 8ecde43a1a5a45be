"""numpy's core alone, which is all that the readers of GRIB and HDF4 need where only headers are read.

Their packages import the whole of numpy, for values, and that takes longer than they do. Where an image has been
prepared (images/prepare_eccodes.py) names of the rest stand for nothing; elsewhere numpy stays as it is, and the
values are the same. Part of the extractor `grid`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

import extractor_threads  # noqa: F401 - before numpy

PREPARED = "/usr/local/share/eccodes-pieces"


class _Package(ModuleType):
    """A package whose modules can be imported, and whose names are types that nothing is of."""

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self.__path__ = [folder]

    def __getattr__(self, name: str) -> type:
        """Return what stands for a name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def prepare() -> None:
    """Let numpy be its core, where nobody has imported the whole of it."""
    found = importlib.util.find_spec("numpy") if "numpy" not in sys.modules else None
    if found and os.path.isdir(PREPARED):  # noqa: PTH112 - starts quicker
        for folder in found.submodule_search_locations or ():
            sys.modules["numpy"] = _Package("numpy", folder)
            sys.modules["numpy._core"] = _Package("numpy._core", f"{folder}/_core")


prepare()
