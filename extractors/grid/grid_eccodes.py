"""ecCodes' Python package, which starts sooner where its image has prepared it (images/prepare_eccodes.py).

Elsewhere it starts as it is, and gives the same values. Part of the extractor `grid`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

PIECES = "/usr/local/share/eccodes-pieces"


class _Declared:
    """Stands in for cffi.FFI while the package is imported: what it would parse was parsed before."""

    def __init__(self) -> None:
        import eccodes_declarations  # noqa: PLC0415 - it is there where it is prepared

        self._declared = eccodes_declarations.ffi

    def cdef(self, _: str) -> None:
        """Parse nothing."""

    def __getattr__(self, name: str) -> Any:
        """Return what cffi has."""
        return getattr(self._declared, name)


def _imported() -> Any:
    if os.path.isdir(PIECES):  # noqa: PTH112 - starts quicker
        os.environ.setdefault("ECCODES_EXTRA_DEFINITION_PATH", PIECES)
    prepared = "cffi" not in sys.modules and importlib.util.find_spec("eccodes_declarations") is not None
    if prepared:
        sys.modules["cffi"] = ModuleType("cffi")
        sys.modules["cffi"].FFI = _Declared  # type: ignore[attr-defined]
    try:
        import gribapi  # noqa: PLC0415
    finally:
        if prepared:
            del sys.modules["cffi"]
    return gribapi


gribapi = _imported()
