"""astropy.io.fits alone: without the rest of astropy, the net and TLS, which it imports and reading has no use for.

These take longer to be imported than all that reads files. Settings are astropy's defaults: a container has no
home with others. What stands in their place is taken away again, so that whoever imports them afterwards gets
them. Part of the extractor `fits`.
"""

from __future__ import annotations

import http
import importlib.util
import sys
from types import ModuleType
from typing import Any

FITS, HTTP = "astropy.io.fits", "http.client"
PACKED = f"{FITS}.hdu.compressed"


class _Net(ModuleType):
    """What astropy.io.fits takes from a module that reaches the net: no name is an address, no object an answer."""

    HTTPResponse = type("HTTPResponse", (), {})

    @staticmethod
    def _is_url(_: Any) -> bool:
        return False

    @staticmethod
    def _requires_fsspec(_: Any) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        """Return a function that says why it cannot be used."""

        def refuse(*_: Any, **__: Any) -> Any:
            raise OSError(f"{self.__name__}.{name} is not there: extractors have no net")

        if name.startswith("__"):
            raise AttributeError(name)
        return refuse


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


def _default(value: Any, *_: Any, **__: Any) -> Any:
    """Stand in for a setting: its default, which is looked up for every keyword."""
    return value


def _has_version(module: Any, version: str) -> bool:
    """Whether a module has a version, of which two numbers count, or a later one."""
    had, asked = ([int(part) for part in text.split(".")[:2]] for text in (module.__version__, version))
    return had >= asked


def _utilities(folders: list[str]) -> None:
    """Let astropy.utils have what reading takes of it: two of its modules import nothing but Python's own."""
    utilities = _module(
        "astropy.utils", __path__=[f"{folder}/utils" for folder in folders], minversion=_has_version
    )
    sys.modules["astropy.utils"] = utilities
    from astropy.utils import decorators  # noqa: PLC0415

    utilities.lazyproperty = decorators.lazyproperty  # type: ignore[attr-defined]


def _stand_ins(folders: list[str]) -> dict[str, ModuleType]:
    """Return modules in the place of those that reading does without; astropy lies in `folders`."""
    packed = type("CompImageHDU", (), {})  # a compressed image is read as the table that it is stored as
    found = (
        _module("astropy", __path__=folders, __version__=""),
        _module("astropy.config", ConfigNamespace=object, ConfigItem=_default),
        _module("astropy.utils.misc", NOT_OVERWRITING_MSG=""),
        _Net("astropy.utils.data"),
        _module(f"{FITS}.convenience", __all__=[]),
        _module(f"{FITS}.diff", __all__=[]),
        _module(PACKED, __all__=[], __path__=[], CompImageHDU=packed, CompImageSection=None),
        _module(f"{PACKED}.compressed", CompImageHDU=packed),
    )
    return {module.__name__: module for module in found}


def _imported() -> Any:
    place = importlib.util.find_spec("astropy")
    if place is None or "astropy" in sys.modules:
        from astropy.io import fits  # noqa: PLC0415 - all of it is there already, or nothing

        return fits
    folders = list(place.submodule_search_locations or ())
    absent = _stand_ins(folders)
    if HTTP not in sys.modules:
        http.client = absent[HTTP] = _Net(HTTP)  # type: ignore[attr-defined]
    sys.modules.update(absent)
    try:
        _utilities(folders)
        from astropy.io import fits  # noqa: PLC0415
    finally:
        for name in (*absent, "astropy.utils"):
            sys.modules.pop(name, None)
    return fits


fits = _imported()
