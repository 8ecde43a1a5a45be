"""Finds and loads liblustreapi, when somebody asks for it and not before.

Importing this package needs no Lustre: only `load` opens the library.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lustre_events.errors import LibraryMissing
from lustre_events.llapi.signatures import MSG_OFF, QUIET, SIGNATURES

ENVIRONMENT_NAME = "LUSTRE_EVENTS_FILESYSTEM_LIBRARY"
"""The environment name of the setting `[filesystem] library`; read here too for those who use only this package."""

USUAL_NAMES = ("liblustreapi.so.1", "liblustreapi.so")
USUAL_FOLDERS = (
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
)
USUAL_PLACES = (*USUAL_NAMES, *(f"{folder}/{name}" for folder in USUAL_FOLDERS for name in USUAL_NAMES))
"""What `load` tries, in order. A bare name is looked up by the dynamic linker (its cache, LD_LIBRARY_PATH)."""

_ADVICE = (
    "install the Lustre client's packages on this node, or name the file in [filesystem] library "
    f"or {ENVIRONMENT_NAME}"
)


class Library:
    """A loaded liblustreapi: its functions by name, with their signatures set."""

    def __init__(self, path: str, functions: Mapping[str, Callable[..., int]]) -> None:
        self.path = path
        self._functions = functions

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def call(self, name: str, *arguments: object) -> int:
        """Call the C function `name` and return its return value.

        Raises:
            LibraryMissing: this version of the library has no such function.
        """
        if name not in self._functions:
            raise LibraryMissing(
                f"{self.path}: has no {name}, which came with Lustre {SIGNATURES[name].since}; "
                "upgrade the Lustre client on this node"
            )
        return self._functions[name](*arguments)


def load(
    path: str = "", environment: Mapping[str, str] = os.environ, places: Sequence[str] = USUAL_PLACES
) -> Library:
    """Load liblustreapi from `path`, else where the environment says, else from the usual places.

    A path that somebody named is the only one tried.

    Raises:
        LibraryMissing: it is not there, cannot be loaded, or is another library; the message says where this
            looked and what to do.
    """
    named = path or environment.get(ENVIRONMENT_NAME, "")
    if named:
        try:
            return _bind(named, ctypes.CDLL(named))
        except OSError as exc:
            raise LibraryMissing(f"{named}: liblustreapi cannot be loaded ({exc}); {_ADVICE}") from exc
    failures: list[str] = []
    for place in places:
        try:
            return _bind(place, ctypes.CDLL(place))
        except OSError as exc:
            if Path(place).is_absolute() and Path(place).exists():
                failures.append(str(exc))
    # Last, because it runs ldconfig, gcc and ld.
    found = ctypes.util.find_library("lustreapi")
    if found:
        try:
            return _bind(found, ctypes.CDLL(found))
        except OSError as exc:
            failures.append(str(exc))
    reason = f" ({'; '.join(failures)})" if failures else ""
    raise LibraryMissing(f"liblustreapi cannot be loaded{reason}; looked for {', '.join(places)}; {_ADVICE}")


def _bind(path: str, library: ctypes.CDLL) -> Library:
    functions: dict[str, Callable[..., int]] = {}
    for name, signature in SIGNATURES.items():
        function = getattr(library, name, None)
        if function is None:
            if signature.optional:
                continue
            raise LibraryMissing(
                f"{path}: is not a liblustreapi that this program can use: it has no {name} "
                f"(Lustre {signature.since}); {_ADVICE}"
            )
        function.argtypes = signature.arguments
        function.restype = ctypes.c_int
        functions[name] = function
    if QUIET in functions:
        functions[QUIET](
            MSG_OFF
        )  # what went wrong is in the return codes; stderr is the journal of whoever loads it
    return Library(path, functions)
