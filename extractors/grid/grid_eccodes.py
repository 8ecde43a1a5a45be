"""ecCodes' Python package, which starts sooner where its image has prepared it (images/prepare_eccodes.py).

Elsewhere it starts as it is, and gives the same values. Part of the extractor `grid`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from grid_numpy import PREPARED as PIECES

# Libraries that ecCodes' own needs: where they lie beside its package, it does not find them by itself
NEEDED = ("eckit", "eckit_maths", "eckit_spec", "eckit_codec", "eckit_geo")


class _Declared:
    """Stands in for cffi.FFI while the package is imported: what it would parse was parsed before."""

    def __init__(self) -> None:
        import eccodes_declarations  # noqa: PLC0415 - it is there where it is prepared

        self._declared = eccodes_declarations.ffi

    def cdef(self, _: str) -> None:
        """Parse nothing."""

    def dlopen(self, path: str) -> Any:
        """Open ecCodes' library, and those that it needs before it."""
        folder = os.path.dirname(path)  # noqa: PTH120 - starts quicker
        self._held = [self._declared.dlopen(f"{folder}/../../eckitlib/lib64/lib{name}.so") for name in NEEDED]
        return self._declared.dlopen(path)

    def __getattr__(self, name: str) -> Any:
        """Return what cffi has."""
        return getattr(self._declared, name)


def _library(_: str) -> str:
    """Return where ecCodes' library lies, for which its package would look everywhere."""
    found = importlib.util.find_spec("eccodeslib")
    folders = (found.submodule_search_locations if found else None) or [""]
    return f"{folders[0]}/lib64/libeccodes.so"


def _stand_ins() -> dict[str, ModuleType]:
    """Return modules in the place of those by which the package looks for its library, and learns what it has."""
    if "cffi" in sys.modules or importlib.util.find_spec("eccodes_declarations") is None:
        return {}
    found = {"cffi": ModuleType("cffi"), "findlibs": ModuleType("findlibs")}
    found["cffi"].FFI = _Declared  # type: ignore[attr-defined]
    found["findlibs"].find = _library  # type: ignore[attr-defined]
    return found


def _imported() -> Any:
    if os.path.isdir(PIECES):  # noqa: PTH112 - starts quicker
        os.environ.setdefault("ECCODES_EXTRA_DEFINITION_PATH", PIECES)
    found = _stand_ins()
    before = {name: sys.modules.get(name) for name in found}
    sys.modules.update(found)
    try:
        import gribapi  # noqa: PLC0415
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            sys.modules.update({name: module} if module else {})
    return gribapi


gribapi = _imported()
