"""astropy.io.fits alone: without its access to the net, for which it imports astropy's units, and TLS.

These take longer to be imported than all that reads files, and a container has no net. What stands in their place
is taken away again, so that whoever imports them afterwards gets them. Part of the extractor `fits`.
"""

from __future__ import annotations

import http
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

DATA, HTTP = "astropy.utils.data", "http.client"


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


def _imported() -> Any:
    absent = {name: _Net(name) for name in (DATA, HTTP) if name not in sys.modules}
    sys.modules.update(absent)
    if HTTP in absent:
        http.client = absent[HTTP]  # type: ignore[attr-defined]
    try:
        from astropy.io import fits  # noqa: PLC0415
    finally:
        for name in absent:
            del sys.modules[name]
    settings = {name: getattr(fits.conf, name) for name in fits.conf}
    fits.card.conf = SimpleNamespace(**settings)  # which it looks up, and validates, for every keyword
    return fits


fits = _imported()
